"""Follow `fleetpulse.alerts`: committed events only, those of one alert in their order."""

import heapq
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from fleetpulse.errors import UnavailableError
from fleetpulse.kafka_config import kafka_python_config, start_hint
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic

POLL_MS = 500
SILENT_SECONDS = 30.0  # without an answer while there is something to read
AT_ONCE = 100_000  # of what is there already; more is not sorted among partitions


class Message(NamedTuple):
    """One message; `place` names it."""

    place: str
    written_ms: int
    value: bytes


def follow(kafka: KafkaSettings, since_ms: int | None, ends: bool = False) -> Iterator[Message]:
    """Messages written at `since_ms` or later (None: from now on), then those to come; `ends`: without these.

    What is there already comes in the order of time over all partitions. Raises UnavailableError.
    """
    name = Topic.ALERTS.named(kafka.topic_prefix)
    try:
        consumer = KafkaConsumer(
            **kafka_python_config(kafka),
            isolation_level="read_committed",
            enable_auto_commit=False,
            metrics_enabled=False,
        )
    except KafkaError as error:
        raise _unavailable(kafka, error) from error
    try:
        numbers = consumer.partitions_for_topic(name)
        if not numbers:
            raise UnavailableError(f"there is no topic {name}: `fleetpulse topics` creates it")
        partitions = [TopicPartition(name, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        _seek(consumer, partitions, since_ms)
        if since_ms is not None:
            yield from _there(consumer, partitions)
        while not ends:
            yield from _merged(consumer.poll(timeout_ms=POLL_MS))
    except KafkaError as error:
        raise _unavailable(kafka, error) from error
    finally:
        consumer.close()


def _seek(consumer: Any, partitions: list[TopicPartition], since_ms: int | None) -> None:
    consumer.seek_to_end(*partitions)
    if since_ms is not None:
        for partition, found in consumer.offsets_for_times(dict.fromkeys(partitions, since_ms)).items():
            if found is not None:
                consumer.seek(partition, found.offset)
    for partition in partitions:  # before anybody is told that it is followed
        consumer.position(partition)


def _there(consumer: Any, partitions: list[TopicPartition]) -> Iterator[Message]:
    """What the topic has at this moment."""
    ends = consumer.end_offsets(partitions)
    found: dict[TopicPartition, list[Any]] = {}
    heard, behind = time.monotonic(), set(partitions)
    while behind := {one for one in behind if consumer.position(one) < ends[one]}:
        records = consumer.poll(timeout_ms=POLL_MS)
        if records:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENT_SECONDS:
            raise UnavailableError(f"Kafka stopped answering at {', '.join(map(str, sorted(behind)))}")
        for partition, part in records.items():
            found.setdefault(partition, []).extend(part)
        if sum(map(len, found.values())) >= AT_ONCE:
            yield from _merged(found)
            found = {}
    yield from _merged(found)


def _merged(records: dict[TopicPartition, list[Any]]) -> Iterator[Message]:
    """By time over the partitions; within one they stay as they are."""
    for record in heapq.merge(*records.values(), key=lambda one: one.timestamp):
        place = f"{record.topic}/{record.partition}/{record.offset}"
        yield Message(place, record.timestamp, record.value or b"")


def _unavailable(kafka: KafkaSettings, error: KafkaError) -> UnavailableError:
    hint = start_hint(kafka)
    return UnavailableError(
        f"Kafka does not answer at {kafka.bootstrap_servers} (FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS): {error!r}"
        + (f"; {hint}" if hint else "")
    )
