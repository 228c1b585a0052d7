"""kill -9 in the middle of a minute, ClickHouse hanging, SIGTERM meanwhile: nothing lost, nothing twice."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from tests.support.databases import Database, fresh_database
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.ingested import ask, closing, ingest_env, raw_rows, rollups, rollups_equal_raw, still_open
from tests.support.patience import patient
from tests.support.running import running
from tests.support.servers import ClickHouseServer

pytestmark = pytest.mark.servers

HOSTS = [f"h{number}" for number in range(8)]
LATENESS = "FLEETPULSE_INGEST_LATENESS_SECONDS"


@pytest.fixture
def sender(topics: KafkaSettings) -> Iterator[FrameSender]:
    frames = FrameSender(topics)
    yield frames
    frames.close()


def send_second(sender: FrameSender, start_ms: int, second: int) -> None:
    for number, host in enumerate(HOSTS):
        # A counter that is reset every 13 seconds, and a gauge.
        values = {"counter": float(second % 13 * (number + 1)), "gauge": float(second * 7 % 11)}
        sender.send(sender.block(host, start_ms + second * 1000, values))


def test_a_restart_in_the_middle_of_a_minute_and_then_silence(
    topics: KafkaSettings, database: Database, sender: FrameSender, tmp_path: Path
) -> None:
    minute = still_open()
    env = ingest_env(topics, database.url, minute.lateness_seconds)
    client = connect(database.url)
    with running("ingest", env, tmp_path, log_name="first") as first:
        for second in range(20):
            send_second(sender, minute.start_ms, second)
        sender.flush()
        eventually(lambda: client.execute("SELECT count() FROM metrics") == [(20 * 2 * len(HOSTS),)], 30)
        assert first.stop() == 0
    assert rollups(client) == {}
    env[LATENESS] = closing(minute.start_ms)
    with running("ingest", env, tmp_path, log_name="second"):
        eventually(lambda: len(rollups(client)) == 2 * len(HOSTS) and rollups_equal_raw(client), 40)
    client.disconnect()


def test_a_worker_killed_in_the_middle_of_a_minute(
    topics: KafkaSettings, database: Database, sender: FrameSender, tmp_path: Path
) -> None:
    minute = still_open()
    env = ingest_env(topics, database.url, minute.lateness_seconds)
    client = connect(database.url)
    with running("ingest", env, tmp_path, log_name="first") as first:
        for second in range(20):
            send_second(sender, minute.start_ms, second)
        sender.flush()
        eventually(lambda: client.execute("SELECT count() > 0 FROM samples") == [(1,)], 30)
        for second in range(20, 40):
            send_second(sender, minute.start_ms, second)
        sender.flush()
        first.kill()
    assert rollups(client) == {}
    env[LATENESS] = closing(minute.start_ms)
    with running("ingest", env, tmp_path, log_name="second"):
        for second in range(40, 60):
            send_second(sender, minute.start_ms, second)
        sender.flush()

        def complete() -> bool:
            raw = raw_rows(client)
            assert {key: len(values) for key, values in raw.items()} == {
                (host, metric, minute.start_ms): 60 for host in HOSTS for metric in ("counter", "gauge")
            }
            return rollups_equal_raw(client)

        eventually(complete, 90)
    client.disconnect()


def test_clickhouse_hanging_delays_and_loses_nothing_and_sigterm_ends_the_worker_meanwhile(
    topics: KafkaSettings, own_clickhouse: ClickHouseServer, sender: FrameSender, tmp_path: Path
) -> None:
    database = fresh_database(own_clickhouse.url)
    minute = still_open()
    env = ingest_env(topics, database.url, minute.lateness_seconds)
    child = own_clickhouse.server.child
    second = 0

    def send(seconds: int) -> None:
        nonlocal second
        for _ in range(seconds):
            send_second(sender, minute.start_ms, second)
            second += 1
            time.sleep(0.3)
        sender.flush()

    with running("ingest", env, tmp_path, log_name="first") as ingest:
        send(1)
        eventually(lambda: ask(database.url, "SELECT count() FROM samples") == 16, 30)
        os.kill(child.pid, signal.SIGSTOP)
        send(20)
        os.kill(child.pid, signal.SIGCONT)
        eventually(lambda: ask(database.url, "SELECT count() FROM metrics") == 16 * second, 30)
        os.kill(child.pid, signal.SIGSTOP)
        send(5)
        begun = time.monotonic()
        assert ingest.stop(within=12) == 0
        assert time.monotonic() - begun < patient(10)
    os.kill(child.pid, signal.SIGCONT)
    env[LATENESS] = closing(minute.start_ms)
    with running("ingest", env, tmp_path, log_name="second"):
        eventually(lambda: ask(database.url, "SELECT count() FROM metrics") == 16 * second, 30)
        assert ask(database.url, "SELECT uniqExact(id, timestamp) FROM samples") == 16 * second
        client = connect(database.url)
        eventually(lambda: len(rollups(client)) == 16 and rollups_equal_raw(client), 60)
        client.disconnect()
