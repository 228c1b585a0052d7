"""The rules worker's reader of `fleetpulse.rules`: to the end at the start, then as changes come."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from fleetpulse.errors import UnavailableError
from fleetpulse.kafka_config import aiokafka_config
from fleetpulse.logs import log_fields
from fleetpulse.rules.model import RuleSet
from fleetpulse.rules.published import has_more
from fleetpulse.rules.rulebook import Rulebook
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES, Topic

QUIET_MS = 100  # changes that come so soon after each other take effect together
IDLE_MS = 1000
RETRY_SECONDS = 1.0
START_SECONDS = 30.0
UNFINISHED_SECONDS = 5.0  # for the rest of a change that was being written at the start

log = logging.getLogger(__name__)

TakeRules = Callable[[RuleSet], Awaitable[None]]


class RulesTopic:
    """The topic's records, and how far they are read."""

    def __init__(self, kafka: KafkaSettings, metrics: SelfMetrics) -> None:
        self.book = Rulebook()
        self._kafka, self._metrics = kafka, metrics
        self._tp = TopicPartition(Topic.RULES.named(kafka.topic_prefix), 0)
        self._next = 0
        self._unfinished: list[Any] = []  # records of a change whose last one has not come
        self._changed = False  # something was read that is not in force yet
        self._told: dict[str, str] = {}

    async def read_to_end(self) -> None:
        """Read what the topic has now; of a change that is being written the rest, or nothing when it does not come.

        Raises UnavailableError when Kafka does not give it in START_SECONDS.
        """
        try:
            await asyncio.wait_for(self._read_to_end(), START_SECONDS)
        except (KafkaError, OSError, TimeoutError) as error:
            raise UnavailableError(f"the topic {self._tp.topic} cannot be read: {error!r}") from error
        self._tell_refused()

    async def follow(self, take: TakeRules) -> None:
        """Hand over the rules whenever they changed; never returns."""
        while True:
            try:
                async with self._consumer() as consumer:
                    await self._follow(consumer, take)
            except (KafkaError, OSError) as error:
                log.warning("changes of rules cannot be read now", extra=log_fields(cause=repr(error)))
                await asyncio.sleep(RETRY_SECONDS)

    async def _read_to_end(self) -> None:
        async with self._consumer() as consumer:
            end = (await consumer.end_offsets([self._tp]))[self._tp]
            deadline = asyncio.get_running_loop().time() + UNFINISHED_SECONDS
            while await consumer.position(self._tp) < end or (
                self._unfinished and asyncio.get_running_loop().time() < deadline
            ):
                for record in (await consumer.getmany(self._tp, timeout_ms=QUIET_MS)).get(self._tp, []):
                    self._take(record)
        if self._unfinished:
            log.warning("a change of rules is not written to its end, and waits", extra=log_fields(read=self._next))

    async def _follow(self, consumer: AIOKafkaConsumer, take: TakeRules) -> None:
        while True:
            wait_ms = QUIET_MS if self._changed else IDLE_MS
            records = (await consumer.getmany(self._tp, timeout_ms=wait_ms)).get(self._tp, [])
            for record in records:
                self._changed |= self._take(record)
            if self._changed and not records:
                if self.book.authority is not None:
                    await take(self.book.rule_set())
                self._changed = False
                self._tell_refused()

    def _take(self, record: Any) -> bool:
        """Take a record; whether it ends a change, which then is in the book as a whole."""
        if record.offset < self._next:  # the topic was made anew
            self.book = Rulebook()
            self._unfinished.clear()
        self._next = record.offset + 1
        self._unfinished.append(record)
        if has_more(record.headers):
            return False
        for each in self._unfinished:
            self.book.take((each.key or b"").decode(errors="replace"), each.value)
        self._unfinished.clear()
        return True

    def _tell_refused(self) -> None:
        for name, why in self.book.refused.items():
            if self._told.get(name) != why:
                log.error("rule group refused; what was in force goes on", extra=log_fields(group=name, cause=why))
        for name in self._told.keys() | self.book.refused.keys():
            self._metrics.set("fleetpulse_rules_refused", float(name in self.book.refused), group=name)
        self._told = dict(self.book.refused)
        self._metrics.set("fleetpulse_rules_refused_groups", len(self._told))

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            **aiokafka_config(self._kafka),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=QUIET_MS,
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        )
        await consumer.start()
        try:
            consumer.assign([self._tp])
            consumer.seek(self._tp, self._next)
            yield consumer
        finally:
            await consumer.stop()
