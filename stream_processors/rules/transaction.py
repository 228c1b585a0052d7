"""The events and state records of a batch, in one Kafka transaction: both are there, or neither.

Each partition has a producer of its own with ``transactional.id`` ``<prefix>.rules.<partition>``: opening it ends
what an earlier owner left open, and fences that owner should it still live (a zombie). So it is opened once, by who
owns the partition, and before the state is read: a state read later is newer than all that others wrote.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, KafkaError, OutOfOrderSequenceNumber, ProducerFenced

from fleetpulse.errors import RetryableError
from fleetpulse.kafka_config import aiokafka_config
from fleetpulse.logs import log_fields
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES, Topic

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
TRANSACTION_TIMEOUT_MS = 20_000
COMMIT_SECONDS = 30.0  # by then the broker has aborted it
_CONTENT_TYPE = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


class EndedError(RetryableError):
    """Nothing more can be written here. Whether the last batch is there, only the topics say: recover from them."""


class FencedError(EndedError):
    """The partition was forgotten, or another producer has its transactions now: acknowledge nothing."""


class Transaction:
    """Writes for one partition of `fleetpulse.metrics`; after an error or `close` it never writes again."""

    def __init__(self, kafka: KafkaSettings, partition: int) -> None:
        self._kafka = kafka
        self._partition = partition
        self._alerts = Topic.ALERTS.named(kafka.topic_prefix)
        self._states = Topic.ALERTS_STATE.named(kafka.topic_prefix)
        self._producer: AIOKafkaProducer | None = None
        self._closed = asyncio.Event()

    async def open(self) -> None:
        """Fence earlier owners; tries until Kafka answers. Raises FencedError once it is closed."""
        while self._producer is None or self._closed.is_set():
            self._check()
            try:
                await self._start()
            except (KafkaError, OSError) as error:
                log.warning(
                    "a transaction cannot be opened yet",
                    extra=log_fields(partition=self._partition, cause=repr(error)),
                )
                await asyncio.sleep(RETRY_SECONDS)

    async def write(self, events: Sequence[tuple[bytes, bytes]], records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Commit them, (key, value) each, in one attempt. Raises FencedError or, when Kafka does not do it, EndedError.

        The answer to a commit may be lost. Then the state says whether it was done, and when it was not, the same
        messages give the same events: same ids, same numbers.
        """
        self._check()
        committing = asyncio.ensure_future(self._commit(events, records))
        closing = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait((committing, closing), timeout=COMMIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not committing.done():
                self._check()
                raise TimeoutError(f"not committed within {COMMIT_SECONDS:g} s")
            committing.result()
        except (ProducerFenced, InvalidProducerEpoch, OutOfOrderSequenceNumber) as error:
            await self.close()
            raise FencedError(f"partition {self._partition} has another owner") from error
        except (KafkaError, OSError) as error:
            await self.close()
            raise EndedError(f"events of partition {self._partition} may not be written: {error!r}") from error
        finally:
            committing.cancel()
            closing.cancel()

    async def close(self) -> None:
        """Stop for good; what is open is aborted by its timeout, or by the next owner."""
        self._closed.set()
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer)

    def _check(self) -> None:
        if self._closed.is_set():
            raise FencedError(f"partition {self._partition} was given up")

    async def _start(self) -> None:
        producer = AIOKafkaProducer(
            **aiokafka_config(self._kafka),
            transactional_id=f"{self._kafka.topic_prefix}.rules.{self._partition}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=10_000,
            max_request_size=MAX_MESSAGE_BYTES,
        )
        try:
            await producer.start()
            self._check()  # closed meanwhile
        except BaseException:
            await _stop(producer)
            raise
        self._producer = producer

    async def _commit(
        self, events: Sequence[tuple[bytes, bytes]], records: Sequence[tuple[bytes, bytes | None]]
    ) -> None:
        # Not `async with producer.transaction()`: its abort waits for Kafka, and this may have to end without it.
        producer = self._producer
        assert producer is not None, "open() comes first"
        await producer.begin_transaction()
        sent = [await producer.send(self._alerts, value=value, key=key, headers=_CONTENT_TYPE) for key, value in events]
        sent += [
            await producer.send(self._states, value=value, key=key, partition=self._partition) for key, value in records
        ]
        await asyncio.gather(*sent)
        await producer.commit_transaction()


async def _stop(producer: AIOKafkaProducer) -> None:
    with suppress(Exception):
        await asyncio.wait_for(producer.stop(), 2.0)
        return
    with suppress(Exception):  # it waits to send what nobody needs
        await asyncio.wait_for(producer._sender.close(), 1.0)
    with suppress(Exception):
        await asyncio.wait_for(producer.client.close(), 1.0)
