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
        sent = [await producer.send(self._topic, key=key, value=value, partition=0) for key, value in records]
        await asyncio.gather(*sent)
        await producer.commit_transaction()

    async def read(self) -> tuple[dict[bytes, bytes], Position]:
        """The committed records, and the position. Raises KafkaError, or FatalError for a position of another build."""
        found = await read_compacted(self._kafka, Topic.NOTIFY_STATE)
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
