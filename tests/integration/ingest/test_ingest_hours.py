"""The ingest process builds hours: of samples hours old, again when more of them come, and after a kill."""

import time
from pathlib import Path

import pytest

from fleetpulse.settings import KafkaSettings
from fleetpulse.storage import tables
from fleetpulse.storage.client import connect
from fleetpulse.storage.recompute import ROLLUPS
from fleetpulse.storage.tiers import HOUR_MS
from fleetpulse.storage.verify import Verifier
from fleetpulse.topics import Topic
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.ingested import ingest_env
from tests.support.running import running

pytestmark = pytest.mark.servers

HOSTS = ("h1", "h2", "h3")


def test_late_hours_are_right_in_every_tier_also_after_a_kill(
    topics: KafkaSettings, database: Database, tmp_path: Path
) -> None:
    env = ingest_env(topics, database.url) | {
        "FLEETPULSE_INGEST_HOUR_SETTLE_SECONDS": "1",
        "FLEETPULSE_INGEST_HOUR_CHECK_SECONDS": "0.3",
    }
    now_ms = time.time_ns() // 1_000_000
    hours_ms = [now_ms // HOUR_MS * HOUR_MS - ago * HOUR_MS for ago in (30, 3, 2)]
    sender, client = FrameSender(topics), connect(database.url)

    def send(offset_ms: int, value: float) -> None:
        for host in HOSTS:
            for hour_ms in hours_ms:
                sender.send(sender.block(host, hour_ms + offset_ms, {"load": value, "other": -value}))
        sender.flush()

    def built(samples: int) -> bool:
        rows = client.execute(
            "SELECT host, toUnixTimestamp(timestamp) * 1000, count FROM metrics_1h WHERE metric = 'load'"
        )
        assert sorted(rows) == sorted((host, hour_ms, samples) for host in HOSTS for hour_ms in hours_ms)
        verifier = Verifier(client, Topic.METRICS.named(topics.topic_prefix), topics.partitions)
        for rollup in ROLLUPS:
            report = verifier.run(rollup, hours_ms[0] // 1000, hours_ms[-1] // 1000 + 3600)
            assert (report.differing, report.pending) == (0, 0)
        return True

    try:
        with running("ingest", env, tmp_path) as ingest:
            send(1_000, 1.0)
            send(600_000, 2.0)
            eventually(lambda: built(2), 90)
            send(300_000, 7.0)  # between those that are there
            eventually(lambda: client.execute("SELECT count() FROM samples") == [(3 * 2 * 9,)], 60)
            ingest.kill()
        with running("ingest", env, tmp_path, log_name="second"):
            eventually(lambda: built(3), 90)
        marks = client.execute(f"SELECT uniqExact(hour) FROM {tables.HOUR_MARKS}")
        assert marks == [(len(hours_ms),)]
    finally:
        sender.close()
        client.disconnect()
