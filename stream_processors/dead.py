"""What cannot be used goes whole to `fleetpulse.metrics-dead`, and its partition moves on.

A dead letter has the message's value and key as they came, its own headers, and the headers of `DeadHeader`.
"""

import asyncio
import logging
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from fleetpulse.kafka_config import aiokafka_config
from fleetpulse.logs import log_fields
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from stream_processors.inbox import Message

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
RESUME_KEY = b"resume"  # a message with this key is no dead letter: paused partitions go on


class DeadHeader(StrEnum):
    """Headers of a dead letter; every value is text."""

    TOPIC = "fp-dead-topic"
    PARTITION = "fp-dead-partition"
    OFFSET = "fp-dead-offset"
    REASON = "fp-dead-reason"
    DETAIL = "fp-dead-detail"


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
            while True:
                try:
                    producer = await self._started()
                    await producer.send_and_wait(
                        self._topic,
                        value=message.value,
                        key=f"{message.topic}/{message.partition}/{message.offset}".encode(),
                        headers=[*message.headers, *_headers(letter)],
                    )
                    break
                except (KafkaError, OSError) as error:
                    log.warning("dead letter not written yet", extra=log_fields(cause=repr(error)))
                    await asyncio.sleep(RETRY_SECONDS)
            self._metrics.add("fleetpulse_dead_letters_total", reason=letter.reason)
            log.warning(
                "dead letter",
                extra=log_fields(
                    partition=message.partition, offset=message.offset, reason=letter.reason, detail=letter.detail
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

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **aiokafka_config(self._kafka), enable_idempotence=True, max_request_size=16 * 1024 * 1024
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer


def _headers(letter: Letter) -> list[tuple[str, bytes]]:
    message = letter.message
    return [
        (DeadHeader.TOPIC.value, message.topic.encode()),
        (DeadHeader.PARTITION.value, str(message.partition).encode()),
        (DeadHeader.OFFSET.value, str(message.offset).encode()),
        (DeadHeader.REASON.value, letter.reason.encode()),
        (DeadHeader.DETAIL.value, letter.detail.encode()),
    ]
