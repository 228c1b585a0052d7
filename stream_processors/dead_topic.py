"""Dead letters as they lie on `fleetpulse.metrics-dead`, read with a plain kafka-python consumer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from fleetpulse.errors import UnavailableError
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from stream_processors.dead import RESUME_KEY, DeadHeader

TIMEOUT_SECONDS = 10.0
UNKNOWN = -1
_OURS = frozenset(DeadHeader)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One letter. `number` is its own offset; topic, partition and offset are its message's, UNKNOWN without a header.

    `headers` are the message's own. `whole_bytes` is the size of the message's value, `value` its beginning.
    """

    number: int
    died_ms: int
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    headers: tuple[tuple[str, bytes], ...]
    value: bytes
    whole_bytes: int

    @property
    def cut(self) -> bool:
        """Whether the end of the value is missing."""
        return len(self.value) < self.whole_bytes

    @property
    def place(self) -> str:
        """``topic/partition/offset`` of the message."""
        return "/".join([self.topic, *("?" if n == UNKNOWN else str(n) for n in (self.partition, self.offset))])


def read(kafka: KafkaSettings, newest: int | None = None) -> Iterator[DeadLetter]:
    """The letters that are there now, oldest first; `newest`: only the last so many messages of the topic."""
    place = TopicPartition(Topic.METRICS_DEAD.named(kafka.topic_prefix), 0)
    consumer = KafkaConsumer(**kafka_python_config(kafka), enable_auto_commit=False)
    try:
        end = consumer.end_offsets([place])[place]
        begin = consumer.beginning_offsets([place])[place]
        if newest is not None:
            begin = max(begin, end - newest)
        consumer.assign([place])
        consumer.seek(place, begin)
        while begin < end:
            records = consumer.poll(timeout_ms=int(TIMEOUT_SECONDS * 1000)).get(place, [])
            if not records:
                raise UnavailableError(f"Kafka stopped answering at message {begin} of {place.topic}")
            for record in records:
                if record.key != RESUME_KEY and record.offset < end:
                    yield letter_of(record)
            begin = records[-1].offset + 1
    finally:
        consumer.close()


def letter_of(record: Any) -> DeadLetter:
    """The letter in a record; of one that is not ours, what there is."""
    ours = {name: (value or b"").decode(errors="replace") for name, value in record.headers if name in _OURS}
    value = record.value or b""
    return DeadLetter(
        record.offset,
        record.timestamp,
        ours.get(DeadHeader.TOPIC, "?"),
        _number(ours.get(DeadHeader.PARTITION, ""), UNKNOWN),
        _number(ours.get(DeadHeader.OFFSET, ""), UNKNOWN),
        ours.get(DeadHeader.REASON, "?"),
        ours.get(DeadHeader.DETAIL, ""),
        tuple((name, value or b"") for name, value in record.headers if name not in _OURS),
        value,
        _number(ours.get(DeadHeader.SIZE, ""), len(value)),
    )


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else otherwise
