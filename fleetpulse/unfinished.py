"""What would be lost if the topics split by host were deleted now: messages that nobody read yet, and minutes that only
the present owner of a partition can finish.
"""

import time
from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from fleetpulse.errors import UnavailableError
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import CLICKHOUSE_ERRORS, connect, unavailable
from fleetpulse.storage.pending import pending
from fleetpulse.storage.recompute import MINUTES
from fleetpulse.topics import Topic

# The processes that read a topic for good; the others keep their places themselves, or only look.
INGEST = "ingest"
READERS = ((Topic.METRICS, INGEST), (Topic.METRICS, "rules"), (Topic.ALERTS, "history"))
LEDGER_SECONDS = 16 * 86_400  # how long the ledger is kept
_AHEAD_SECONDS = 86_400
_POLL_SECONDS = 5.0


def unfinished(kafka: KafkaSettings, clickhouse_url: str) -> list[str]:
    """A sentence for each kind of it; empty: nothing would be lost. Raises UnavailableError."""
    unread = [
        f"{topic.named(kafka.topic_prefix)}: {process} has not read {messages:,} messages"
        for topic, process in READERS
        if (messages := _unread(kafka, topic, f"{kafka.topic_prefix}.{process}"))
    ]
    return [*unread, *_open_minutes(kafka, clickhouse_url)]


def _unread(kafka: KafkaSettings, topic: Topic, group: str) -> int:
    """How many messages a group has not acknowledged, with Kafka's own markers; 0 when these are all.

    A group that never acknowledged any is of a process that is not in use; ingest always is.
    """
    name = topic.named(kafka.topic_prefix)
    try:
        consumer: Any = KafkaConsumer(
            **kafka_python_config(kafka), group_id=group, enable_auto_commit=False, isolation_level="read_committed"
        )
        try:
            places = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
            begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
            committed = {place: consumer.committed(place) for place in places}
            if not group.endswith(INGEST) and not any(committed.values()):
                return 0
            at = {place: max(begins[place], committed[place] or 0) for place in places}
            left = {place: (at[place], ends[place]) for place in places if at[place] < ends[place]}
            return sum(end - at for at, end in left.values()) if left and _any_message(consumer, left) else 0
        finally:
            consumer.close()
    except KafkaError as error:
        raise UnavailableError(
            f"Kafka does not answer at {kafka.bootstrap_servers} (FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS): {error}"
        ) from error


def _any_message(consumer: Any, left: dict[TopicPartition, tuple[int, int]]) -> bool:
    """Whether there is a message in these ranges of offsets: transactions leave markers, which are none."""
    consumer.assign(list(left))
    for place, (at, _) in left.items():
        consumer.seek(place, at)
    give_up = time.monotonic() + _POLL_SECONDS
    while time.monotonic() < give_up:
        if consumer.poll(timeout_ms=200):
            return True
        if all(consumer.position(place) >= end for place, (_, end) in left.items()):
            return False
    return True  # what cannot be seen now may be a transaction that is still open


def _open_minutes(kafka: KafkaSettings, url: str) -> Iterator[str]:
    now = int(time.time())
    try:
        client = connect(url)
        try:
            topic = Topic.METRICS.named(kafka.topic_prefix)
            found = pending(client, topic, MINUTES, now - LEDGER_SECONDS, now + _AHEAD_SECONDS)
        finally:
            client.disconnect()
    except CLICKHOUSE_ERRORS as error:
        raise unavailable(url, error) from error
    if found:
        partitions = sorted(set().union(*found.values()))
        yield (
            f"{topic}: ingest has not finished {len(found)} minutes of partitions {', '.join(map(str, partitions))}, "
            "which takes it up to two minutes after the last message"
        )
