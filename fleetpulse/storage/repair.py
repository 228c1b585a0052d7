"""Recompute one-minute buckets from the raw samples, by one INSERT SELECT a group of minutes.

The same functions as in `fleetpulse/windows/minute.py`, over every raw sample that is in the table; the version puts
a repaired row above the row of a window, and a later repair with more samples above an earlier one.
"""

from collections.abc import Iterable, Sequence

from clickhouse_driver import Client

from fleetpulse.storage import tables

MINUTES_AT_ONCE = 60
_MINUTE = 60

_STATEMENT = f"""
INSERT INTO {tables.SAMPLES_1M} ({", ".join(tables.SAMPLES_1M_COLUMNS)})
SELECT id, minute, length(numbers), total - length(numbers),
       if(empty(numbers), nan, arraySum(numbers)),
       if(empty(numbers), nan, arrayMin(numbers)),
       if(empty(numbers), nan, arrayMax(numbers)),
       if(empty(numbers), nan, numbers[1]),
       if(empty(numbers), nan, numbers[-1]),
       if(empty(numbers), nan,
          arraySum(arrayMap((p, c) -> if(c >= p, c - p, c), arrayPopBack(numbers), arrayPopFront(numbers)))),
       {tables.REPAIR_GENERATION} + total
FROM
(
    SELECT id, minute, total, arrayMap(pair -> pair.2, arraySort(pair -> pair.1, pairs)) AS numbers
    FROM
    (
        SELECT id, toStartOfMinute(timestamp) AS minute, count() AS total,
               groupArrayIf((timestamp, value), NOT isNaN(value)) AS pairs
        FROM {tables.SAMPLES} FINAL
        WHERE timestamp >= fromUnixTimestamp64Milli(toInt64({{start}}))
          AND timestamp < fromUnixTimestamp64Milli(toInt64({{end}}))
          AND toUnixTimestamp(toStartOfMinute(timestamp)) IN ({{minutes}})
          AND id IN ({{ids}})
        GROUP BY id, minute
    )
)
"""


def repair(client: Client, minutes: Iterable[int], ids: Sequence[int] | None, partition: tuple[int, int]) -> None:
    """Recompute the buckets of `minutes` (since the epoch) for the series `ids`.

    ``ids=None`` means every series of the partition: `partition` is (number, number of partitions).
    """
    if ids is not None and not ids:
        return
    chosen = ", ".join(map(str, ids)) if ids is not None else _of_partition(*partition)
    for group in _groups(sorted(set(minutes))):
        statement = _STATEMENT.format(
            start=group[0] * _MINUTE * 1000,
            end=(group[-1] + 1) * _MINUTE * 1000,
            minutes=", ".join(str(minute * _MINUTE) for minute in group),
            ids=chosen,
        )
        # Not deduplicated: a repeated repair is another insert, even when its rows are those of an earlier one.
        client.execute(statement, settings={"deduplicate_insert": "disable", "insert_deduplicate": 0})


def _of_partition(partition: int, partitions: int) -> str:
    # kafkaMurmurHash is Kafka's murmur2 with the sign bit taken off, as in fleetpulse/partition.py.
    return f"SELECT id FROM {tables.SERIES} WHERE kafkaMurmurHash(host) % {int(partitions)} = {int(partition)}"


def _groups(minutes: list[int]) -> Iterable[list[int]]:
    group: list[int] = []
    for minute in minutes:
        if group and minute - group[0] >= MINUTES_AT_ONCE:
            yield group
            group = []
        group.append(minute)
    if group:
        yield group
