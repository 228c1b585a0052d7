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
MAX_AGE_SECONDS = 300.0


@pytest.fixture(scope="module")
def kafka_settings(kafka: KafkaServer) -> KafkaSettings:
    return fresh_topics(kafka.bootstrap_servers)


@pytest.fixture(scope="module")
def limits() -> ApiSettings:
    return ApiSettings(ready_max_age_seconds=MAX_AGE_SECONDS)


class SteppedClock(SystemClock):
    """The machine's clock, set forward on request: nobody waits for a message to grow old."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms

    def grow_old(self) -> None:
        """Everything that waits now has waited for too long."""
        self.ahead_ms += int(2000 * MAX_AGE_SECONDS)


@pytest.fixture(scope="module")
def clock() -> SteppedClock:
    return SteppedClock()


def answered(client: httpx.Client, status: int = 200) -> dict[str, Any]:
    """What it says once it says that: a busy machine may be late for its bound."""

    def asked() -> dict[str, Any]:
        answer = client.get(READY)
        assert answer.status_code == status, answer.text
        body: dict[str, Any] = answer.json()
        assert len(body["checks"]) == 5, answer.text  # Kafka answered within its bound
        return body

    return eventually(asked, timeout=20)


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


def test_the_workers_backlog(client: httpx.Client, kafka_settings: KafkaSettings, clock: SteppedClock) -> None:
    """Nothing to do; then messages that nobody reads; then ingest has read all and rules all but one partition."""
    # The first group that a fresh broker is asked about makes it create a topic of its own: it is not there at once.
    first = models.Readiness.model_validate(answered(client))
    assert [(check.name, check.detail) for check in first.checks] == [
        ("clickhouse", "answers a query"),
        ("kafka", "answers offsets"),
        ("ingest", "everything is processed"),
        ("rules", "everything is processed"),
        ("history", "everything is processed"),
    ]

    publish(kafka_settings, partition=0, count=3)
    publish(kafka_settings, partition=2, count=2)
    assert "5 messages wait" in str(answered(client))

    clock.grow_old()
    problem = models.Problem.model_validate(answered(client, 503))
    assert [(check.name, check.ok) for check in problem.checks or []] == [
        ("clickhouse", True), ("kafka", True), ("ingest", False), ("rules", False), ("history", True),
    ]  # fmt: skip
    assert "never committed" in problem.detail
    assert "FLEETPULSE_API_READY_MAX_AGE_SECONDS" in problem.detail

    commit(kafka_settings, "ingest", {0: 3, 2: 2})
    commit(kafka_settings, "rules", {0: 3, 2: 1})
    problem = models.Problem.model_validate(answered(client, 503))
    assert "ingest" not in problem.detail
    assert "rules: 1 message waits" in problem.detail

    commit(kafka_settings, "rules", {2: 2})
    answered(client)


def test_alert_events_that_are_not_stored(
    client: httpx.Client, kafka_settings: KafkaSettings, clock: SteppedClock
) -> None:
    """The markers of transactions take offsets and are never processed; what was aborted is none of history's."""
    clock.ahead_ms = 0
    publish_event(kafka_settings, partition=0)
    publish_event(kafka_settings, partition=1, commit=False)
    until_history(client, True, "at most 2 messages wait")
    clock.grow_old()
    until_history(client, False, "at most 2 messages wait")

    commit(kafka_settings, "history", {0: 1}, Topic.ALERTS)  # past the event, not past its marker
    until_history(client, True, "everything is processed")

    clock.ahead_ms = 0
    publish_event(kafka_settings, partition=0)  # behind the first marker
    until_history(client, True, "at most 3 messages wait")
    commit(kafka_settings, "history", {0: 3}, Topic.ALERTS)
    until_history(client, True, "everything is processed")


def until_history(client: httpx.Client, ok: bool, words: str) -> None:
    """Until the check of history is so, and begins with these words; the probes may be late for their bound."""

    def said() -> bool:
        checks = {check["name"]: check for check in client.get(READY).json()["checks"]}
        assert "history" in checks, checks
        assert (checks["history"]["ok"], checks["history"]["detail"].split(",")[0]) == (ok, words)
        return True

    eventually(said)


def failing(client: httpx.Client) -> list[str]:
    """The names of the checks that fail."""
    problem = models.Problem.model_validate(client.get(READY).json())
    return [check.name for check in problem.checks or [] if not check.ok]


@pytest.fixture
def own_clickhouse(guard: Guard, tmp_path: Path) -> Iterator[ClickHouseServer]:
    """One that a test may break."""
    server = start_clickhouse(tmp_path / "clickhouse", guard)
    migrate(server.url("fleetpulse", "fleetpulse"))
    yield server
    server.server.kill()


def test_a_clickhouse_that_hangs_or_is_gone_is_named_within_two_seconds(
    own_clickhouse: ClickHouseServer, topics: KafkaSettings, tmp_path: Path
) -> None:
    with (
        make_context(ApiSettings(), topics, own_clickhouse.url("api"), SelfMetrics(), SystemClock()) as context,
        serving(create_app(context, tmp_path)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        answered(client)
        for kind in ("hangs", "gone", "back"):
            if kind == "hangs":
                os.kill(own_clickhouse.server.child.pid, signal.SIGSTOP)
            elif kind == "gone":
                own_clickhouse.server.kill()
            else:
                own_clickhouse.server.start()
                answered(client)
                continue
            started = time.monotonic()
            answer = client.get(READY)
            assert time.monotonic() - started < patient(2.5)
            assert answer.status_code == 503
            assert "Retry-After" in answer.headers
            eventually(lambda: failing(client) == ["clickhouse"])
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
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        started = time.monotonic()
        answer = client.get(READY)
        assert time.monotonic() - started < patient(2.5)
        assert answer.status_code == 503
        eventually(lambda: failing(client) == ["kafka"])
        assert client.get("/api/fleet/v1/hosts").status_code == 200


def test_topics_that_do_not_exist_are_named(database: Database, kafka: KafkaServer, tmp_path: Path) -> None:
    bare = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, topic_prefix="nobody-made-these")
    with (
        make_context(ApiSettings(), bare, database.url_for("api"), SelfMetrics(), SystemClock()) as context,
        serving(create_app(context, tmp_path)) as url,
    ):
        eventually(lambda: "fleetpulse topics" in httpx.get(f"{url}{READY}", timeout=60).json()["detail"])
