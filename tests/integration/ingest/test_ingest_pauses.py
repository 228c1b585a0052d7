"""A poisoned partition pauses, is red in health, and goes on after `fleetpulse dead resume`."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from fleetpulse.wire import Header
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.ingested import ingest_env
from tests.support.patience import patient
from tests.support.running import Running, running

pytestmark = pytest.mark.servers


def test_a_poisoned_partition_pauses_until_somebody_says_resume(
    topics: KafkaSettings, database: Database, tmp_path: Path
) -> None:
    sender, env = FrameSender(topics), ingest_env(topics, database.url)
    sick = sender.partition_of("h1")
    well = next(f"x{number}" for number in range(99) if sender.partition_of(f"x{number}") != sick)
    now_ms = time.time_ns() // 1_000_000
    client = connect(database.url)

    def metrics() -> set[str]:
        return {metric for (metric,) in client.execute("SELECT DISTINCT metric FROM metrics")}

    with running("ingest", env, tmp_path) as ingest:
        for number in range(195):  # 101 pause it; too few are left to pause it again
            sender.send_raw(b"garbage", "k", sick, [(Header.PRODUCER, f"p{number % 3}".encode())])
        sender.send(sender.block("h1", now_ms, {"sick": 1.0}))
        sender.flush()
        eventually(lambda: "is paused" in health(ingest), 30)
        sender.send(sender.block(well, now_ms, {"well": 1.0}))
        sender.flush()
        eventually(lambda: metrics() == {"well"}, 30)
        listed = command(env, tmp_path, "list", "-n", "5")
        assert listed.count(f"/{sick}/") == listed.count("undecodable") == 5
        assert metrics() == {"well"}
        command(env, tmp_path, "resume")
        eventually(lambda: metrics() == {"well", "sick"}, 30)
        eventually(lambda: '"ready": true' in health(ingest), 10)
    sender.close()
    client.disconnect()


def health(ingest: Running) -> str:
    address = re.search(r"url=(http://\S+)/metrics", ingest.log())
    return httpx.get(f"{address[1]}/health/ready", timeout=60).text if address else ""


def command(env: dict[str, str], folder: Path, *arguments: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLEETPULSE_")}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "fleetpulse", "dead", *arguments],
        env={**inherited, **env, "FLEETPULSE_DATA_DIR": str(folder / "data")},
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
