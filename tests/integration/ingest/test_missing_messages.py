"""Messages that Kafka deleted while no worker ran are counted by the worker that takes the partition over."""

import time
from pathlib import Path

import httpx
import pytest
from kafka import KafkaAdminClient, TopicPartition

from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from fleetpulse.topics import Topic
from infra.embedded.ports import free_port
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.ingested import ingest_env
from tests.support.running import running

pytestmark = pytest.mark.servers

MISSING = "fleetpulse_ingest_missing_messages_total"


def test_deleted_messages_are_counted_at_the_takeover(
    topics: KafkaSettings, database: Database, tmp_path: Path
) -> None:
    port = free_port()
    env = ingest_env(topics, database.url) | {"FLEETPULSE_SELF_PORT": str(port)}
    sender, client = FrameSender(topics), connect(database.url)
    now_ms = time.time_ns() // 1_000_000

    def send(*numbers: int) -> None:
        for number in numbers:
            sender.send(sender.block("h1", now_ms + number, {"m": float(number)}))
        sender.flush()

    def stored() -> list[float]:
        return [value for (value,) in client.execute("SELECT value FROM metrics ORDER BY value")]

    def delete_before(offset: int) -> None:
        partition = TopicPartition(Topic.METRICS.named(topics.topic_prefix), sender.partition_of("h1"))
        with KafkaAdminClient(bootstrap_servers=topics.bootstrap_servers) as admin:
            admin.delete_records({partition: offset})

    send(0, 1, 2)
    delete_before(1)  # before anybody took the partition over
    with running("ingest", env, tmp_path, log_name="first") as first:
        eventually(lambda: stored() == [1, 2], 30)
        assert missing(port) == 0
        assert first.stop() == 0
    send(3, 4, 5, 6, 7)
    delete_before(6)
    with running("ingest", env, tmp_path, log_name="second") as second:
        eventually(lambda: stored() == [1, 2, 6, 7], 30)
        assert missing(port) == 3
        assert "messages are missing" in second.log()
    sender.close()
    client.disconnect()


def missing(port: int) -> float:
    """The metric, 0 when it is not shown."""
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(MISSING))
