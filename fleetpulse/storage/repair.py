"""Recompute one-minute buckets from the raw samples, of many partitions by one INSERT SELECT a slice of series.

The version puts a recomputed row above the row of a window, and a later one with more samples, or with the same from
a later place, above an earlier one, whichever of two owners inserts last. So a bucket may be recomputed only once its
window has closed: what the window wrote afterwards would never be seen.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from clickhouse_driver import Client

from fleetpulse.storage import tables
from fleetpulse.storage.native import query_with_arrays
from fleetpulse.storage.recompute import INSERT_SETTINGS, MINUTES, between, in_version, recompute, version
from fleetpulse.storage.slices import SAMPLES_AT_ONCE, Slices, ids_between

MINUTES_AT_ONCE = 60
_MINUTE = 60
# One thread of the server: what is built in the background may not stand in the way of the inserts.
_SETTINGS = {**INSERT_SETTINGS, "max_threads": 1}
_WANTED = {"id": "UInt64", "reached": "UInt64"}


def repair(
    client: Client,
    minutes: Iterable[int],
    whole: Mapping[int, int],
    named: Mapping[int, Sequence[int]],
    partitions: int,
) -> int:
    """Recompute the buckets of `minutes` (since the epoch); the rows written. Safe to repeat.

    `whole`: partition → place (`pending.place_of`), of those whose series are all recomputed. `named`: place → ids of
    series of other partitions. All raw rows of a partition below its place are in the table. `partitions`: how many
    there are.
    """
    series = _Series(whole, named, partitions)
    slices, written = Slices(client), 0
    for group in _groups(sorted(set(minutes))):
        first, last = group[0] * _MINUTE, (group[-1] + 1) * _MINUTE
        samples = series.named * len(group) * _MINUTE  # one a second
        if whole or samples > SAMPLES_AT_ONCE:
            [(samples,)] = client.execute(f"SELECT count() FROM {tables.SAMPLES} WHERE {between(first, last)}")
        starts = ", ".join(str(minute * _MINUTE) for minute in group)
        for low, high in slices.of_rows(int(samples)):
            ids = ids_between(low, high)
            condition = (
                f"{ids} AND {between(first, last)} AND toUnixTimestamp(toStartOfMinute(timestamp)) IN ({starts}) "
                f"AND id IN (SELECT id FROM ({series.query(ids)}))"
            )
            written += series.insert(client, condition, ids)
    return written


class _Series:
    """What is recomputed, as a query that gives id and place."""

    def __init__(self, whole: Mapping[int, int], named: Mapping[int, Sequence[int]], partitions: int) -> None:
        self._whole = {number: in_version(place) for number, place in sorted(whole.items())}
        self._partitions = int(partitions)
        ids = [np.array(of_place, dtype=np.uint64) for of_place in named.values()]
        reached = [np.full(len(of_place), in_version(place), dtype=np.uint64) for place, of_place in named.items()]
        self._ids: npt.NDArray[np.uint64] = np.concatenate([*ids, np.empty(0, np.uint64)])
        self._reached: npt.NDArray[np.uint64] = np.concatenate([*reached, np.empty(0, np.uint64)])

    @property
    def named(self) -> int:
        """How many are named."""
        return len(self._ids)

    def query(self, ids: str) -> str:
        """Of the ids that meet this condition."""
        return " UNION ALL ".join(
            ([f"SELECT id, reached FROM wanted WHERE {ids}"] if len(self._ids) else [])
            + ([self._of_partitions(ids)] if self._whole else [])
        )

    def insert(self, client: Client, condition: str, ids: str) -> int:
        """The rows of the samples that meet the condition, with the place in the version; how many."""
        values = ", ".join(f"`{column}`" for column in MINUTES.values)
        statement = f"""
            INSERT INTO {MINUTES.table} (id, timestamp, {values}, version)
            SELECT id, timestamp, {values}, version + reached
            FROM ({recompute(MINUTES, condition, f"{version(0)} AS version")}) AS built
            ANY LEFT JOIN ({self.query(ids)}) AS wanted_series USING (id)
            """
        if len(self._ids):
            query_with_arrays(client, statement, "wanted", _WANTED, [self._ids, self._reached], _SETTINGS)
        else:
            client.execute(statement, settings=_SETTINGS)
        return int(client.last_query.progress.written_rows)

    def _of_partitions(self, ids: str) -> str:
        offsets = ", ".join(f"toUInt64({offset})" for offset in self._whole.values())
        numbers = ", ".join(map(str, self._whole))
        return (
            f"SELECT id, transform(kafkaMurmurHash(host) % {self._partitions}, [{numbers}], [{offsets}], toUInt64(0)) "
            f"AS reached FROM {tables.SERIES} WHERE {ids} AND kafkaMurmurHash(host) % {self._partitions} IN ({numbers})"
        )


def of_partitions(numbers: Iterable[int], partitions: int) -> str:
    """SELECT of the ids of these partitions' series."""
    # kafkaMurmurHash is Kafka's murmur2 with the sign bit taken off, as in fleetpulse/partition.py.
    chosen = ", ".join(str(int(number)) for number in numbers)
    return f"SELECT id FROM {tables.SERIES} WHERE kafkaMurmurHash(host) % {int(partitions)} IN ({chosen})"


def _groups(minutes: list[int]) -> Iterable[list[int]]:
    group: list[int] = []
    for minute in minutes:
        if group and minute - group[0] >= MINUTES_AT_ONCE:
            yield group
            group = []
        group.append(minute)
    if group:
        yield group
