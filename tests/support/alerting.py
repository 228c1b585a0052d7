"""What tests of alerting share: a feed of samples, and the alert topic read as anybody else would read it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from kafka import KafkaConsumer

from fleetpulse.events import AlertEvent, decode_event
from fleetpulse.kafka_config import aiokafka_config, kafka_python_config
from fleetpulse.partition import partition_of
from fleetpulse.publish.publisher import Publisher
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import join_keys, make_block
from tests.support.patience import patient


class Feed:
    """Sends ``test_value`` of hosts, stamped as the test wants."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.publisher = Publisher(kafka, PublishSettings(linger_ms=0), SelfMetrics())

    def send(self, host: str, at_ms: int, value: float | None, name: str = "test_value") -> None:
        """One tick of a host: ``up`` and, unless None, the value. Returns when Kafka has it."""
        samples = {f'up{{instance="{host}"}}': 1.0}
        if value is not None:
            samples[f'{name}{{instance="{host}"}}'] = value
        assert self.publisher.send([make_block(host, {"job": "test"}, join_keys(samples), at_ms, samples.values())])
        assert self.publisher.flush(patient(15.0))


@contextmanager
def feed_of(kafka: KafkaSettings) -> Iterator[Feed]:
    """A feed that is closed in the end."""
    feed = Feed(kafka)
    try:
        yield feed
    finally:
        feed.publisher.close(2.0)


def hosts_of_one_partition(count: int, partitions: int, prefix: str = "host") -> list[str]:
    """Names of hosts that share a partition."""
    names = [f"{prefix}-{number}" for number in range(100 * partitions)]
    return [name for name in names if partition_of(name, partitions) == partition_of(names[0], partitions)][:count]


def messages_of(kafka: KafkaSettings, topic: Topic, isolation_level: str = "read_committed") -> list[Any]:
    """Every message of a topic that is split by host, now: aiokafka's ConsumerRecord."""
    return asyncio.run(_read(kafka, topic.named(kafka.topic_prefix), isolation_level))


async def _read(kafka: KafkaSettings, name: str, isolation_level: str) -> list[Any]:
    consumer = AIOKafkaConsumer(
        **aiokafka_config(kafka), isolation_level=isolation_level, enable_auto_commit=False, fetch_max_wait_ms=50
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(name, number) for number in range(kafka.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        for tp in partitions:
            while await consumer.position(tp) < ends[tp]:
                found += (await consumer.getmany(tp, timeout_ms=100)).get(tp, [])
        return found
    finally:
        await consumer.stop()


def read_by_kafka_python(kafka: KafkaSettings, topic: Topic, count: int) -> list[Any]:
    """`count` committed messages of a topic, by a plain kafka-python consumer that knows nothing of us."""
    consumer = KafkaConsumer(
        topic.named(kafka.topic_prefix),
        **kafka_python_config(kafka),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        consumer_timeout_ms=int(patient(15) * 1000),
        metrics_enabled=False,
    )
    try:
        return list(islice(consumer, count))
    finally:
        consumer.close()


def alert_events(kafka: KafkaSettings, host: str | None = None) -> list[AlertEvent]:
    """The committed alert events, of one host when it is given, in the order of each alert."""
    events = [decode_event(message.value) for message in messages_of(kafka, Topic.ALERTS)]
    return [event for event in events if host is None or event.data.host == host]


def shown(events: Sequence[AlertEvent]) -> list[tuple[str, str, int]]:
    """What happened, briefly: (status, reason, number)."""
    return [(event.data.status, event.data.reason, event.data.transition) for event in events]
