"""What a compacted topic of the API holds now: read to the end once, when the publisher connects."""

import time
from collections.abc import Mapping

from kafka import KafkaConsumer, TopicPartition

from fleetpulse.errors import UnavailableError
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES, Topic

READ_SECONDS = 20.0


def latest(kafka: KafkaSettings, topic: Topic) -> Mapping[str, bytes]:
    """Key → newest committed value of a topic with one partition, without deleted keys. Raises UnavailableError."""
    tp = TopicPartition(topic.named(kafka.topic_prefix), 0)
    deadline = time.monotonic() + READ_SECONDS
    found: dict[str, bytes] = {}
    consumer = KafkaConsumer(
        **kafka_python_config(kafka),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        fetch_max_wait_ms=100,
        metrics_enabled=False,
    )
    try:
        consumer.assign([tp])
        consumer.seek_to_beginning(tp)
        end = consumer.end_offsets([tp])[tp]
        while consumer.position(tp) < end:
            if time.monotonic() > deadline:
                raise UnavailableError(f"topic {tp.topic} was not read to its end in {READ_SECONDS:g} s")
            for message in consumer.poll(timeout_ms=200).get(tp, []):
                key = (message.key or b"").decode(errors="replace")
                if message.value is None:
                    found.pop(key, None)
                else:
                    found[key] = message.value
    finally:
        consumer.close()
    return found
