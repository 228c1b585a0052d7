"""Inserts of samples and rollups: large, sorted by the table's order, split by day, guarded by a token.

A token makes the retry of an ambiguous insert safe: ClickHouse skips a block whose token it has seen. A token is
made for one set of rows and never used for another, or those rows would be dropped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from clickhouse_driver import Client

from fleetpulse.storage import tables
from fleetpulse.storage.native import insert_arrays

DAY_MS = 86_400_000
MINUTE_SECONDS = 60


class SampleColumns(NamedTuple):
    """`id` uint64[n], `ts` int64[n] ms, `value` float64[n]."""

    id: npt.NDArray[np.uint64]
    ts: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]

    def pick(self, chosen: npt.NDArray[Any]) -> "SampleColumns":
        """The rows at these places, or where the mask is true."""
        return SampleColumns(self.id[chosen], self.ts[chosen], self.value[chosen])


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


def join_samples(parts: Sequence[SampleColumns]) -> SampleColumns:
    """One after the other."""
    if len(parts) == 1:
        return parts[0]
    return SampleColumns(
        np.concatenate([part.id for part in parts]),
        np.concatenate([part.ts for part in parts]),
        np.concatenate([part.value for part in parts]),
    )


def join_rollups(parts: Sequence[RollupColumns]) -> RollupColumns:
    """One after the other."""
    names = [item.name for item in fields(RollupColumns)]
    return RollupColumns(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def days_of(samples: SampleColumns) -> list[SampleColumns]:
    """The samples sorted by (id, time), one part a day: a part of the table holds one day."""
    if not len(samples.id):
        return []
    return list(_split_by_day(_by_id(samples)))


def _by_id(samples: SampleColumns) -> SampleColumns:
    """Sorted by id; rows of one id that stand side by side, which come in order of time, stay together."""
    begins = np.flatnonzero(np.concatenate(([True], samples.id[1:] != samples.id[:-1])))
    ids = samples.id[begins]
    if (ids[1:] > ids[:-1]).all():
        return samples
    order = np.argsort(ids, kind="stable")
    lengths = np.diff(np.append(begins, len(samples.id)))[order]
    shift = begins[order] - (np.cumsum(lengths) - lengths)
    place = np.repeat(shift, lengths)
    place += np.arange(len(place))
    return SampleColumns(np.repeat(ids[order], lengths), samples.ts[place], samples.value[place])


def _split_by_day(samples: SampleColumns) -> Iterator[SampleColumns]:
    low, high = int(samples.ts.min()) // DAY_MS, int(samples.ts.max()) // DAY_MS
    if low == high:
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
