"""A metrics topic that keeps the times at which a test says that messages were appended, and how far its rules are."""

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from fleetpulse.kafka_config import aiokafka_config
from fleetpulse.publish.topic_admin import admin_client
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from tests.support.eventually import eventually
from tests.support.patience import patient


def keep_times(kafka: KafkaSettings, at_ms: int, probe: int) -> None:
    """Have the topic keep the producers' times; a worker that starts sets it back.

    Messages that say nothing are sent to partition `probe`, stamped `at_ms`, until that holds.
    """
    topic = Topic.METRICS.named(kafka.topic_prefix)
    with admin_client(kafka) as admin:
        config = {"message.timestamp.type": "CreateTime"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, config)])
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, enable_idempotence=True)

    def kept() -> bool:
        sent = producer.send(topic, b"probe", b"", [], probe, at_ms).get(patient(15))
        return bool(sent.timestamp == at_ms)

    eventually(kept)
    producer.close()


def behind_of_rules(kafka: KafkaSettings) -> Mapping[int, int]:
    """Partitions of the metrics topic whose committed offset is not their end; raises KafkaError."""
    return asyncio.run(_behind(kafka, Topic.METRICS.named(kafka.topic_prefix)))


async def _behind(kafka: KafkaSettings, topic: str) -> Mapping[int, int]:
    tps = [TopicPartition(topic, number) for number in range(kafka.partitions)]
    admin, consumer = AIOKafkaAdminClient(**aiokafka_config(kafka)), AIOKafkaConsumer(**aiokafka_config(kafka))
    await admin.start()
    await consumer.start()
    try:
        ends = await consumer.end_offsets(tps)
        committed = await admin.list_consumer_group_offsets(f"{kafka.topic_prefix}.rules", partitions=tps)
        found = {tp: committed[tp].offset if tp in committed else -1 for tp in tps}
        return {tp.partition: end - found[tp] for tp, end in ends.items() if end and end != found[tp]}
    finally:
        await consumer.stop()
        await admin.close()
