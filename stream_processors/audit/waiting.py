"""What lies in Kafka behind the ledger's last rows: read as ingest would read it, and not stored."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from fleetpulse.errors import UnavailableError
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.settings import IngestSettings, KafkaSettings
from fleetpulse.topics import Topic
from stream_processors.audit.account import Dropped, HostHour, Pair
from stream_processors.audit.coverage import Island
from stream_processors.inbox import Message
from stream_processors.ingest.accounts import UNNUMBERED, Accounts
from stream_processors.ingest.intake import Chunk, Reader

POLL_SECONDS = 10.0


@dataclass
class Waiting:
    """Samples by host and hour, their numbers, what producers say, and how many messages were left unread."""

    samples: Counter[HostHour] = field(default_factory=Counter)
    islands: dict[Pair, list[Island]] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    messages: int = 0
    unread: int = 0


def acknowledged(kafka: KafkaSettings, group: str) -> dict[int, int]:
    """Partition → the offset through which the group has acknowledged `fleetpulse.metrics`."""
    topic = Topic.METRICS.named(kafka.topic_prefix)
    try:
        consumer: Any = KafkaConsumer(**kafka_python_config(kafka), group_id=group, enable_auto_commit=False)
        try:
            places = [TopicPartition(topic, partition) for partition in range(kafka.partitions)]
            return {place.partition: offset for place in places if (offset := consumer.committed(place)) is not None}
        finally:
            consumer.close()
    except KafkaError as error:
        raise _unavailable(kafka, error) from error


def first_since(kafka: KafkaSettings, since_ms: int, acknowledged: Mapping[int, int]) -> dict[int, int]:
    """Partition → the first offset that Kafka has of those appended since then; without those that have none.

    And without those that end before what is `acknowledged`: their topic was created anew and nobody has read it yet.
    """
    topic = Topic.METRICS.named(kafka.topic_prefix)
    try:
        consumer: Any = KafkaConsumer(**kafka_python_config(kafka), enable_auto_commit=False)
        try:
            times = {TopicPartition(topic, partition): max(0, since_ms) for partition in range(kafka.partitions)}
            found = consumer.offsets_for_times(times)
            ends = consumer.end_offsets(list(times))
            return {
                place.partition: one.offset
                for place, one in found.items()
                if one is not None and one.offset >= 0 and ends[place] >= acknowledged.get(place.partition, 0)
            }
        finally:
            consumer.close()
    except KafkaError as error:
        raise _unavailable(kafka, error) from error


def read(kafka: KafkaSettings, ingest: IngestSettings, reached: Mapping[int, int], seconds: float) -> Waiting:
    """Everything from the offsets `reached` to the topic's present end; what is not read after `seconds` is counted."""
    try:
        consumer: Any = KafkaConsumer(**kafka_python_config(kafka), enable_auto_commit=False)
        try:
            return _read(consumer, kafka, ingest, reached, seconds)
        finally:
            consumer.close()
    except KafkaError as error:
        raise _unavailable(kafka, error) from error


def _read(
    consumer: Any, kafka: KafkaSettings, ingest: IngestSettings, reached: Mapping[int, int], seconds: float
) -> Waiting:
    topic = Topic.METRICS.named(kafka.topic_prefix)
    places = [TopicPartition(topic, partition) for partition in range(kafka.partitions)]
    ends, begins = consumer.end_offsets(places), consumer.beginning_offsets(places)
    at = {place: max(begins[place], reached.get(place.partition, 0)) for place in places}
    at = {place: begin for place, begin in at.items() if begin < ends[place]}
    waiting = Waiting()
    if not at:
        return waiting
    consumer.assign(list(at))
    for place, begin in at.items():
        consumer.seek(place, begin)
    reader = Reader(ingest, kafka.partitions)
    give_up = time.monotonic() + seconds
    while at and time.monotonic() < give_up:
        polled = consumer.poll(timeout_ms=int(1000 * min(POLL_SECONDS, max(0.1, give_up - time.monotonic()))))
        for place, records in polled.items():
            if place not in at:
                continue
            taken = [record for record in records if record.offset < ends[place]]
            _take(waiting, reader, place.partition, taken)
            at[place] = records[-1].offset + 1
            if at[place] >= ends[place]:
                del at[place]
                consumer.pause(place)
    waiting.unread = sum(ends[place] - next_offset for place, next_offset in at.items())
    return waiting


def _take(waiting: Waiting, reader: Reader, partition: int, records: list[Any]) -> None:
    if not records:
        return
    waiting.messages += len(records)
    first, append_ms = records[0].offset, records[0].timestamp
    chunk = Chunk(reader, partition, first, first, True, append_ms, append_ms)
    for record in records:
        headers = tuple((name, value or b"") for name, value in record.headers)
        reader.add(
            chunk,
            Message(record.topic, partition, record.offset, record.timestamp, record.key, record.value, headers),
        )
    _enter(waiting, chunk.accounts, chunk.append_ms)


def _enter(waiting: Waiting, accounts: Accounts, append_ms: int) -> None:
    for span in [*accounts.spans(), *(one.span for one in accounts.dead)]:
        waiting.samples[span.host, span.hour] += span.samples
        if span.first != UNNUMBERED:
            island = Island(span.first, span.first + span.samples, span.hour, append_ms)
            islands = waiting.islands.setdefault((span.producer, span.host), [])
            if islands and islands[-1].end == island.first:
                islands[-1] = islands[-1]._replace(end=island.end)
            else:
                islands.append(island)
    waiting.dropped += [Dropped(one.producer, one.host, one.hour, one.samples) for one in accounts.dropped]
    waiting.closed |= accounts.closed


def _unavailable(kafka: KafkaSettings, error: KafkaError) -> UnavailableError:
    return UnavailableError(
        f"Kafka does not answer at {kafka.bootstrap_servers} (FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS): {error}"
    )
