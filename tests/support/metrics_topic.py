"""What lies on `fleetpulse.metrics`, read with a plain kafka-python consumer."""

from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import Frame, decode_frame, samples_in


@dataclass(frozen=True)
class Message:
    """One record with its frame."""

    partition: int
    offset: int
    key: str
    headers: dict[str, str]
    timestamp_type: int
    append_ms: int
    frame: Frame

    @property
    def samples(self) -> int:
        return sum(map(samples_in, self.frame.blocks))


def read_all(kafka: KafkaSettings) -> list[Message]:
    """Every message there is now, by partition and offset."""
    topic = Topic.METRICS.named(kafka.topic_prefix)
    consumer: Any = KafkaConsumer(**kafka_python_config(kafka), enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, number) for number in range(kafka.partitions)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        messages = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                messages += [_message(record) for record in records]
    finally:
        consumer.close()
    return sorted(messages, key=lambda message: (message.partition, message.offset))


def _message(record: Any) -> Message:
    return Message(
        record.partition,
        record.offset,
        record.key.decode(),
        {name: value.decode() for name, value in record.headers},
        record.timestamp_type,
        record.timestamp,
        decode_frame(record.value),
    )
