"""The notifier's state on `fleetpulse.notify-state`: read once, then written in transactions of one producer.

Its ``transactional.id`` is one for all notifiers: opening it fences whoever notified before. A notification is begun by
a transaction, so a notifier that was fenced begins none.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, OutOfOrderSequenceNumber, ProducerFenced

from fleetpulse.errors import FatalError, RetryableError
from fleetpulse.kafka_config import aiokafka_config
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES, Topic

POSITION = b"position"
PART_BYTES = 4 * 1024 * 1024  # a longer value is several messages of one transaction; Kafka takes MAX_MESSAGE_BYTES
PART = b"\0"  # between a record's key and the number of a further part
TRANSACTION_TIMEOUT_MS = 20_000
COMMIT_SECONDS = 20.0
FETCH_MS = 200
_FENCED = (ProducerFenced, InvalidProducerEpoch, OutOfOrderSequenceNumber)

Record = tuple[bytes, bytes | None]


class FencedError(RetryableError):
    """Another process notifies now."""


class Position(msgspec.Struct):
    """Up to where `fleetpulse.alerts` is in the state: partition → next offset."""

    alerts: dict[int, int] = {}
    v: int = 1


class Journal:
    """One turn of notifying; after an error it is closed and another one opened."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topic = Topic.NOTIFY_STATE.named(kafka.topic_prefix)
        self._producer: AIOKafkaProducer | None = None
        self._parts: dict[bytes, int] = {}  # of the records that are more than one message

    async def open(self) -> None:
        """Fence the others. Raises KafkaError."""
        producer = AIOKafkaProducer(
            **aiokafka_config(self._kafka),
            transactional_id=f"{self._kafka.topic_prefix}.notify",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=10_000,
            max_request_size=MAX_MESSAGE_BYTES,
        )
        self._producer = producer
        await producer.start()

    async def close(self) -> None:
        """Stop writing; what is open is aborted by its timeout, or by the next one's `open`."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(Exception):
                await asyncio.wait_for(producer.stop(), 2.0)
                return
            with suppress(Exception):
                await asyncio.wait_for(producer.client.close(), 1.0)

    async def write(self, records: Sequence[Record]) -> None:
        """Commit records, all or none. Raises FencedError, KafkaError or OSError; then nothing more can be written."""
        if not records:
            return
        try:
            await asyncio.wait_for(self._commit(records), COMMIT_SECONDS)
        except _FENCED as error:
            raise FencedError("another process notifies now") from error

    async def _commit(self, records: Sequence[Record]) -> None:
        producer = self._producer
        assert producer is not None, "open() comes first"
        await producer.begin_transaction()
        parts = [part for record in records for part in self._parts_of(record)]
        sent = [await producer.send(self._topic, key=key, value=value, partition=0) for key, value in parts]
        await asyncio.gather(*sent)
        await producer.commit_transaction()

    def _parts_of(self, record: Record) -> list[Record]:
        parts = parts_of(record, self._parts.pop(record[0], 1))
        if (count := sum(value is not None for _, value in parts)) > 1:
            self._parts[record[0]] = count
        return parts

    async def read(self) -> tuple[dict[bytes, bytes], Position]:
        """The committed records, and the position. Raises KafkaError, or FatalError for a position of another build."""
        found, self._parts = joined(await read_compacted(self._kafka, Topic.NOTIFY_STATE))
        position = found.pop(POSITION, None)
        try:
            return found, msgspec.json.decode(position, type=Position) if position else Position()
        except msgspec.DecodeError as error:
            raise FatalError(
                f"topic {self._topic}, key {POSITION!r}: {error}: start the version that wrote it"
            ) from error


def position_record(offsets: Mapping[int, int]) -> Record:
    """The record of a position."""
    return POSITION, msgspec.json.encode(Position(dict(offsets)))


def parts_of(record: Record, before: int) -> list[Record]:
    """A record as messages of at most PART_BYTES; `before`: how many there are, of which none may stay behind."""
    key, value = record
    parts: list[bytes] = []
    if value is not None:
        parts = [value[begin : begin + PART_BYTES] for begin in range(0, max(1, len(value)), PART_BYTES)]
    keys = [key, *(key + PART + str(number).encode() for number in range(1, max(before, len(parts))))]
    return [(name, parts[number] if number < len(parts) else None) for number, name in enumerate(keys)]


def joined(messages: Mapping[bytes, bytes]) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
    """The records whose messages these are, and of how many messages those are that are more than one."""
    numbers: dict[bytes, list[int]] = {}
    for key in messages:
        name, _, number = key.partition(PART)
        numbers.setdefault(name, []).append(int(number or 0))
    records = {
        name: b"".join(messages[name + PART + str(number).encode() if number else name] for number in sorted(of_name))
        for name, of_name in numbers.items()
    }
    return records, {name: len(of_name) for name, of_name in numbers.items() if len(of_name) > 1}


async def read_compacted(kafka: KafkaSettings, topic: Topic) -> dict[bytes, bytes]:
    """Key → newest committed value of a topic with one partition. Raises KafkaError."""
    tp = TopicPartition(topic.named(kafka.topic_prefix), 0)
    consumer = consumer_of(kafka)
    await consumer.start()
    found: dict[bytes, bytes] = {}
    try:
        consumer.assign([tp])
        consumer.seek(tp, (await consumer.beginning_offsets([tp]))[tp])
        end = (await consumer.end_offsets([tp]))[tp]
        while await consumer.position(tp) < end:
            for record in (await consumer.getmany(tp, timeout_ms=FETCH_MS)).get(tp, []):
                if record.value is None:
                    found.pop(record.key, None)
                else:
                    found[record.key] = record.value
    finally:
        await consumer.stop()
    return found


def consumer_of(kafka: KafkaSettings) -> AIOKafkaConsumer:
    """A consumer that reads committed records and is of no group."""
    return AIOKafkaConsumer(
        **aiokafka_config(kafka),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
    )
