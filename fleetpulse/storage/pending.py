"""Which buckets the ledger knows to be unfinished: touched at an offset above the one they are marked clean through."""

from collections import defaultdict
from collections.abc import Mapping

from clickhouse_driver import Client

from fleetpulse.storage import tables
from fleetpulse.storage.recompute import INCARNATION_SHIFT, Rollup

TOUCHED = f"bitShiftLeft(toUInt64(incarnation), {INCARNATION_SHIFT}) + next_offset"
# A sample is at most so much older than its message (`FLEETPULSE_INGEST_MAX_FUTURE_SECONDS` is minutes).
_AHEAD_DAYS = 1
# Tier → its table of marks, and the column with the start of the bucket.
_MARKS: Mapping[str, tuple[str, str]] = {"1m": (tables.CLEAN_MARKS, "minute"), "1h": (tables.HOUR_MARKS, "hour")}


def pending(client: Client, topic: str, rollup: Rollup, start: int, end: int) -> dict[int, frozenset[int]]:
    """Bucket (start in seconds) → the partitions in which it is unfinished, for buckets in [start, end)."""
    table, column = _MARKS[rollup.name]
    rows = client.execute(
        f"""
        SELECT toUnixTimestamp(bucket), partition
        FROM
        (
            SELECT partition, arrayJoin(arrayMap(
                       at -> toStartOfInterval(at, INTERVAL {rollup.seconds} SECOND, 'UTC'),
                       arrayFilter(at -> toUnixTimestamp(at) >= {{start:Int64}} AND toUnixTimestamp(at) < {{end:Int64}},
                                   minutes))) AS bucket, max({TOUCHED}) AS touched
            FROM {tables.LEDGER}
            WHERE topic = {{topic:String}} AND appended >= fromUnixTimestamp64Milli(toInt64({{start:Int64}} * 1000))
                  - INTERVAL {_AHEAD_DAYS} DAY
            GROUP BY partition, bucket
        ) AS entries
        LEFT JOIN
        (
            SELECT partition, {column} AS bucket, max(through) AS through FROM {table}
            WHERE topic = {{topic:String}} AND toUnixTimestamp({column}) >= {{start:Int64}}
                  AND toUnixTimestamp({column}) < {{end:Int64}}
            GROUP BY partition, bucket
        ) AS marks USING (partition, bucket)
        WHERE touched > through
        """,
        {"topic": topic, "start": start, "end": end},
    )
    found: dict[int, set[int]] = defaultdict(set)
    for bucket, partition in rows:
        found[bucket].add(partition)
    return {bucket: frozenset(partitions) for bucket, partitions in found.items()}


def place_of(incarnation: int, offset: int) -> int:
    """An offset as the marks have it: `TOUCHED` of a ledger row."""
    return (incarnation << INCARNATION_SHIFT) + offset


def touched_through(client: Client, topic: str, partition: int) -> int:
    """The place below which the partition's raw rows are in the table."""
    [(through,)] = client.execute(
        f"SELECT max({TOUCHED}) FROM {tables.LEDGER} WHERE topic = {{topic:String}} AND partition = {{p:UInt32}}",
        {"topic": topic, "p": partition},
    )
    return int(through)
