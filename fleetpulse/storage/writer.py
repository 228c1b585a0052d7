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
    """One after the other."""
    names = [item.name for item in fields(RollupColumns)]
    return RollupColumns(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


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
    order = np.lexsort((rows.minute, rows.id))  # the table's order: the server need not sort
    columns = {
        name: getattr(rows, item.name)[order]
        for name, item in zip(tables.SAMPLES_1M_COLUMNS, fields(rows), strict=False)
    }
    columns["version"] = (rows.count[order] + rows.nans[order]).astype(np.uint64)
    insert_arrays(client, tables.SAMPLES_1M, columns, {"insert_deduplication_token": token})
