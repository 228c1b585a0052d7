"""Owners of a partition come and go: the ledger tells each new one which buckets it may not trust its memory for."""

import time
from collections.abc import Iterator

import pytest
from clickhouse_driver import Client

from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.storage import tables
from fleetpulse.storage.client import connect
from fleetpulse.wire import Frame, encode_frame, make_block
from stream_processors.inbox import Message
from stream_processors.ingest import repairs
from stream_processors.ingest.intake import Intake
from stream_processors.ingest.ledger import read_touched
from stream_processors.ingest.sink import Sink
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.ingested import rollups, rollups_equal_raw

pytestmark = pytest.mark.servers

HOST, PARTITIONS = "h1", 4
PARTITION = partition_of(HOST, PARTITIONS)
START_MS = time.time_ns() // 60_000_000_000 * 60_000 - 600_000
MINUTE = START_MS // 60_000


class Owner:
    """A worker's intake and sink; `send` is one message, its samples at seconds of the minute."""

    def __init__(self, database: Database) -> None:
        self.metrics = SelfMetrics()
        settings = IngestSettings(lateness_seconds=30)
        self.intake = Intake(settings, PARTITIONS, self.metrics)
        self.sink = Sink(database.url, "t", PARTITIONS, settings, self.metrics)

    def take(self, offset: int, *seconds: int, value: float | None = None) -> None:
        stamps = [START_MS + second * 1000 for second in seconds]
        values = [float(second) if value is None else value for second in seconds]
        block = make_block(HOST, {"instance": HOST}, b"m", stamps, values, index=[0] * len(seconds))
        raw = encode_frame(Frame(1, 0, [block]))
        append_ms = START_MS + max(seconds) * 1000
        self.intake.take(Message("t", PARTITION, offset, append_ms, None, raw, ()))

    def send(self, offset: int, *seconds: int, value: float | None = None) -> None:
        self.take(offset, *seconds, value=value)
        self.store()

    def store(self) -> None:
        assert self.sink.store(self.intake.cut()) == []

    def finish(self) -> None:
        """The minute's end and lateness pass, and what is dirty then is recomputed."""
        self.roll_up(START_MS + 3_600_000)

    def roll_up(self, now_ms: int) -> None:
        self.sink.roll_up(now_ms, [PARTITION])
        while self.sink.repairs.running:
            time.sleep(0.01)
            self.sink.roll_up(now_ms, [PARTITION])


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    client = connect(database.url)
    yield client
    client.disconnect()


@pytest.fixture
def owners(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Owner]]:
    monkeypatch.setattr(repairs, "SETTLE_SECONDS", 0.0)
    made = [Owner(database) for _ in range(3)]
    yield made
    for owner in made:
        owner.sink.close()


def repaired(client: Client) -> bool:
    [(version,)] = client.execute(f"SELECT max(version) FROM {tables.SAMPLES_1M}")
    return bool(version >= tables.REPAIR_GENERATION)


def dirty(client: Client) -> set[int]:
    return set(read_touched(client, "t", PARTITION).dirty)


def finished(owner: Owner, client: Client) -> set[int]:
    owner.finish()
    return dirty(client)


def counted(client: Client) -> float:
    assert rollups_equal_raw(client)
    [row] = rollups(client).values()
    return row[0]


def test_one_owner_writes_the_bucket_from_memory_and_marks_it_clean(client: Client, owners: list[Owner]) -> None:
    owners[0].send(0, 1, 2)
    owners[0].send(1, 3)
    assert dirty(client) == {MINUTE}
    owners[0].finish()
    assert (counted(client), repaired(client), dirty(client)) == (3, False, set())


def test_a_new_owner_in_the_middle_of_a_minute_recomputes_it(client: Client, owners: list[Owner]) -> None:
    owners[0].send(0, 1, 2)
    owners[1].send(1, 3)
    owners[1].finish()
    assert (counted(client), repaired(client), dirty(client)) == (3, True, set())


def test_a_new_owner_that_gets_what_was_stored_but_not_acknowledged(client: Client, owners: list[Owner]) -> None:
    owners[0].send(0, 1, 2)
    owners[1].send(0, 1, 2)
    owners[1].send(1, 3)
    owners[1].finish()
    assert (counted(client), dirty(client)) == (3, set())


def test_a_late_sample_for_a_bucket_that_another_owner_closed(client: Client, owners: list[Owner]) -> None:
    owners[0].send(0, 1, 2)
    owners[0].finish()
    owners[1].send(1, 5)
    assert dirty(client) == {MINUTE}
    owners[1].finish()
    assert (counted(client), repaired(client), dirty(client)) == (3, True, set())


def test_a_late_owner_that_wakes_up_does_not_undo_the_repair(client: Client, owners: list[Owner]) -> None:
    owners[0].send(0, 1, 2)
    owners[1].send(1, 2, value=99.0)  # another value for a time that has one
    owners[1].finish()
    owners[0].finish()  # it was paused, and believes that it still owns the partition
    assert (counted(client), repaired(client)) == (2, True)
    assert next(iter(rollups(client).values()))[3] == 99.0


def test_a_hole_in_the_offsets_inside_one_batch(client: Client, owners: list[Owner]) -> None:
    owners[0].take(0, 1, 2)
    owners[0].take(7, 3)
    owners[0].store()
    owners[0].finish()
    assert (counted(client), repaired(client), dirty(client)) == (3, True, set())


def missing(owner: Owner) -> float:
    return owner.metrics.get("fleetpulse_ingest_missing_messages_total")


def test_messages_that_nobody_read_are_counted_once(client: Client, owners: list[Owner]) -> None:
    owners[0].send(5, 1)  # nobody knows of a message before
    owners[0].take(6, 2)
    owners[0].take(9, 3)
    owners[0].store()
    assert missing(owners[0]) == 2
    owners[0].send(10, 4)
    assert missing(owners[0]) == 2
    owners[1].send(9, 3)  # stored, but not acknowledged
    owners[1].send(10, 4)
    assert missing(owners[1]) == 0
    owners[2].send(111, 5)
    assert missing(owners[2]) == 100


def test_what_comes_again_to_the_same_owner_is_skipped(client: Client, owners: list[Owner]) -> None:
    owners[0].send(0, 1, 2)
    owners[0].take(0, 1, 2)
    owners[0].take(1, 3)
    owners[0].store()
    owners[0].finish()
    assert (counted(client), repaired(client)) == (3, False)
    assert client.execute(f"SELECT first_offset, next_offset FROM {tables.LEDGER} ORDER BY 1") == [(0, 1), (1, 2)]


def test_duplicates_and_disorder_in_one_owner(client: Client, owners: list[Owner]) -> None:
    owners[0].send(0, 1, 5)
    owners[0].send(1, 5)  # the same sample
    owners[0].send(2, 3)  # late
    assert owners[0].metrics.get("fleetpulse_ingest_dirty_buckets") == 0
    owners[0].finish()
    assert (counted(client), repaired(client), dirty(client)) == (3, True, set())


def test_an_owner_that_loses_and_regains_a_partition_reads_the_ledger_again(
    client: Client, owners: list[Owner]
) -> None:
    owners[0].send(0, 1)
    owners[0].intake.keep_only([])
    owners[0].sink.keep_only([])
    owners[1].send(1, 2)
    owners[0].send(2, 3)
    owners[0].finish()
    assert (counted(client), repaired(client), dirty(client)) == (3, True, set())


def test_an_owner_that_gets_no_message_repairs_what_an_earlier_one_left(client: Client, owners: list[Owner]) -> None:
    owners[0].send(0, 1, 2)
    owners[0].send(1, 3, 61)
    later = owners[1]
    later.roll_up(START_MS + 89_000)  # the first minute may still get late samples
    assert rollups(client) == {}
    assert owners[1].metrics.get("fleetpulse_ingest_dirty_buckets") == 0
    later.roll_up(START_MS + 90_000)
    assert dirty(client) == {MINUTE + 1}
    owners[1].finish()
    assert rollups_equal_raw(client)
    assert (len(rollups(client)), repaired(client), dirty(client)) == (2, True, set())
    owners[1].send(2, 62)  # and then one comes
    owners[1].finish()
    assert rollups_equal_raw(client)
    assert (dirty(client), missing(owners[1])) == (set(), 0)


def test_a_bucket_that_cannot_be_recomputed_holds_up_no_other(client: Client, owners: list[Owner]) -> None:
    refused = MINUTE + 1
    rule = f"toUnixTimestamp(timestamp) != {refused * 60} OR version < {tables.REPAIR_GENERATION}"
    client.execute(f"ALTER TABLE {tables.SAMPLES_1M} ADD CONSTRAINT refused CHECK {rule}")
    owners[0].send(0, 1, 2)
    owners[0].send(1, 61, 62)
    owners[1].send(2, 3, 63)
    owners[1].finish()
    eventually(lambda: finished(owners[1], client) == {refused})
    assert owners[1].metrics.get("fleetpulse_ingest_repair_failures_total") > 1
    assert owners[1].sink.repairs.buckets == 1
    owners[1].send(3, 64)  # late to the bucket that is refused
    owners[1].finish()
    assert dirty(client) == {refused}
    client.execute(f"ALTER TABLE {tables.SAMPLES_1M} DROP CONSTRAINT refused")
    eventually(lambda: finished(owners[1], client) == set(), 60)
    assert rollups_equal_raw(client)
