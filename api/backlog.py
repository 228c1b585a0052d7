"""How old the oldest message is that a consumer group has not processed: its committed offsets, then that message."""

import socket
import time
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from fleetpulse.errors import UnavailableError
from fleetpulse.kafka_config import bootstrap_list, kafka_python_config
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic

GROUPS = {"ingest": Topic.METRICS, "rules": Topic.METRICS, "history": Topic.ALERTS}  # process → what it reads
REQUEST_TIMEOUT_MS = 2000
_READ_SECONDS = 1.5
_LEAST_BYTES = 16 * 1024  # a fetch brings a partition's first batch whole, whatever its size


@dataclass(frozen=True, slots=True)
class Oldest:
    """A group's oldest unprocessed message; `append_ms` is None when all is processed.

    Where messages come in transactions the offsets are also those of their markers, and of what was aborted:
    `messages` is the most that can wait.
    """

    append_ms: int | None
    messages: int
    started: bool  # has ever committed


class Backlog:
    """Asks one Kafka cluster; not for two threads at once."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._admin: Any = None
        self._consumers: dict[Topic, Any] = {}

    def oldest(self) -> dict[str, Oldest]:
        """By process name (`GROUPS`). Raises UnavailableError, and connects anew the next time."""
        try:
            self._connect()
            return self._ask()
        except (KafkaError, OSError) as error:
            self.close()
            cause = str(error) or type(error).__name__
            raise UnavailableError(
                f"Kafka at {self._kafka.bootstrap_servers} (FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS) "
                f"does not answer: {cause}"
            ) from error

    def close(self) -> None:
        """Close the connections."""
        for client in (self._admin, *self._consumers.values()):
            try:
                if client is not None:
                    client.close()
            except (KafkaError, OSError):
                pass  # it is given up because it failed; closing it may fail in the same way
        self._admin, self._consumers = None, {}

    def _connect(self) -> None:
        if self._consumers:
            return
        # A client is opened only when somebody listens: one that is refused leaves a thread and sockets behind.
        if not any(listens(address) for address in bootstrap_list(self._kafka)):
            raise ConnectionRefusedError("nothing listens there")
        bounds = {
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "bootstrap_timeout_ms": REQUEST_TIMEOUT_MS,
        }
        self._admin = KafkaAdminClient(**kafka_python_config(self._kafka), **bounds)
        # One for each topic: kafka-python forgets the metadata of a topic when it is assigned another.
        for topic in dict.fromkeys(GROUPS.values()):
            self._consumers[topic] = KafkaConsumer(
                **kafka_python_config(self._kafka),
                **bounds,
                metrics_enabled=False,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed" if topic.value.transactional else "read_uncommitted",
                allow_auto_create_topics=False,
                max_partition_fetch_bytes=_LEAST_BYTES,
                fetch_max_wait_ms=100,
            )

    def _ask(self) -> dict[str, Oldest]:
        deadline = time.monotonic() + _READ_SECONDS
        answer = {}
        for name, topic in GROUPS.items():
            consumer = self._consumers[topic]
            partitions = _partitions(consumer, topic.named(self._kafka.topic_prefix))
            starts = consumer.beginning_offsets(partitions)
            group = f"{self._kafka.topic_prefix}.{name}"
            committed = self._admin.list_group_offsets({group: partitions}).get(group, {})
            ends = consumer.end_offsets(partitions)  # after the commits, so that no backlog is negative
            offsets = {partition: mark.offset for partition, mark in committed.items() if mark.offset >= 0}
            first = {partition: max(offsets.get(partition, 0), starts[partition]) for partition in partitions}
            waiting = {partition: offset for partition, offset in first.items() if offset < ends[partition]}
            found = _first_append_ms(consumer, waiting, ends, deadline)
            messages = sum(ends[partition] - waiting[partition] for partition in found)
            answer[name] = Oldest(min(found.values(), default=None), messages, bool(offsets))
        return answer


def _partitions(consumer: Any, topic: str) -> list[TopicPartition]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise UnavailableError(f"Kafka has no topic {topic}: run `fleetpulse topics`")
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def _first_append_ms(
    consumer: Any, waiting: dict[TopicPartition, int], ends: dict[TopicPartition, int], deadline: float
) -> dict[TopicPartition, int]:
    """The append time of each partition's first message from these offsets on, where there is one.

    There is none where only the markers of transactions follow, or what was aborted.
    """
    found: dict[TopicPartition, int] = {}
    if not waiting:
        return found
    consumer.assign(list(waiting))
    for partition, offset in waiting.items():
        consumer.seek(partition, offset)
    missing = set(waiting)
    while missing and time.monotonic() < deadline:
        for partition, records in consumer.poll(timeout_ms=100, max_records=100).items():
            if partition in missing and records:
                found[partition] = records[0].timestamp
        done = {one for one in missing if one in found or consumer.position(one) >= ends[one]}
        consumer.pause(*done)
        missing -= done
    consumer.unsubscribe()
    if missing:
        names = ", ".join(f"{one.topic}/{one.partition}" for one in sorted(missing))
        raise UnavailableError(f"Kafka did not hand out the first waiting message of {names} in time")
    return found


def listens(address: str) -> bool:
    """Whether a TCP connection to host:port is taken."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REQUEST_TIMEOUT_MS / 1000).close()
    except OSError:
        return False
    return True
