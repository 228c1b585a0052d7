"""Build one-hour rollups from minutes and raw samples, and what the ledger says about which hours need it: statements.

A row's version is the number of distinct samples and then the offset through which its partition's samples were in the
table, so that two owners at once, or a frozen one that wakes up late, leave the same row behind.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from clickhouse_driver import Client

from fleetpulse.storage import tables
from fleetpulse.storage.from_minutes import from_minutes
from fleetpulse.storage.pending import TOUCHED
from fleetpulse.storage.recompute import (
    HOUR_SECONDS,
    HOURS,
    INCARNATION_SHIFT,
    INSERT_SETTINGS,
    MOST_OFFSET,
    between,
    fits,
    in_version,
    recompute,
    version,
)
from fleetpulse.storage.repair import of_partitions
from fleetpulse.storage.slices import Slices, ids_between

# One thread of the server: what is built in the background may not stand in the way of the inserts.
_SETTINGS = {**INSERT_SETTINGS, "max_threads": 1}
MINUTES_NAMED = 2000  # in one statement, which may have 256 KiB
SAMPLES_AT_ONCE = 4_000_000  # of one statement that reads minutes: about 20 bytes each, with noise 80


class Touched(NamedTuple):
    """What the ledger has of a partition: minute (start in seconds) → the offset through which it was touched."""

    minutes: dict[int, int]
    next_offset: int


def read_touched(client: Client, topic: str, from_offsets: Mapping[int, int]) -> dict[int, Touched]:
    """By partition, the ledger's rows that begin at its offset or later; all offsets with their incarnation.

    One statement: what a small one costs does not depend on how much it reads.
    """
    first = f"bitShiftLeft(toUInt64(incarnation), {INCARNATION_SHIFT}) + first_offset"
    chosen = " OR ".join(f"(partition = {one} AND {first} >= {least})" for one, least in from_offsets.items())
    rows = client.execute(
        f"""
        SELECT partition, toUnixTimestamp(arrayJoin(minutes)) AS minute, max({TOUCHED}) FROM {tables.LEDGER}
        WHERE topic = {{topic:String}} AND ({chosen or "false"}) GROUP BY partition, minute
        """,
        {"topic": topic},
    )
    minutes: dict[int, dict[int, int]] = {one: {} for one in from_offsets}
    for partition, minute, offset in rows:
        minutes[partition][minute] = offset
    return {one: Touched(touched, max(touched.values(), default=0)) for one, touched in minutes.items()}


def read_hour_marks(client: Client, topic: str, partition: int) -> dict[int, int]:
    """Hour (start in seconds) → the offset through which it is built."""
    rows = client.execute(
        f"SELECT toUnixTimestamp(hour), max(through) FROM {tables.HOUR_MARKS} "
        "WHERE topic = {topic:String} AND partition = {partition:UInt32} GROUP BY hour",
        {"topic": topic, "partition": partition},
    )
    return {int(hour): int(through) for hour, through in rows}


def read_minute_marks(client: Client, topic: str, minutes: Mapping[int, Collection[int]]) -> dict[int, dict[int, int]]:
    """The same of these minutes of each partition, perhaps with others between the first and the last of them."""
    wanted = {one: chosen for one, chosen in minutes.items() if chosen}
    found: dict[int, dict[int, int]] = {one: {} for one in minutes}
    if not wanted:
        return found
    distinct = set().union(*wanted.values())
    which = f"minute >= {min(distinct)} AND minute <= {max(distinct)}"
    if len(distinct) <= MINUTES_NAMED:
        which = f"minute IN ({', '.join(map(str, sorted(distinct)))})"
    rows = client.execute(
        f"SELECT partition, toUnixTimestamp(minute) AS at, max(through) FROM {tables.CLEAN_MARKS} "
        f"WHERE topic = {{topic:String}} AND partition IN ({', '.join(map(str, wanted))}) AND {which} "
        "GROUP BY partition, at",
        {"topic": topic},
    )
    for partition, minute, through in rows:
        found[partition][minute] = through
    return found


def build(client: Client, hour: int, through: Mapping[int, int], partitions: int, clean: Collection[int] = ()) -> int:
    """Rebuild an hour (start in seconds) of the partitions in `through` (partition → offset); the rows written.

    `clean`: those whose minutes of this hour are all marked clean through these offsets. Their hours are made from the
    minutes, and what cannot be made so (`from_minutes.py`) from the raw samples, as is all of the others.
    """
    known = frozenset(number for number in clean if number in through and fits(through[number]))
    one = _Hour(client, hour, through, partitions)
    samples, series = one.found()
    written = 0
    if known:
        for low, high in one.slices.of_rows(samples, SAMPLES_AT_ONCE):
            written += one.insert(ids_between(low, high) + one.of(known), from_minutes)
    if written < series:
        done = one.done(known) if written else ""
        for low, high in one.slices.of_rows(samples):
            ids = ids_between(low, high)
            written += one.insert(ids + one.of(frozenset(through)) + done.format(ids=ids), _from_raw)
    return written


def _from_raw(columns: tuple[str, ...], hour: int, ids: str) -> str:
    condition = f"{ids} AND {between(hour, hour + HOUR_SECONDS)}"
    rows = recompute(HOURS, condition, f"{version(0)} AS version", merging=False)
    return f"SELECT id, timestamp, {_quoted(columns)}, version FROM ({rows})"


def _quoted(columns: Iterable[str]) -> str:
    return ", ".join(f"`{column}`" for column in columns)


class _Hour:
    """The statements about one hour of some partitions."""

    def __init__(self, client: Client, hour: int, through: Mapping[int, int], partitions: int) -> None:
        self.slices = Slices(client)
        self._client, self._hour, self._count = client, hour, partitions
        self._offsets = {number: in_version(offset) for number, offset in sorted(through.items())}

    def of(self, numbers: frozenset[int]) -> str:
        """Condition on `id`: it is of these partitions."""
        return "" if len(numbers) >= self._count else f" AND id IN ({of_partitions(sorted(numbers), self._count)})"

    def found(self) -> tuple[int, int]:
        """Rows of the hour in the raw table, and how many series they are of."""
        [(samples, series)] = self._client.execute(
            f"SELECT count(), uniqExact(id) FROM {tables.SAMPLES} "
            f"WHERE {between(self._hour, self._hour + HOUR_SECONDS)}{self.of(frozenset(self._offsets))}"
        )
        return int(samples), int(series)

    def done(self, numbers: frozenset[int]) -> str:
        """Condition on `id`: its row does not stand there yet. A row of the same offset is of the same samples."""
        return f""" AND id NOT IN
            (
                SELECT id FROM {HOURS.table} ANY INNER JOIN ({self._named("{ids}")}) AS named USING (id)
                WHERE {{ids}} AND timestamp = toDateTime({self._hour}, 'UTC')
                      AND bitAnd(version, {MOST_OFFSET}) = reached AND partition IN ({", ".join(map(str, numbers))})
            )"""

    def insert(self, ids: str, rows: Callable[[tuple[str, ...], int, str], str]) -> int:
        """The rows of these ids, with the offset of their partition in the version; how many."""
        columns = HOURS.values
        self._client.execute(
            f"""
            INSERT INTO {HOURS.table} (id, timestamp, {_quoted(columns)}, version)
            SELECT id, timestamp, {_quoted(columns)}, version + reached
            FROM ({rows(columns, self._hour, ids)}) AS built
            ANY INNER JOIN ({self._named(ids)}) AS named USING (id)
            """,
            settings=_SETTINGS,
        )
        return int(self._client.last_query.progress.written_rows)

    def _named(self, ids: str) -> str:
        numbers, offsets = (
            ", ".join(map(str, self._offsets)),
            ", ".join(f"toUInt64({x})" for x in self._offsets.values()),
        )
        return (
            f"SELECT id, kafkaMurmurHash(host) % {int(self._count)} AS partition, "
            f"transform(partition, [{numbers}], [{offsets}], toUInt64(0)) AS reached FROM {tables.SERIES} WHERE {ids}"
        )


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
