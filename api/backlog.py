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

GROUPS = ("ingest", "rules")  # those that read the metrics topic
REQUEST_TIMEOUT_MS = 2000
_READ_SECONDS = 1.5
_LEAST_BYTES = 16 * 1024  # a fetch brings a partition's first batch whole, whatever its size


@dataclass(frozen=True, slots=True)
class Oldest:
    """A group's oldest unprocessed message; `append_ms` is None when all is processed."""

    append_ms: int | None
    messages: int
    started: bool  # has ever committed


class Backlog:
    """Asks one Kafka cluster; not for two threads at once."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topic = Topic.METRICS.named(kafka.topic_prefix)
        self._admin: Any = None
        self._consumer: Any = None

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
        for client in (self._admin, self._consumer):
            try:
                if client is not None:
                    client.close()
            except (KafkaError, OSError):
                pass
        self._admin = self._consumer = None

    def _connect(self) -> None:
        if self._consumer is not None:
            return
        # A client is opened only when somebody listens: one that is refused leaves a thread and sockets behind.
        if not any(_listens(address) for address in bootstrap_list(self._kafka)):
            raise ConnectionRefusedError("nothing listens there")
        bounds = {
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "bootstrap_timeout_ms": REQUEST_TIMEOUT_MS,
        }
        self._admin = KafkaAdminClient(**kafka_python_config(self._kafka), **bounds)
        self._consumer = KafkaConsumer(
            **kafka_python_config(self._kafka),
            **bounds,
            metrics_enabled=False,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=_LEAST_BYTES,
            fetch_max_wait_ms=100,
        )

    def _ask(self) -> dict[str, Oldest]:
        partitions = [TopicPartition(self._topic, number) for number in self._partitions()]
        starts = self._consumer.beginning_offsets(partitions)
        groups = {name: f"{self._kafka.topic_prefix}.{name}" for name in GROUPS}
        committed = self._admin.list_group_offsets(dict.fromkeys(groups.values(), partitions))
        ends = self._consumer.end_offsets(partitions)  # after the commits, so that no backlog is negative
        answer = {}
        for name, group in groups.items():
            offsets = {
                partition: mark.offset for partition, mark in committed.get(group, {}).items() if mark.offset >= 0
            }
            waiting = {
                partition: max(offsets.get(partition, 0), starts[partition])
                for partition in partitions
                if ends[partition] > max(offsets.get(partition, 0), starts[partition])
            }
            messages = sum(ends[partition] - offset for partition, offset in waiting.items())
            answer[name] = Oldest(self._append_ms(waiting), messages, bool(offsets))
        return answer

    def _partitions(self) -> list[int]:
        numbers = self._consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise UnavailableError(f"Kafka has no topic {self._topic}: run `fleetpulse topics`")
        return sorted(numbers)

    def _append_ms(self, waiting: dict[TopicPartition, int]) -> int | None:
        """The least append time of the messages at these offsets."""
        if not waiting:
            return None
        consumer = self._consumer
        consumer.assign(list(waiting))
        for partition, offset in waiting.items():
            consumer.seek(partition, offset)
        least: int | None = None
        missing = set(waiting)
        deadline = time.monotonic() + _READ_SECONDS
        while missing and time.monotonic() < deadline:
            for partition, records in consumer.poll(timeout_ms=100, max_records=100).items():
                if partition in missing and records:
                    missing.discard(partition)
                    consumer.pause(partition)
                    least = records[0].timestamp if least is None else min(least, records[0].timestamp)
        consumer.unsubscribe()
        if missing:
            numbers = ", ".join(str(partition.partition) for partition in sorted(missing))
            raise UnavailableError(
                f"Kafka did not hand out the first waiting message of {self._topic} [{numbers}] in time"
            )
        return least


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REQUEST_TIMEOUT_MS / 1000).close()
    except OSError:
        return False
    return True
