"""What cannot be used goes whole to `fleetpulse.metrics-dead`, and its partition moves on.

A dead letter has the message's value and headers as they came, and the headers of `DeadHeader`. A value that does not
fit into a message of the topic, compressed, is cut: a letter that Kafka refuses for ever would stop its partition.
"""

import asyncio
import logging
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import xxhash
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.codec import zstd_encode
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from fleetpulse.kafka_config import aiokafka_config
from fleetpulse.logs import log_fields
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES, Topic
from stream_processors.inbox import Message

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
CUT_BYTES = 512 * 1024  # of a value that is too large, its beginning; fits whatever it is
ROOM_BYTES = 64 * 1024  # for key, headers and the batch around a value
HEADER_BYTES = 16 * 1024  # of the message's own headers; more are left out
DETAIL_CHARACTERS = 1000
RESUME_KEY = b"resume"  # a message with this key is no dead letter: paused partitions go on


class DeadHeader(StrEnum):
    """Headers of a dead letter; every value is text. `SIZE` and `XXH3` are there when the value is cut."""

    TOPIC = "fp-dead-topic"
    PARTITION = "fp-dead-partition"
    OFFSET = "fp-dead-offset"
    REASON = "fp-dead-reason"
    DETAIL = "fp-dead-detail"
    SIZE = "fp-dead-size"  # bytes of the whole value
    XXH3 = "fp-dead-xxh3"  # of the whole value, 64 bits, hexadecimal


class Letter(NamedTuple):
    """A message and why it is dead: `reason` is a short stable word, `detail` a sentence."""

    message: Message
    reason: str
    detail: str


class DeadLetters:
    """Writes dead letters; the caller acknowledges the message only after `send` has returned."""

    def __init__(self, kafka: KafkaSettings, metrics: SelfMetrics) -> None:
        self._kafka = kafka
        self._metrics = metrics
        self._topic = Topic.METRICS_DEAD.named(kafka.topic_prefix)
        self._producer: AIOKafkaProducer | None = None

    async def send(self, letters: Iterable[Letter]) -> None:
        """Write them all, in order; tries for ever, because their partition may not move on without."""
        for letter in letters:
            message = letter.message
            cut = not _fits(message.value)
            while True:
                try:
                    await self._write(letter, cut)
                    break
                except MessageSizeTooLargeError as error:  # the broker's limit is lower than ours
                    log.warning("dead letter too large", extra=log_fields(cause=repr(error), cut=cut))
                    await self.close()  # an idempotent producer's numbers have a hole now
                    await asyncio.sleep(RETRY_SECONDS if cut else 0)
                    cut = True
                except (KafkaError, OSError) as error:
                    log.warning("dead letter not written yet", extra=log_fields(cause=repr(error)))
                    await asyncio.sleep(RETRY_SECONDS)
            self._metrics.add("fleetpulse_dead_letters_total", reason=letter.reason)
            log.warning(
                "dead letter",
                extra=log_fields(
                    partition=message.partition, offset=message.offset, reason=letter.reason, detail=_detail(letter)
                ),
            )

    async def resumed(self, since_ms: int) -> None:
        """Wait for a `fleetpulse dead resume` given after `since_ms`."""
        place = TopicPartition(self._topic, 0)
        while True:
            consumer = AIOKafkaConsumer(**aiokafka_config(self._kafka), enable_auto_commit=False)
            try:
                await consumer.start()
                consumer.assign([place])
                found = (await consumer.offsets_for_times({place: since_ms}))[place]
                if found is None:
                    await consumer.seek_to_end(place)
                else:
                    consumer.seek(place, found.offset)
                async for record in consumer:
                    if record.key == RESUME_KEY:
                        return
            except (KafkaError, OSError) as error:
                log.warning("cannot wait for a resume yet", extra=log_fields(cause=repr(error)))
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                await consumer.stop()

    async def close(self) -> None:
        """Stop the producer."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def _write(self, letter: Letter, cut: bool) -> None:
        message = letter.message
        value, headers = message.value, _headers(letter)
        if value is not None and cut:
            headers += [
                (DeadHeader.SIZE.value, str(len(value)).encode()),
                (DeadHeader.XXH3.value, xxhash.xxh3_64_hexdigest(value).encode()),
            ]
            value = value[:CUT_BYTES]
        producer = await self._started()
        await producer.send_and_wait(
            self._topic,
            value=value,
            key=f"{message.topic}/{message.partition}/{message.offset}".encode(),
            headers=[*_own_headers(message), *headers],
        )

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            # The client's limit is of the bytes before compression; `_fits` minds those after it.
            producer = AIOKafkaProducer(
                **aiokafka_config(self._kafka),
                enable_idempotence=True,
                compression_type="zstd",
                max_request_size=2**31 - 1,
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer


def _fits(value: bytes | None) -> bool:
    most = MAX_MESSAGE_BYTES - ROOM_BYTES
    return value is None or len(value) <= most or len(zstd_encode(value)) <= most


def _own_headers(message: Message) -> list[tuple[str, bytes]]:
    room, kept = HEADER_BYTES, []
    for name, value in message.headers:
        room -= len(name.encode()) + len(value)
        if room >= 0:
            kept.append((name, value))
    return kept


def _detail(letter: Letter) -> str:
    return letter.detail[:DETAIL_CHARACTERS]


def _headers(letter: Letter) -> list[tuple[str, bytes]]:
    message = letter.message
    return [
        (DeadHeader.TOPIC.value, message.topic.encode()),
        (DeadHeader.PARTITION.value, str(message.partition).encode()),
        (DeadHeader.OFFSET.value, str(message.offset).encode()),
        (DeadHeader.REASON.value, letter.reason.encode()),
        (DeadHeader.DETAIL.value, _detail(letter).encode(errors="replace")),
    ]
