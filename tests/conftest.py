"""Fixtures of every test: real servers on free ports, started once, and topics and databases of a test's own."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetpulse.settings import PREFIX, KafkaSettings
from infra.embedded.guard import Guard
from tests.support.databases import Database, drop_database, fresh_database
from tests.support.proxy import LOOPBACK, Proxy
from tests.support.servers import ClickHouseServer, KafkaServer, start_clickhouse, start_kafka
from tests.support.topics import fresh_topics

pytest_plugins = ["tests.support.order", "tests.support.skips"]


@pytest.fixture(autouse=True)
def _no_settings_of_the_shell(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A test sees neither the developer's FLEETPULSE_… variables nor what another test or process left in a folder."""
    for variable in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
    folder = f"no-data-{zlib.crc32(request.node.nodeid.encode()):08x}"  # which is not made
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", str(tmp_path_factory.getbasetemp() / folder))


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    """Ends the session's servers when pytest itself is killed."""
    guard = Guard()
    yield guard
    guard.close()


@pytest.fixture(scope="session")
def kafka_proxy() -> Iterator[Proxy]:
    """A proxy in front of the session's Kafka, for clients of one test that are to lose it; `resume` it at the end."""
    with Proxy((LOOPBACK, 0)) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def kafka(guard: Guard, kafka_proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """Apache Kafka; has ``bootstrap_servers``. Leave it running: a test that breaks a server starts its own."""
    server = start_kafka(tmp_path_factory.mktemp("kafka"), guard, kafka_proxy)
    yield server
    server.server.stop()


@pytest.fixture(scope="session")
def clickhouse(guard: Guard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """ClickHouse; has host, port, http_port and ``url(user, database)``. Leave it running."""
    server = start_clickhouse(tmp_path_factory.mktemp("clickhouse"), guard)
    yield server
    server.server.stop()


@pytest.fixture
def own_clickhouse(guard: Guard, tmp_path: Path) -> Iterator[ClickHouseServer]:
    """A ClickHouse that the test may break."""
    server = start_clickhouse(tmp_path / "clickhouse", guard)
    yield server
    server.server.stop()


@pytest.fixture
def topics(kafka: KafkaServer) -> KafkaSettings:
    """Settings with a topic prefix of the test's own and 4 partitions; all topics exist."""
    return fresh_topics(kafka.bootstrap_servers)


@pytest.fixture
def database(clickhouse: ClickHouseServer) -> Iterator[Database]:
    """A fresh, migrated database; has ``url`` and ``url_for("api" | "grafana")``."""
    fresh = fresh_database(clickhouse.url)
    yield fresh
    drop_database(clickhouse.url("fleetpulse", "system"), fresh.name)
