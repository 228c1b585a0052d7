"""`/health/ready` on servers that answer, hang and are gone, and on workers that are behind."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from api import models
from api.app import create_app
from api.main import make_context
from fleetpulse.clock import SystemClock
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import ApiSettings, KafkaSettings
from fleetpulse.storage.migrate import migrate
from fleetpulse.topics import Topic
from infra.embedded.guard import Guard
from infra.embedded.ports import free_port
from tests.integration.api.conftest import serving
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.patience import patient
from tests.support.servers import ClickHouseServer, KafkaServer, start_clickhouse
from tests.support.topics import fresh_topics

pytestmark = pytest.mark.servers

READY = "/health/ready"
MAX_AGE_SECONDS = 6.0  # room for a slow machine between publishing and the first look


@pytest.fixture(scope="module")
def kafka_settings(kafka: KafkaServer) -> KafkaSettings:
    return fresh_topics(kafka.bootstrap_servers)


@pytest.fixture(scope="module")
def limits() -> ApiSettings:
    return ApiSettings(ready_max_age_seconds=MAX_AGE_SECONDS)


def ready(client: httpx.Client) -> dict[str, Any]:
    answer = client.get(READY)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def publish(settings: KafkaSettings, partition: int, count: int) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    for _ in range(count):
        producer.send(Topic.METRICS.named(settings.topic_prefix), b"x" * 100_000, partition=partition)
    producer.flush()
    producer.close()


def publish_event(settings: KafkaSettings, partition: int, *, commit: bool = True) -> None:
    """One message in a transaction of its own, whose marker follows it."""
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, transactional_id=settings.topic_prefix)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(Topic.ALERTS.named(settings.topic_prefix), b"{}", partition=partition)
    if commit:
        producer.commit_transaction()
    else:
        producer.flush()
        producer.abort_transaction()
    producer.close()


def commit(settings: KafkaSettings, process: str, offsets: dict[int, int], topic: Topic = Topic.METRICS) -> None:
    name = topic.named(settings.topic_prefix)
    marks = {TopicPartition(name, number): OffsetAndMetadata(offset, "", -1) for number, offset in offsets.items()}
    with KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers) as admin:
        admin.alter_group_offsets(f"{settings.topic_prefix}.{process}", marks)


def test_the_workers_backlog(client: httpx.Client, kafka_settings: KafkaSettings) -> None:
    """Nothing to do; then messages that nobody reads; then ingest has read all and rules all but one partition."""
    # The first group that a fresh broker is asked about makes it create a topic of its own: it is not there at once.
    first = models.Readiness.model_validate(eventually(lambda: ready(client), timeout=20))
    assert [(check.name, check.detail) for check in first.checks] == [
        ("clickhouse", "answers a query"),
        ("kafka", "answers offsets"),
        ("ingest", "everything is processed"),
        ("rules", "everything is processed"),
        ("history", "everything is processed"),
    ]

    publish(kafka_settings, partition=0, count=3)
    publish(kafka_settings, partition=2, count=2)
    fresh = client.get(READY)
    assert fresh.status_code == 200, fresh.text
    assert "5 messages wait" in fresh.text

    time.sleep(MAX_AGE_SECONDS)
    behind = client.get(READY)
    assert behind.status_code == 503
    problem = models.Problem.model_validate(behind.json())
    assert [(check.name, check.ok) for check in problem.checks or []] == [
        ("clickhouse", True), ("kafka", True), ("ingest", False), ("rules", False), ("history", True),
    ]  # fmt: skip
    assert "never committed" in problem.detail
    assert "FLEETPULSE_API_READY_MAX_AGE_SECONDS" in problem.detail

    commit(kafka_settings, "ingest", {0: 3, 2: 2})
    commit(kafka_settings, "rules", {0: 3, 2: 1})
    problem = models.Problem.model_validate(client.get(READY).json())
    assert "ingest" not in problem.detail
    assert "rules: 1 message waits" in problem.detail

    commit(kafka_settings, "rules", {2: 2})
    assert client.get(READY).status_code == 200


def test_alert_events_that_are_not_stored(client: httpx.Client, kafka_settings: KafkaSettings) -> None:
    """The markers of transactions take offsets and are never processed; what was aborted is none of history's."""
    publish_event(kafka_settings, partition=0)
    publish_event(kafka_settings, partition=1, commit=False)
    assert history(client) == (True, "at most 2 messages wait")
    time.sleep(MAX_AGE_SECONDS)
    assert history(client) == (False, "at most 2 messages wait")

    commit(kafka_settings, "history", {0: 1}, Topic.ALERTS)  # past the event, not past its marker
    assert history(client) == (True, "everything is processed")

    publish_event(kafka_settings, partition=0)  # behind the first marker
    assert history(client) == (True, "at most 3 messages wait")
    commit(kafka_settings, "history", {0: 3}, Topic.ALERTS)
    assert history(client) == (True, "everything is processed")


def history(client: httpx.Client) -> tuple[bool, str]:
    """Whether the check of history is good, and the first words of what it says."""
    body = client.get(READY).json()
    [check] = [check for check in body["checks"] if check["name"] == "history"]
    return check["ok"], check["detail"].split(",")[0]


@pytest.fixture
def own_clickhouse(guard: Guard, tmp_path: Path) -> Iterator[ClickHouseServer]:
    """One that a test may break."""
    server = start_clickhouse(tmp_path / "clickhouse", guard)
    migrate(server.url("fleetpulse", "fleetpulse"))
    yield server
    server.server.kill()


def test_a_clickhouse_that_hangs_or_is_gone_is_named_within_two_seconds(
    own_clickhouse: ClickHouseServer, kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    with (
        make_context(ApiSettings(), kafka_settings, own_clickhouse.url("api"), SelfMetrics(), SystemClock()) as context,
        serving(create_app(context, tmp_path)) as url,
        httpx.Client(base_url=url, timeout=10) as client,
    ):
        assert client.get(READY).status_code == 200
        for kind in ("hangs", "gone", "back"):
            if kind == "hangs":
                os.kill(own_clickhouse.server.child.pid, signal.SIGSTOP)
            elif kind == "gone":
                own_clickhouse.server.kill()
            else:
                own_clickhouse.server.start()
            started = time.monotonic()
            answer = client.get(READY)
            assert time.monotonic() - started < patient(2.5)
            if kind == "back":
                assert answer.status_code == 200, answer.text
                continue
            assert answer.status_code == 503
            assert "clickhouse: " in answer.json()["detail"]
            assert "kafka" not in answer.json()["detail"]
            assert "Retry-After" in answer.headers
            if kind == "gone":
                hosts = client.get("/api/fleet/v1/hosts")
                assert hosts.status_code == 503
                assert "FLEETPULSE_CLICKHOUSE_URL" in hosts.json()["detail"]
                assert own_clickhouse.password("api") not in hosts.text
                assert client.get("/health/live").status_code == 200


def test_a_kafka_that_is_away_is_named_within_two_seconds(database: Database, tmp_path: Path) -> None:
    away = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    with (
        make_context(ApiSettings(), away, database.url_for("api"), SelfMetrics(), SystemClock()) as context,
        serving(create_app(context, tmp_path)) as url,
        httpx.Client(base_url=url, timeout=10) as client,
    ):
        started = time.monotonic()
        answer = client.get(READY)
        assert time.monotonic() - started < patient(2.5)
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith("kafka: ")
        assert client.get("/api/fleet/v1/hosts").status_code == 200


def test_topics_that_do_not_exist_are_named(database: Database, kafka: KafkaServer, tmp_path: Path) -> None:
    bare = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, topic_prefix="nobody-made-these")
    with (
        make_context(ApiSettings(), bare, database.url_for("api"), SelfMetrics(), SystemClock()) as context,
        serving(create_app(context, tmp_path)) as url,
    ):
        answer = httpx.get(f"{url}{READY}")
        assert answer.status_code == 503
        assert "fleetpulse topics" in answer.json()["detail"]
