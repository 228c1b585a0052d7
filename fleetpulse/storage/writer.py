"""Inserts of samples and rollups: large, sorted by the table's order, split by day, guarded by a token.

A token makes the retry of an ambiguous insert safe: ClickHouse skips a block whose token it has seen. A token is
made for one set of rows and never used for another, or those rows would be dropped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from clickhouse_driver import Client

from fleetpulse.storage import tables
from fleetpulse.storage.columns import Part, SampleColumns, by_id, span_of
from fleetpulse.storage.native import insert_arrays

DAY_MS = 86_400_000
MINUTE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RollupColumns:
    """Finished one-minute buckets: `minute` uint32[n] in seconds, the rest as in `samples_1m`."""

    id: npt.NDArray[np.uint64]
    minute: npt.NDArray[np.uint32]
    count: npt.NDArray[np.uint32]
    nans: npt.NDArray[np.uint32]
    sum: npt.NDArray[np.float64]
    min: npt.NDArray[np.float64]
    max: npt.NDArray[np.float64]
    first: npt.NDArray[np.float64]
    last: npt.NDArray[np.float64]
    increase: npt.NDArray[np.float64]


def join_rollups(parts: Sequence[RollupColumns]) -> RollupColumns:
    """All rows, by (id, minute) when each part is of one minute and no later one comes before it.

    Minutes with the same series, one after the other, are sorted once.
    """
    groups: list[list[RollupColumns]] = []
    for part in parts:
        if groups and np.array_equal(groups[-1][0].id, part.id):
            groups[-1].append(part)
        else:
            groups.append([part])
    lengths = np.repeat([len(group) for group in groups], [len(group[0].id) for group in groups])
    order = np.argsort(np.concatenate([group[0].id for group in groups]), kind="stable")
    places = np.empty_like(lengths)
    places[order] = np.cumsum(lengths[order]) - lengths[order]
    names, rows = [item.name for item in fields(RollupColumns)], int(lengths.sum())
    columns = [np.empty(rows, dtype=getattr(parts[0], name).dtype) for name in names]
    at = 0
    for group in groups:
        to = places[at : at + len(group[0].id)]
        at += len(to)
        for part in group:
            for name, column in zip(names, columns, strict=True):
                column[to] = getattr(part, name)
            to += 1
    return RollupColumns(*columns)


def days_of(*parts: Part) -> list[SampleColumns]:
    """The samples sorted by (id, time), one item a day: a part of the table holds one day."""
    full = [part for part in parts if part.ts.size]
    if not full:
        return []
    spans = [span_of(part) for part in full]
    return list(_split_by_day(by_id(full), min(low for low, _ in spans), max(high for _, high in spans)))


def _split_by_day(samples: SampleColumns, earliest_ms: int, latest_ms: int) -> Iterator[SampleColumns]:
    if earliest_ms // DAY_MS == latest_ms // DAY_MS:
        yield samples
        return
    days = samples.ts // DAY_MS
    for day in np.unique(days):
        yield samples.pick(days == day)


def insert_samples(client: Client, samples: SampleColumns, token: str) -> None:
    """One day's samples; `token` is the same for every attempt to insert these rows, and for no others."""
    insert_arrays(
        client,
        tables.SAMPLES,
        dict(zip(tables.SAMPLES_COLUMNS, samples, strict=True)),
        {"insert_deduplication_token": token},
    )


def insert_rollups(client: Client, rows: RollupColumns, token: str) -> None:
    """Finished one-minute buckets; the version is the number of distinct samples in the bucket."""
    if not _in_order(rows):  # of the table: the server need not sort
        order = np.lexsort((rows.minute, rows.id))
        rows = RollupColumns(*(getattr(rows, item.name)[order] for item in fields(rows)))
    columns = {
        name: getattr(rows, item.name) for name, item in zip(tables.SAMPLES_1M_COLUMNS, fields(rows), strict=False)
    }
    columns["version"] = (rows.count + rows.nans).astype(np.uint64)
    insert_arrays(client, tables.SAMPLES_1M, columns, {"insert_deduplication_token": token})


def _in_order(rows: RollupColumns) -> bool:
    ids, minutes = rows.id, rows.minute
    later = (ids[1:] == ids[:-1]) & (minutes[1:] >= minutes[:-1])
    return bool(((ids[1:] > ids[:-1]) | later).all())
