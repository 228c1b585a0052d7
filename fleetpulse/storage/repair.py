"""Recompute one-minute buckets from the raw samples, by one INSERT SELECT a group of minutes.

The version puts a recomputed row above the row of a window, and a later one with more samples, or with the same from
more offsets, above an earlier one, whichever of two owners inserts last.
"""

from collections.abc import Iterable, Sequence

from clickhouse_driver import Client

from fleetpulse.storage import tables
from fleetpulse.storage.recompute import INSERT_SETTINGS, MINUTES, between, recompute, version

MINUTES_AT_ONCE = 60
_MINUTE = 60


def repair(
    client: Client,
    minutes: Iterable[int],
    ids: Sequence[int] | None,
    partition: tuple[int, int],
    through: int = 0,
) -> None:
    """Recompute the buckets of `minutes` (since the epoch) for the series `ids`.

    ``ids=None`` means every series of the partition: `partition` is (number, number of partitions). All raw rows of
    the partition below the offset `through` are in the table.
    """
    if ids is not None and not ids:
        return
    chosen = ", ".join(map(str, ids)) if ids is not None else of_partitions([partition[0]], partition[1])
    for group in _groups(sorted(set(minutes))):
        starts = ", ".join(str(minute * _MINUTE) for minute in group)
        condition = (
            f"{between(group[0] * _MINUTE, (group[-1] + 1) * _MINUTE)} "
            f"AND toUnixTimestamp(toStartOfMinute(timestamp)) IN ({starts}) AND id IN ({chosen})"
        )
        client.execute(
            f"INSERT INTO {MINUTES.table} ({', '.join(MINUTES.columns)})"
            + recompute(MINUTES, condition, f"{version(through)} AS version"),
            settings=INSERT_SETTINGS,
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
