"""Partitions that go from one worker to others and back while ClickHouse is away: nothing is missing afterwards."""

import time
from pathlib import Path

import pytest

from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from tests.support.databases import fresh_database
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.ingested import ingest_env
from tests.support.running import Running, running
from tests.support.servers import ClickHouseServer

pytestmark = pytest.mark.servers

MESSAGES = 60  # a partition: more than the batch that waits, and than Faust's queue gives up at once
OTHERS = 3


def assigned(worker: Running) -> list[str]:
    """The partitions after the last rebalance, as logged."""
    found = [line.split("partitions=")[1].split()[0] for line in worker.log().splitlines() if "partitions=" in line]
    return found[-1].split(",") if found else []


def test_partitions_lost_and_regained_while_the_body_is_blocked(
    topics: KafkaSettings, own_clickhouse: ClickHouseServer, tmp_path: Path
) -> None:
    database = fresh_database(own_clickhouse.url)
    own_clickhouse.server.kill()
    env = ingest_env(topics, database.url) | {"FLEETPULSE_INGEST_FLUSH_ROWS": "8"}
    sender = FrameSender(topics)
    hosts = {sender.partition_of(f"h{number}"): f"h{number}" for number in range(100)}
    now_ms = time.time_ns() // 1_000_000
    everything = ["0", "1", "2", "3"]
    with running("ingest", env, tmp_path, log_name="first") as first:
        eventually(lambda: assigned(first) == everything, 30)
        for number in range(MESSAGES):
            for host in hosts.values():
                sender.send(sender.block(host, now_ms + number, {"m": float(number)}))
            sender.flush()
            time.sleep(0.02)
        others = [running("ingest", env, tmp_path, log_name=f"other{number}") for number in range(OTHERS)]
        workers = [one.__enter__() for one in others]
        try:
            eventually(lambda: len(assigned(first)) == 1, 30)
        finally:
            for worker in workers:
                worker.stop()
        eventually(lambda: assigned(first) == everything, 30)
        own_clickhouse.server.start()
        client = connect(database.url)

        def stored() -> dict[str, int]:
            return dict(client.execute("SELECT host, count() FROM metrics GROUP BY host"))

        eventually(lambda: stored() == dict.fromkeys(hosts.values(), MESSAGES), 40)
        client.disconnect()
    sender.close()
