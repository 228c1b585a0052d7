"""`up` with a Kafka and a ClickHouse that exist: neither is started or stopped, and samples arrive in them."""

import json
import signal
import time
import urllib.request
import uuid
from pathlib import Path

import psutil
import pytest

from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from infra.embedded import kafka as embedded_kafka
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.patience import patient
from tests.support.servers import KafkaServer
from tests.support.up import Up, up

pytestmark = pytest.mark.servers

OURS = {"ingest", "rules", "history", "api", "agent"}


def healthy(running: Up) -> bool:
    return bool(json.loads(running.command("status", "--json").stdout)["healthy"])


def clickhouse_urls(pid: int) -> set[str]:
    """The names of the variables through which a process may come to ClickHouse."""
    return {name for name in psutil.Process(pid).environ() if "CLICKHOUSE_URL" in name}


@pytest.mark.parametrize("as_file", [False, True])
def test_servers_that_exist_are_used(as_file: bool, kafka: KafkaServer, database: Database, tmp_path: Path) -> None:
    secret = tmp_path / "clickhouse.url"
    secret.write_text(f"{database.url}\n")
    env = {
        "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "FLEETPULSE_KAFKA_TOPIC_PREFIX": f"up-{uuid.uuid4().hex[:12]}",
        "FLEETPULSE_KAFKA_PARTITIONS": "4",
        "FLEETPULSE_AGENT_INTERVAL_SECONDS": "1",
        "FLEETPULSE_API_CLICKHOUSE_URL": database.url_for("api"),
    } | ({"FLEETPULSE_CLICKHOUSE_URL_FILE": str(secret)} if as_file else {"FLEETPULSE_CLICKHOUSE_URL": database.url})
    client = connect(database.url)
    with up(tmp_path / "data", env=env) as running:
        running.wait_until_ready()
        assert {process["name"] for process in running.state()["processes"]} == OURS
        assert f"{kafka.bootstrap_servers} (external)" in running.text()
        assert database.url not in running.text() + running.folder.env_file.read_text()
        eventually(lambda: client.execute("SELECT count() > 0 FROM metrics WHERE metric = 'node_load1'") == [(1,)], 60)
        eventually(lambda: healthy(running), 60, 1.0)

        # the API answers as the user that only reads, and the agent has no business there
        assert clickhouse_urls(running.pid_of("api")) == {"FLEETPULSE_API_CLICKHOUSE_URL"}
        assert clickhouse_urls(running.pid_of("agent")) == set()
        hosts = running.state()["addresses"]["page"] + "api/fleet/v1/hosts"
        with urllib.request.urlopen(hosts, timeout=patient(20)) as answer:
            assert answer.status == 200

        begin = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        assert running.wait(10.0) == 0
        assert time.monotonic() - begin < patient(10.0)
        assert running.left() == []
        assert not list(running.folder.kafka.iterdir())
        assert not list(running.folder.clickhouse.iterdir())
    assert client.execute("SELECT 1") == [(1,)]
    client.disconnect()
    assert embedded_kafka.not_ready(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)) is None
