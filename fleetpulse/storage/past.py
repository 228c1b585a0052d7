"""Stored samples of a partition's hosts, for the long windows of rules.

Raises what `client.CLICKHOUSE_ERRORS` lists.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from clickhouse_driver import Client

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.partition import partition_of
from fleetpulse.storage.matchers import Matcher, conditions
from fleetpulse.storage.native_read import query_arrays
from fleetpulse.storage.pending import touched_through
from fleetpulse.storage.recompute import INCARNATION_SHIFT

ROWS_AT_ONCE = 2_000_000  # at one sample a second; a usual interval gives a tenth


@dataclass(frozen=True, slots=True)
class PastSeries:
    """Series of one metric with their labels, without ``__name__``."""

    metric: str
    ids: Sequence[int]
    hosts: Sequence[str]
    labels: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class PastSamples:
    """Samples sorted by series and time: `place` int64[n] is each one's series in `PastSeries`, `ts` is in ms."""

    place: Int64Array
    ts: Int64Array
    value: Float64Array


def stored_through(client: Client, topic: str, partition: int) -> int:
    """The offset below which the samples of a partition's messages are stored."""
    return touched_through(client, topic, partition) & ((1 << INCARNATION_SHIFT) - 1)


def past_series(client: Client, matchers: Sequence[Matcher], partition: int, partitions: int) -> list[PastSeries]:
    """The series that pass the matchers (of ``__name__`` too) and whose host is of the partition, by metric."""
    named = next((each.value for each in matchers if each.label == "__name__" and each.operator == "="), "")
    clause, parameters = conditions(matchers)
    rows = client.execute(
        "SELECT id, metric_name, host, mapFilter((name, _) -> name != '__name__', tags) FROM (SELECT * FROM "
        f"registered_series WHERE {'metric_name = {named:String}' if named else '1'}{clause} LIMIT 1 BY id) "
        "ORDER BY metric_name, host, id SETTINGS final = 0",
        {"named": named, **parameters},
    )
    own = {host: partition_of(host, partitions) == partition for host in {row[2] for row in rows}}
    by_metric: dict[str, list[tuple[int, str, dict[str, str]]]] = {}
    for number, metric, host, labels in rows:
        if own[host]:
            by_metric.setdefault(metric, []).append((number, host, labels))
    return [
        PastSeries(metric, *(list(column) for column in zip(*found, strict=True)))
        for metric, found in by_metric.items()
    ]


def past_samples(client: Client, series: PastSeries, after_ms: int, until_ms: int) -> Iterator[PastSamples]:
    """The samples in (after, until], some series at a time."""
    each = max(1, 1000 * ROWS_AT_ONCE // max(until_ms - after_ms, 1))
    for start in range(0, len(series.ids), each):
        ids = series.ids[start : start + each]
        columns = query_arrays(
            client,
            "SELECT id, toUnixTimestamp64Milli(timestamp), value FROM samples WHERE id IN {ids:Array(UInt64)} "
            "AND timestamp > fromUnixTimestamp64Milli({after:Int64}) "
            "AND timestamp <= fromUnixTimestamp64Milli({until:Int64}) ORDER BY id, timestamp SETTINGS final = 1",
            {"ids": ids, "after": after_ms, "until": until_ms},
        )
        if not columns:
            continue
        order = np.argsort(np.array(ids, dtype=np.uint64))
        place = order[np.searchsorted(np.array(ids, dtype=np.uint64), columns[0], sorter=order)] + start
        yield PastSamples(place.astype(np.int64), columns[1], columns[2])
