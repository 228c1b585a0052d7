"""The events and state records of a batch, in one Kafka transaction: both are there, or neither.

Each partition has a producer of its own with ``transactional.id`` ``<prefix>.rules.<partition>``: opening it ends
what an earlier owner left open, and fences that owner should it still live (a zombie).
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber, ProducerFenced

from fleetpulse.errors import FleetpulseError
from fleetpulse.events import AlertEvent, encode_event
from fleetpulse.kafka_config import aiokafka_config
from fleetpulse.logs import log_fields
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
TRANSACTION_TIMEOUT_MS = 20_000
_CONTENT_TYPE = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


class FencedError(FleetpulseError):
    """Another process owns the partition now: forget it, acknowledge nothing."""


class Transaction:
    """Writes for one partition of `fleetpulse.metrics`."""

    def __init__(self, kafka: KafkaSettings, partition: int) -> None:
        self._kafka = kafka
        self._partition = partition
        self._alerts = Topic.ALERTS.named(kafka.topic_prefix)
        self._states = Topic.ALERTS_STATE.named(kafka.topic_prefix)
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Fence earlier owners; tries until Kafka answers."""
        while self._producer is None:
            try:
                await self._start()
            except (KafkaError, OSError) as error:
                await self._retry("a transaction cannot be opened yet", error)

    async def write(self, events: Iterable[AlertEvent], records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Commit them; tries for ever. Raises FencedError when the partition has another owner.

        When the answer to a commit is lost, the same events are written again: same ids, same numbers.
        """
        messages = [(event.data.fingerprint.encode(), encode_event(event)) for event in events]
        while True:
            await self.open()
            try:
                return await self._commit(messages, records)
            except (ProducerFenced, OutOfOrderSequenceNumber) as error:
                await self.close()
                raise FencedError(f"partition {self._partition} has another owner") from error
            except (KafkaError, OSError) as error:
                await self.close()
                await self._retry("events are not written yet", error)

    async def close(self) -> None:
        """Stop the producer; what is open is aborted by its timeout, or by the next owner."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(producer.stop(), 2.0)

    async def _start(self) -> None:
        producer = AIOKafkaProducer(
            **aiokafka_config(self._kafka),
            transactional_id=f"{self._kafka.topic_prefix}.rules.{self._partition}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=10_000,
        )
        try:
            await producer.start()
        except BaseException:
            with suppress(Exception):
                await producer.stop()
            raise
        self._producer = producer

    async def _commit(
        self, messages: Sequence[tuple[bytes, bytes]], records: Sequence[tuple[bytes, bytes | None]]
    ) -> None:
        assert self._producer is not None
        async with self._producer.transaction():
            sent = [
                await self._producer.send(self._alerts, value=value, key=key, headers=_CONTENT_TYPE)
                for key, value in messages
            ]
            sent += [
                await self._producer.send(self._states, value=value, key=key, partition=self._partition)
                for key, value in records
            ]
            await asyncio.gather(*sent)

    async def _retry(self, what: str, error: BaseException) -> None:
        log.warning(what, extra=log_fields(partition=self._partition, cause=repr(error)))
        await asyncio.sleep(RETRY_SECONDS)
