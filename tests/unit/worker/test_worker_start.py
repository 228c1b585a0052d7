"""A worker whose Kafka cannot be reached says so, tries for a while, and gives up with a clear sentence."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fleetpulse.errors import SettingsError
from fleetpulse.settings import KafkaSettings
from stream_processors import worker
from stream_processors.own_thread import OwnThread
from tests.support.patience import patient


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


# The command itself, but for its patience.
IMPATIENT_INGEST = """
import sys
from stream_processors import worker
worker.START_SECONDS = 6.0
from fleetpulse.cli import main
sys.exit(main(["ingest"]))
"""


def test_an_unreachable_kafka_is_named_with_its_setting(closed_port: int, tmp_path: Path) -> None:
    environment = {
        "FLEETPULSE_DATA_DIR": str(tmp_path),
        "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{closed_port}",
        "FLEETPULSE_SELF_INTERVAL_SECONDS": "0",
    }
    command = [sys.executable, "-P", "-c", IMPATIENT_INGEST]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=patient(60))
    assert ended.returncode == 2
    assert "Kafka is not there yet" in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("fleetpulse ingest: Kafka does not answer at 127.0.0.1")
    assert f":{closed_port} (FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS)" in last


def test_a_wrong_setting_is_not_tried_again() -> None:
    begun = time.monotonic()
    with pytest.raises(SettingsError, match="FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS"):
        worker.wait_for_topics(KafkaSettings(bootstrap_servers="nonsense"))
    assert time.monotonic() - begun < worker.START_SECONDS / 2


def test_calls_run_in_order_on_one_thread_and_give_results_and_exceptions() -> None:
    async def use() -> None:
        thread = OwnThread("test")
        seen: list[int] = []
        await asyncio.gather(*(thread.call(seen.append, number) for number in range(20)))
        assert seen == list(range(20))
        names = {await thread.call(lambda: threading.current_thread().name) for _ in range(3)}
        assert names == {"test"}
        with pytest.raises(ZeroDivisionError):
            await thread.call(lambda: 1 / 0)
        assert await thread.call(lambda: "still works") == "still works"

    asyncio.run(use())


def test_a_hanging_call_does_not_block_the_loop() -> None:
    async def use() -> None:
        thread, release = OwnThread("test"), threading.Event()
        hanging = asyncio.ensure_future(thread.call(release.wait))
        await asyncio.sleep(0.05)
        assert not hanging.done()
        hanging.cancel()
        release.set()
        assert await thread.call(lambda: 1) == 1

    asyncio.run(use())


def test_a_call_cancelled_before_its_turn_is_never_made() -> None:
    async def use() -> None:
        thread, release, made = OwnThread("test"), threading.Event(), list[str]()
        first = asyncio.ensure_future(thread.call(release.wait))
        second = asyncio.ensure_future(thread.call(made.append, "second"))
        await asyncio.sleep(0.05)
        second.cancel()
        release.set()
        await first
        await thread.call(made.append, "third")
        assert made == ["third"]

    asyncio.run(use())
