"""Limits of active series with the real table: existing series stay, also after a restart, and room is used again."""

import time
from collections.abc import Iterator

import pytest
from clickhouse_driver import Client

from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.storage import tables
from fleetpulse.storage.client import connect
from fleetpulse.wire import Frame, encode_frame, join_keys, make_block
from stream_processors.inbox import Message
from stream_processors.ingest import sink as sink_module
from stream_processors.ingest.intake import Intake
from stream_processors.ingest.limits import HOST_LIMIT
from stream_processors.ingest.sink import Sink
from tests.support.databases import Database

pytestmark = pytest.mark.servers

HOST = "h1"
PARTITION = partition_of(HOST, 4)
START_MS = time.time_ns() // 1_000_000


class World:
    """A worker that may be started again; `send` gives its frame's letters, refused samples and stored ones."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sink_module, "EVICT_SECONDS", 0.0)
        monkeypatch.setattr(sink_module, "ROLL_UP_SECONDS", 0.0)
        self.url, self.offset, self.now_ms = database.url, 0, START_MS
        self.start(5)

    def start(self, most: int) -> None:
        self.metrics = SelfMetrics()
        settings = IngestSettings(max_series_per_host=most, idle_seconds=100, lateness_seconds=1)
        self.intake = Intake(settings, 4, self.metrics)
        self.sink = Sink(self.url, "t", 4, settings, self.metrics)

    def send(self, *names: str, after_seconds: int = 1) -> tuple[int, int]:
        self.now_ms += after_seconds * 1000
        block = make_block(HOST, {"instance": HOST}, join_keys(names), self.now_ms, [1.0] * len(names))
        value = encode_frame(Frame(1, 0, [block]))
        self.intake.take(Message("t", PARTITION, self.offset, self.now_ms, None, value, ()))
        self.offset += 1
        before = self.count("refused"), self.count("stored")
        assert self.sink.store(self.intake.cut()) == []
        return int(self.count("stored") - before[1]), int(self.count("refused") - before[0])

    def count(self, what: str) -> float:
        labels = {"reason": HOST_LIMIT} if what == "refused" else {}
        return self.metrics.get(f"fleetpulse_ingest_{what}_samples_total", **labels)

    def roll_up(self) -> None:
        self.sink.roll_up(self.now_ms)


@pytest.fixture
def world(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(database, monkeypatch)
    yield world
    world.sink.close()


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    client = connect(database.url)
    yield client
    client.disconnect()


def test_new_series_are_refused_and_existing_ones_never(world: World, client: Client) -> None:
    assert world.send("a", "b", "c", "d") == (4, 0)
    assert world.send("a", "b", "c", "d", "e", "f", "g") == (5, 2)
    assert world.send("a", "b", "c", "d", "e", "f", "g") == (5, 2)  # known to be refused: nobody is asked again
    assert world.metrics.get("fleetpulse_ingest_refused_series_total", offender=HOST, reason=HOST_LIMIT) == 2
    assert client.execute(f"SELECT uniqExact(metric_name) FROM {tables.SERIES}") == [(5,)]
    [(refused,)] = client.execute(f"SELECT sum(refused) FROM {tables.LEDGER}")
    assert refused == 4


def test_after_a_restart_what_was_active_is_let_in_whatever_comes_first(world: World) -> None:
    world.send("a", "b", "c", "d")
    world.sink.close()
    world.start(4)
    assert world.send("x") == (0, 1)  # four are active, heard of again or not
    assert world.send("x", "a", "b", "c", "d") == (4, 1)
    world.sink.close()
    world.start(2)  # a lower limit refuses nothing that exists
    assert world.send("a", "b", "c", "d", "y") == (4, 1)


def test_series_that_are_idle_make_room(world: World) -> None:
    world.send("a", "b", "c", "d", "e")
    assert world.send("a", "new", after_seconds=60) == (1, 1)
    world.roll_up()
    assert world.send("a", "new", after_seconds=60) == (1, 1)
    world.roll_up()  # the four have been idle for 120 s
    assert world.metrics.get("fleetpulse_ingest_evicted_series_total") == 4
    assert world.send("a", "new", after_seconds=1) == (2, 0)
    assert world.send("b", "c", "d", after_seconds=1) == (3, 0)
    assert world.send("e", after_seconds=1) == (0, 1)
