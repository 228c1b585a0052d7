"""`fleetpulse notify` as a child of a test, and what it reads."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer

from fleetpulse.events import AlertEvent, encode_event
from fleetpulse.kafka_config import aiokafka_config
from fleetpulse.settings import KafkaSettings
from fleetpulse.silences import Silence, encode_silence
from fleetpulse.topics import Topic
from tests.support.running import Running, running
from tests.support.topics import kafka_env


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


@contextmanager
def notifier(kafka: KafkaSettings, folder: Path, config: str, log_name: str = "") -> Iterator[Running]:
    file = folder / "alertmanager.yaml"
    file.write_text(config)
    env = {
        **kafka_env(kafka),
        "FLEETPULSE_NOTIFY_CONFIG": str(file),
        "FLEETPULSE_NOTIFY_ALLOW": "127.0.0.0/8",
        "FLEETPULSE_SELF_INTERVAL_SECONDS": "0",
        "FLEETPULSE_KAFKA_SESSION_TIMEOUT_SECONDS": "3",
    }
    with running("notify", env, folder, log_name=log_name) as worker:
        yield worker
