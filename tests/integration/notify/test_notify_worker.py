"""The notifier on Apache Kafka: each notification counted one by one at a plain HTTP receiver."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from fleetpulse.events import AlertEvent, encode_event
from fleetpulse.kafka_config import aiokafka_config
from fleetpulse.settings import KafkaSettings
from fleetpulse.silences import Silence, encode_silence
from fleetpulse.topics import Topic
from tests.support.eventually import eventually
from tests.support.notifying import event_of, silence_of
from tests.support.running import Running, running
from tests.support.topics import kafka_env
from tests.support.webhooks import Receiver, receiver_of

pytestmark = pytest.mark.servers

START = 40.0
CONFIG = """\
route: {{receiver: oncall, group_by: [alertname], group_wait: 100ms, group_interval: 500ms, repeat_interval: 1h}}
receivers: [{{name: oncall, webhook_configs: [{{url: '{url}/hook', timeout: 2s}}]}}]
"""


def publish(
    kafka: KafkaSettings, events: Sequence[AlertEvent] = (), silences: Sequence[Silence] = (), abort: bool = False
) -> None:
    """One transaction, committed or aborted."""

    async def send() -> None:
        producer = AIOKafkaProducer(**aiokafka_config(kafka), transactional_id=f"{kafka.topic_prefix}.test")
        await producer.start()
        try:
            await producer.begin_transaction()
            for event in events:
                await producer.send_and_wait(
                    Topic.ALERTS.named(kafka.topic_prefix),
                    value=encode_event(event),
                    key=event.data.fingerprint.encode(),
                )
            for silence in silences:
                topic = Topic.SILENCES.named(kafka.topic_prefix)
                await producer.send_and_wait(topic, value=encode_silence(silence), key=silence.id.encode())
            await (producer.abort_transaction() if abort else producer.commit_transaction())
        finally:
            await producer.stop()

    asyncio.run(send())


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiver_of() as receiver:
        yield receiver


@contextmanager
def notifier(kafka: KafkaSettings, folder: Path, config: str, log_name: str = "") -> Iterator[Running]:
    file = folder / "alertmanager.yaml"
    file.write_text(config)
    env = {
        **kafka_env(kafka),
        "FLEETPULSE_NOTIFY_CONFIG": str(file),
        "FLEETPULSE_NOTIFY_ALLOW": "127.0.0.0/8",
        "FLEETPULSE_SELF_INTERVAL_SECONDS": "0",
        "FLEETPULSE_KAFKA_SESSION_TIMEOUT_SECONDS": "6",
    }
    with running("notify", env, folder, log_name=log_name) as worker:
        yield worker


def said(receiver: Receiver) -> list[tuple[str, list[str], list[str]]]:
    return [got.said for got in receiver.accepted]


def test_firing_and_resolved_each_once_over_a_restart_and_never_what_was_aborted(
    topics: KafkaSettings, receiver: Receiver, tmp_path: Path
) -> None:
    config = CONFIG.format(url=receiver.url)
    start = now_ms()
    publish(topics, [event_of("Hot", "aborted", start)], abort=True)
    publish(topics, [event_of("Hot", "a", start)])
    with notifier(topics, tmp_path, config) as worker:
        eventually(lambda: said(receiver) == [("oncall", ["a"], [])], START)
        publish(topics, [event_of("Hot", "a", start)])  # comes again
        publish(topics, [event_of("Hot", "b", now_ms())], [silence_of("s", {"instance": "c"}, start)])
        eventually(lambda: len(receiver.accepted) == 2, START)
        publish(topics, [event_of("Hot", "c", now_ms())])
        assert worker.stop(within=10.0) == 0
    publish(topics, [event_of("Hot", "a", now_ms(), number=2, status="resolved", start_ms=start)])
    with notifier(topics, tmp_path, config) as worker:
        eventually(lambda: len(receiver.accepted) == 3, START)
        assert worker.stop(within=10.0) == 0
    assert said(receiver) == [("oncall", ["a"], []), ("oncall", ["a", "b"], []), ("oncall", ["b"], ["a"])]
    assert len({got.key for got in receiver.attempts}) == len(receiver.attempts) == 3
