"""Recompute the rollups of every tier from the raw samples, hour by hour in slices of series, and compare.

Buckets that the ledger knows to be unfinished are *pending*, and counted apart. A sample is in the raw table a moment
before it is in the ledger, so what differs is looked at again for a while before it is believed.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from clickhouse_driver import Client

from fleetpulse.partition import partition_of
from fleetpulse.storage import tables
from fleetpulse.storage.compare import Compared, Difference, Slice, compare, mend
from fleetpulse.storage.pending import pending, touched_through
from fleetpulse.storage.recompute import HOUR_SECONDS, Rollup
from fleetpulse.storage.slices import Slices, rows_by_hour

SHOWN = 100
LOOK_AGAIN_SECONDS = 1.0


class Named(NamedTuple):
    """The series of a difference; empty when the id is not registered."""

    host: str
    metric: str
    labels: dict[str, str]


@dataclass(slots=True)
class TierReport:
    """What was found in one tier; `mended` of the `differing` buckets are right now."""

    tier: str
    buckets: int = 0
    samples: int = 0
    differing: int = 0
    mended: int = 0
    pending: int = 0  # buckets of a partition, of all its series
    differences: list[tuple[Difference, Named]] = field(default_factory=list)


class Progress(NamedTuple):
    """How far it has come: for the line on a terminal."""

    tier: str
    hour: int
    hours_done: int
    hours: int
    differing: int


class Verifier:
    """One run. `patience_seconds`: how long in all differences are looked at again before they count."""

    def __init__(
        self,
        client: Client,
        topic: str,
        partitions: int,
        *,
        host: str = "",
        repair: bool = False,
        patience_seconds: float = 0.0,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._client, self._topic, self._partitions = client, topic, partitions
        self._host, self._repair = host, repair
        self._patience = patience_seconds
        self._progress = progress
        self._ranges = Slices(client)

    def run(self, rollup: Rollup, start: int, end: int) -> TierReport:
        """Compare the tier's buckets in [start, end), seconds since the epoch and multiples of the bucket."""
        report = TierReport(rollup.name)
        known = pending(self._client, self._topic, rollup, start, end)
        numbers = {partition_of(self._host, self._partitions)} if self._host else set(range(self._partitions))
        report.pending = sum(len(partitions & numbers) for partitions in known.values())
        raw = rows_by_hour(self._client, tables.SAMPLES, start, end)
        stored = rows_by_hour(self._client, rollup.table, start, end)
        hours = sorted(raw.keys() | stored.keys())
        for done, hour in enumerate(hours):
            self._progress(Progress(rollup.name, hour, done, len(hours), report.differing))
            rows = 1 if self._host else max(raw.get(hour, 0), stored.get(hour, 0))
            for low, high in self._ranges.of_rows(rows):
                part = Slice(low, high, max(start, hour), min(end, hour + HOUR_SECONDS), self._host)
                self._check(rollup, part, report, _within(known, part))
        return report

    def _check(self, rollup: Rollup, part: Slice, report: TierReport, known: Mapping[int, frozenset[int]]) -> None:
        found = compare(self._client, rollup, part, known, self._partitions)
        while found.differing and self._patience > 0:
            time.sleep(LOOK_AGAIN_SECONDS)
            self._patience -= LOOK_AGAIN_SECONDS
            found = self._compare(rollup, part)
        report.buckets += found.buckets
        report.samples += found.samples
        report.differing += found.differing
        room = max(0, SHOWN - len(report.differences))
        if found.differing:
            named = self.names(one.id for one in found.differences)
            report.differences += [(one, named.get(one.id, UNKNOWN)) for one in found.differences[:room]]
        if self._repair and found.differing:
            report.mended += found.differing - self._mend(rollup, part, found)

    def _mend(self, rollup: Rollup, part: Slice, found: Compared) -> int:
        """Mend until nothing differs; how much still does when mending no longer helps."""
        while found.differing:
            before = found.differing
            for partition, wrong in self._by_partition(found.differences).items():
                through = touched_through(self._client, self._topic, partition) if partition >= 0 else 0
                mend(self._client, rollup, wrong, through)
            found = self._compare(rollup, part)
            if found.differing >= before:
                break
        return found.differing

    def _compare(self, rollup: Rollup, part: Slice) -> Compared:
        unfinished = pending(self._client, self._topic, rollup, part.start, part.end)
        return compare(self._client, rollup, part, unfinished, self._partitions)

    def _by_partition(self, differences: Sequence[Difference]) -> dict[int, list[Difference]]:
        named = self.names(one.id for one in differences)
        grouped: dict[int, list[Difference]] = defaultdict(list)
        for one in differences:
            host = named.get(one.id, UNKNOWN).host
            grouped[partition_of(host, self._partitions) if host else -1].append(one)
        return grouped

    def names(self, ids: Iterable[int]) -> Mapping[int, Named]:
        """By id, of registered series."""
        rows = self._client.execute(
            "SELECT id, any(host), any(metric_name), any(mapFilter((name, _) -> name != '__name__', tags)) "
            f"FROM {tables.SERIES} WHERE id IN ({', '.join(map(str, sorted(set(ids)))) or 0}) GROUP BY id"
        )
        return {one: Named(host, metric, labels) for one, host, metric, labels in rows}


def _within(pending: Mapping[int, frozenset[int]], part: Slice) -> dict[int, frozenset[int]]:
    return {bucket: partitions for bucket, partitions in pending.items() if part.start <= bucket < part.end}


UNKNOWN = Named("", "", {})
