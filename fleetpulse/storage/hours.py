"""Build one-hour rollups from the raw samples, and what the ledger says about which hours need it: statements.

A row's version is the number of distinct samples and then the offset through which its partition's samples were in the
table, so that two owners at once, or a frozen one that wakes up late, leave the same row behind.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from clickhouse_driver import Client

from fleetpulse.storage import tables
from fleetpulse.storage.pending import INCARNATION_SHIFT, TOUCHED
from fleetpulse.storage.recompute import HOUR_SECONDS, HOURS, INSERT_SETTINGS, MOST_OFFSET, between, recompute, version
from fleetpulse.storage.repair import of_partitions
from fleetpulse.storage.slices import Slices, rows_by_hour

# One thread of the server: what is built in the background may not stand in the way of the inserts.
_SETTINGS = {**INSERT_SETTINGS, "max_threads": 1}


class Touched(NamedTuple):
    """What the ledger has of a partition: minute (start in seconds) → the offset through which it was touched."""

    minutes: dict[int, int]
    next_offset: int


def read_touched(client: Client, topic: str, partition: int, from_offset: int) -> Touched:
    """The ledger's rows that begin at `from_offset` or later; all offsets with their incarnation (`place_of`)."""
    rows = client.execute(
        f"""
        SELECT toUnixTimestamp(arrayJoin(minutes)) AS minute, max({TOUCHED}) FROM {tables.LEDGER}
        WHERE topic = {{topic:String}} AND partition = {{partition:UInt32}}
              AND bitShiftLeft(toUInt64(incarnation), {INCARNATION_SHIFT}) + first_offset >= {{first:UInt64}}
        GROUP BY minute
        """,
        {"topic": topic, "partition": partition, "first": from_offset},
    )
    minutes = {int(minute): int(offset) for minute, offset in rows}
    return Touched(minutes, max(minutes.values(), default=0))


def read_hour_marks(client: Client, topic: str, partition: int) -> dict[int, int]:
    """Hour (start in seconds) → the offset through which it is built."""
    rows = client.execute(
        f"SELECT toUnixTimestamp(hour), max(through) FROM {tables.HOUR_MARKS} "
        "WHERE topic = {topic:String} AND partition = {partition:UInt32} GROUP BY hour",
        {"topic": topic, "partition": partition},
    )
    return {int(hour): int(through) for hour, through in rows}


def read_minute_marks(client: Client, topic: str, partition: int, minutes: Iterable[int]) -> dict[int, int]:
    """The same of these minutes."""
    chosen = ", ".join(map(str, sorted(minutes))) or "0"
    rows = client.execute(
        f"SELECT toUnixTimestamp(minute), max(through) FROM {tables.CLEAN_MARKS} WHERE topic = {{topic:String}} "
        f"AND partition = {{partition:UInt32}} AND minute IN ({chosen}) GROUP BY minute",
        {"topic": topic, "partition": partition},
    )
    return {int(minute): int(through) for minute, through in rows}


def build(client: Client, hour: int, through: Mapping[int, int], partitions: int) -> int:
    """Rebuild an hour (start in seconds) of the partitions in `through` (partition → offset); the rows written."""
    whole = len(through) >= partitions
    owned = "" if whole else f" AND id IN ({of_partitions(sorted(through), partitions)})"
    numbers = ", ".join(map(str, sorted(through)))
    offsets = ", ".join(f"toUInt64({min(through[number], MOST_OFFSET)})" for number in sorted(through))
    end, written = hour + HOUR_SECONDS, 0
    rows_of = rows_by_hour(client, tables.SAMPLES, hour, end)
    for low, high in Slices(client).of_rows(rows_of.get(hour, 0)):
        ids = f"id >= {low} AND id <= {high}"
        rows = recompute(HOURS, f"{ids} AND {between(hour, end)}{owned}", f"{version(0)} AS version", merging=False)
        values = ", ".join(f"`{column}`" for column in HOURS.columns if column != "version")
        client.execute(
            f"""
            INSERT INTO {HOURS.table} ({values}, version)
            SELECT {values}, version + transform(partition, [{numbers}], [{offsets}], toUInt64(0))
            FROM ({rows}) AS built
            INNER JOIN
            (
                SELECT id, any(kafkaMurmurHash(host) % {int(partitions)}) AS partition FROM {tables.SERIES}
                WHERE {ids} GROUP BY id
            ) AS named USING (id)
            """,
            settings=_SETTINGS,
        )
        written += client.last_query.progress.written_rows
    return written


def insert_hour_marks(client: Client, topic: str, hour: int, through: Mapping[int, int]) -> None:
    """Say that the hour is built through these offsets."""
    client.execute(
        f"INSERT INTO {tables.HOUR_MARKS} ({', '.join(tables.HOUR_MARKS_COLUMNS)}) VALUES",
        [(topic, partition, hour, offset) for partition, offset in through.items()],
    )


class Complete(NamedTuple):
    """A partition's tier is complete before this time (seconds since the epoch), as seen through this offset."""

    partition: int
    tier: str
    before: int
    through: int


def forget_partitions(client: Client, topic: str, partitions: int) -> None:
    """Partitions that the topic has no more would tell readers for ever that nothing newer is complete."""
    gone = f"topic = {{topic:String}} AND partition >= {int(partitions)}"
    [(number,)] = client.execute(f"SELECT count() FROM {tables.ROLLED_UP} WHERE {gone}", {"topic": topic})
    if number:
        client.execute(f"DELETE FROM {tables.ROLLED_UP} WHERE {gone}", {"topic": topic})


def insert_complete(client: Client, topic: str, rows: Iterable[Complete]) -> None:
    """Tell readers how far the tiers are complete."""
    client.execute(
        f"INSERT INTO {tables.ROLLED_UP} ({', '.join(tables.ROLLED_UP_COLUMNS)}) VALUES",
        [(topic, row.partition, row.tier, row.before, row.through) for row in rows],
    )
