"""The history worker: committed alert events, each visible once, whatever happens to it or to ClickHouse."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from clickhouse_driver import Client

from fleetpulse.clock import to_rfc3339
from fleetpulse.events import ZERO_TIME, AlertData, AlertEvent, Evidence, RuleRef, encode_event, make_event
from fleetpulse.kafka_config import aiokafka_config
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from tests.support.alerting import messages_of
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.running import Running, running
from tests.support.topics import kafka_env

pytestmark = pytest.mark.servers

T0 = 1_800_000_000_000
TAKEOVER = 40.0


def event(episode: str, number: int = 1, status: str = "firing") -> AlertEvent:
    data = AlertData(
        status=status,
        labels={"alertname": "Hot", "instance": "a", "severity": "warning"},
        annotations={"summary": "a is hot"},
        starts_at=to_rfc3339(T0),
        ends_at=to_rfc3339(T0 + 60_500) if status == "resolved" else ZERO_TIME,
        fingerprint="f" * 16,
        episode=episode,
        transition=number,
        flapping=status == "firing",
        reason="threshold",
        host="a",
        rule=RuleRef("Hot", "0" * 16),
        value="90.5",
        threshold="> 80",
        evidence=[Evidence('{instance="a"}', to_rfc3339(T0 + 1), "90.5")],
    )
    return make_event(data, to_rfc3339(T0 + 1000 * number))


def publish(kafka: KafkaSettings, *values: bytes, abort: bool = False) -> None:
    """One transaction, committed or aborted."""

    async def send() -> None:
        producer = AIOKafkaProducer(**aiokafka_config(kafka), transactional_id=f"{kafka.topic_prefix}.test")
        await producer.start()
        try:
            await producer.begin_transaction()
            for value in values:
                await producer.send_and_wait(Topic.ALERTS.named(kafka.topic_prefix), value=value, key=b"f" * 16)
            await (producer.abort_transaction() if abort else producer.commit_transaction())
        finally:
            await producer.stop()

    asyncio.run(send())


@contextmanager
def history(kafka: KafkaSettings, url: str, folder: Path) -> Iterator[Running]:
    env = {**kafka_env(kafka), "FLEETPULSE_CLICKHOUSE_URL": url, "FLEETPULSE_SELF_INTERVAL_SECONDS": "0"}
    with running("history", env, folder) as worker:
        yield worker


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    client = Client.from_url(database.url)
    yield client
    client.disconnect()


def lag(worker: Running) -> float | None:
    """What `fleetpulse status` adds up; None until the worker has partitions."""
    urls = re.findall(r"url=(http://\S+)", worker.log())
    try:
        text = httpx.get(urls[-1], timeout=60).text
    except (IndexError, httpx.TransportError):  # the log still ends with the worker before
        return None
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("fleetpulse_consumer_"))
    if float(values.get("fleetpulse_consumer_assigned_partitions", 0)) == 0:
        return None
    return float(values["fleetpulse_consumer_lag_messages"])


def stored(client: Client) -> list[tuple[str, int]]:
    return list(client.execute("SELECT episode, transition FROM alert_history ORDER BY episode, transition"))


def test_an_event_is_stored_whole(topics: KafkaSettings, database: Database, client: Client, tmp_path: Path) -> None:
    publish(topics, encode_event(event("one")), encode_event(event("one", 2, "resolved")))
    with history(topics, database.url, tmp_path) as worker:
        eventually(lambda: len(stored(client)) == 2, TAKEOVER)
        assert worker.stop(within=10.0) == 0
    rows, columns = client.execute("SELECT * FROM alert_history ORDER BY transition", with_column_types=True)
    first, second = (dict(zip([name for name, _ in columns], row, strict=True)) for row in rows)
    assert first["labels"] == {"alertname": "Hot", "instance": "a", "severity": "warning"}
    assert first["annotations"] == {"summary": "a is hot"}
    assert (first["status"], first["value"], first["threshold"]) == ("firing", "90.5", "> 80")
    assert (first["flapping"], second["flapping"]) == (True, False)
    assert first["ends_at"] is None
    assert first["starts_at"].timestamp() * 1000 == T0
    assert first["evidence.series"] == ['{instance="a"}']
    assert second["ends_at"].timestamp() * 1000 == T0 + 60_500


def test_an_aborted_transaction_is_never_seen(
    topics: KafkaSettings, database: Database, client: Client, tmp_path: Path
) -> None:
    publish(topics, encode_event(event("aborted")), abort=True)
    publish(topics, encode_event(event("committed")))
    everything = messages_of(topics, Topic.ALERTS, isolation_level="read_uncommitted")
    assert len(everything) == 2, "the aborted event is on the topic, for those who do not look"
    with history(topics, database.url, tmp_path) as worker:
        eventually(lambda: stored(client), TAKEOVER)
        publish(topics, encode_event(event("later")))
        eventually(lambda: len(stored(client)) >= 2, TAKEOVER)
        publish(topics, encode_event(event("aborted", 2)), abort=True)
        eventually(lambda: lag(worker) == 0, 30.0)  # markers and what was aborted are no messages that wait
    assert stored(client) == [("committed", 1), ("later", 1)]
    with history(topics, database.url, tmp_path) as worker:
        eventually(lambda: lag(worker) == 0, TAKEOVER)


def test_redelivery_and_garbage_leave_each_event_once(
    topics: KafkaSettings, database: Database, client: Client, tmp_path: Path
) -> None:
    again = encode_event(event("one"))
    publish(topics, again, b"{}", again, b"\xff", again)
    with history(topics, database.url, tmp_path) as worker:
        publish(topics, encode_event(event("two")))
        eventually(lambda: len(stored(client)) >= 2, TAKEOVER)
        assert "not an alert event" in worker.log()
    assert stored(client) == [("one", 1), ("two", 1)]


def test_events_wait_for_clickhouse_and_sigterm_does_not(
    topics: KafkaSettings, database: Database, client: Client, tmp_path: Path
) -> None:
    publish(topics, encode_event(event("one")))
    with history(topics, "clickhouse://127.0.0.1:1/fleetpulse", tmp_path) as worker:
        eventually(lambda: "will try again" in worker.log(), TAKEOVER)
        assert worker.stop(within=10.0) == 0
    assert stored(client) == []
    with history(topics, database.url, tmp_path):
        eventually(lambda: stored(client) == [("one", 1)], TAKEOVER)
