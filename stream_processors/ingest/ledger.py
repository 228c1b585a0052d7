"""The ledger: what was put into the raw table, which buckets that touched, which of them are clean, the accounts.

A bucket is dirty when it was touched at an offset above the one it was last flushed clean through. That is derived
from the two tables whenever a partition is taken over, never only remembered.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from clickhouse_driver import Client

from fleetpulse.storage import tables
from fleetpulse.storage.pending import TOUCHED
from stream_processors.ingest.accounts import Accounts
from stream_processors.ingest.intake import Chunk

SECONDS = 60
HOUR_SECONDS = 3600


class Touched(NamedTuple):
    """Minutes since the epoch that earlier owners touched, and those of them that are not clean."""

    minutes: frozenset[int]
    dirty: frozenset[int]


class Reached(NamedTuple):
    """The next offset of a partition, the newest append time (ms) before it, and which incarnation of the topic."""

    next_offset: int
    append_ms: int
    incarnation: int = 0


class Entry(NamedTuple):
    """One ledger row: a chunk, how many rows it stored, and the minutes it touched.

    `lost`: messages before it that nobody could read. `unsettled`: an earlier owner may have stored it without a row.
    """

    chunk: Chunk
    stored: int
    minutes: Sequence[int]
    unsettled: bool = False
    incarnation: int = 0
    lost: int = 0


def insert_entries(client: Client, topic: str, entries: Sequence[Entry], token: str) -> None:
    """Write the rows of one batch."""
    client.execute(
        f"INSERT INTO {tables.LEDGER} ({', '.join(tables.LEDGER_COLUMNS)}) VALUES",
        [_row(topic, entry) for entry in entries],
        settings={"insert_deduplication_token": token},
    )


def _row(topic: str, entry: Entry) -> tuple[Any, ...]:
    chunk = entry.chunk
    names = sorted(chunk.producers)
    producers = [chunk.producers[name] for name in names]
    return (
        topic,
        chunk.partition,
        chunk.first_offset,
        chunk.next_offset,
        chunk.append_ms,
        chunk.frames,
        len(chunk.letters),
        entry.stored,
        chunk.refused.total(),
        names,
        [producer.first_seq for producer in producers],
        [producer.last_seq for producer in producers],
        [producer.frames for producer in producers],
        [producer.samples for producer in producers],
        [minute * SECONDS for minute in entry.minutes],
        1,
        int(entry.unsettled),
        entry.incarnation,
        entry.lost,
        *_account_columns(chunk.accounts),
    )


def _seconds(hour: int) -> int:
    return max(0, hour) * HOUR_SECONDS


def _account_columns(accounts: Accounts) -> list[list[Any]]:
    producers, hosts, hours, firsts, samples = accounts.span_columns()
    doubts = accounts.doubts.values()
    dead, dropped, replayed = accounts.dead, accounts.dropped, accounts.replayed
    return [
        producers,
        hosts,
        [hour * HOUR_SECONDS for hour in hours],
        firsts,
        samples,
        [host for host, _ in accounts.doubts],
        [_seconds(hour) for _, hour in accounts.doubts],
        *(list(map(attrgetter(name), doubts)) for name in ("refused", "known", "found")),
        [one.span.producer for one in dead],
        [one.seq for one in dead],
        [one.span.host for one in dead],
        [_seconds(one.span.hour) for one in dead],
        [one.span.first for one in dead],
        [one.span.samples for one in dead],
        [one.producer for one in dropped],
        [one.seq for one in dropped],
        [one.host for one in dropped],
        [_seconds(one.hour) for one in dropped],
        [one.samples for one in dropped],
        [producer for producer, _ in replayed],
        [seq for _, seq in replayed],
        sorted(accounts.closed),
    ]


def read_touched(client: Client, topic: str, partition: int) -> Touched:
    """What earlier owners of the partition touched."""
    rows = client.execute(
        f"""
        SELECT intDiv(toUnixTimestamp(minute), {SECONDS}), touched > through
        FROM
        (
            SELECT arrayJoin(minutes) AS minute, max({TOUCHED}) AS touched FROM {tables.LEDGER}
            WHERE topic = {{topic:String}} AND partition = {{partition:UInt32}} GROUP BY minute
        ) AS entries
        LEFT JOIN
        (
            SELECT minute, max(through) AS through FROM {tables.CLEAN_MARKS}
            WHERE topic = {{topic:String}} AND partition = {{partition:UInt32}} GROUP BY minute
        ) AS marks USING (minute)
        """,
        {"topic": topic, "partition": partition},
    )
    return Touched(frozenset(minute for minute, _ in rows), frozenset(minute for minute, dirty in rows if dirty))


def read_reached(client: Client, topic: str, partition: int) -> Reached | None:
    """Up to where earlier owners stored the partition; None when there was none."""
    rows = client.execute(
        f"""
        SELECT max(next_offset), toUnixTimestamp64Milli(max(appended)), incarnation FROM {tables.LEDGER}
        WHERE topic = {{topic:String}} AND partition = {{partition:UInt32}}
        GROUP BY incarnation ORDER BY incarnation DESC LIMIT 1
        """,
        {"topic": topic, "partition": partition},
    )
    return Reached(*map(int, rows[0])) if rows else None


def insert_marks(client: Client, topic: str, marks: Iterable[tuple[int, int, int]]) -> None:
    """Mark buckets clean: (partition, minute, `place_of` the next offset through which it is)."""
    client.execute(
        f"INSERT INTO {tables.CLEAN_MARKS} ({', '.join(tables.CLEAN_MARKS_COLUMNS)}) VALUES",
        [(topic, partition, minute * SECONDS, through) for partition, minute, through in marks],
    )
