"""The rhythm of the rules worker, for each partition it owns: recover, apply, record, commit, acknowledge.

A batch is done in this order, so that a crash at any point repeats it and loses nothing:
1. apply it to windows and alerts; 2. publish what was recorded; 3. commit events and state in one transaction,
if there are any; 4. acknowledge the input.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import KafkaError

from fleetpulse.errors import RuleError
from fleetpulse.logs import log_fields
from fleetpulse.rules.alerts import PLAIN
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.model import RuleSet
from fleetpulse.rules.partition import Outcome, PartitionRules
from fleetpulse.rules.reading import DEFAULT_LIMITS, TimeLimits
from fleetpulse.rules.silence import Head
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from stream_processors.inbox import Acknowledges, Inbox, Message
from stream_processors.own_thread import OwnThread
from stream_processors.rules.fit import fit
from stream_processors.rules.gauges import Gauges
from stream_processors.rules.recorder import Recorder
from stream_processors.rules.recovery import recover
from stream_processors.rules.transaction import EndedError, Transaction
from stream_processors.rules.warm_up import WarmUp

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
RETRY_SECONDS = 1.0

EndFetched = Callable[[int, int], int | None]  # (partition, next offset) → wall time of a fetch that ended there
StillMember = Callable[[], Awaitable[bool]]  # whether the group says that the last assignment holds


@dataclass(slots=True)
class Owned:
    """A partition that is ours since assignment `epoch`; `rules` is None until it is recovered.

    `acked` is the next offset that we acknowledged, which Faust may not have committed yet; -1: none.
    """

    epoch: int
    transaction: Transaction
    acked: int = -1
    rules: PartitionRules | None = None
    head: Head = field(default_factory=Head)


class Flow:
    """Connects stream, rules, recorder and transactions; lives on the event loop."""

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        pack: RuleSet,
        inbox: Inbox,
        recorder: Recorder,
        metrics: SelfMetrics,
        end_fetched: EndFetched,
        still_member: StillMember,
        limits: TimeLimits = DEFAULT_LIMITS,
        conduct: Conduct = PLAIN,
        warm_up: WarmUp | None = None,
    ) -> None:
        self._kafka, self._group, self._pack = kafka, group, pack
        self._inbox, self._recorder, self._metrics = inbox, recorder, metrics
        self._end_fetched, self._still_member = end_fetched, still_member
        self._limits, self._conduct = limits, conduct
        self._warm_up = warm_up
        self._gauges = Gauges(metrics)
        self._thread = OwnThread("rules")
        self._owned: dict[int, Owned] = {}
        self._epoch = 0
        self._assigned = asyncio.Event()
        self._busy = asyncio.Lock()
        self._closing: set[asyncio.Future[None]] = set()

    @property
    def not_ready(self) -> str | None:
        """Which partitions are not recovered yet."""
        waiting = [number for number, owned in self._owned.items() if owned.rules is None]
        return f"recovering partitions {waiting}" if waiting else None

    def keep_only(self, partitions: Iterable[int]) -> None:
        """After a rebalance: forget what is lost, recover what is new with the next batch or second."""
        keep = frozenset(partitions)
        for lost in self._owned.keys() - keep:
            self._forget(lost)
        self._epoch += 1
        self._assigned.set()
        for number in sorted(keep - self._owned.keys()):
            self._owned[number] = Owned(self._epoch, Transaction(self._kafka, number))

    async def take(self, stream: Acknowledges, messages: Sequence[Message]) -> None:
        """Do one batch of messages of any partitions."""
        by_partition: dict[int, list[Message]] = {}
        for message in messages:
            by_partition.setdefault(message.partition, []).append(message)
        epochs = {number: owned.epoch for number, owned in self._owned.items()}

        async def batch(number: int) -> None:
            # What was taken before a partition was lost and assigned again comes again from the committed offset.
            if self._owned[number].epoch == epochs.get(number):
                await self._batch(stream, number, by_partition[number])

        async with self._busy:
            await self._each(by_partition, batch)

    async def watch(self) -> None:
        """Every second: recover new partitions; at the end of a partition, let time pass for silence."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            async with self._busy:
                await self._each(list(self._owned), self._wait)
            recovered = {number: owned.rules for number, owned in self._owned.items() if owned.rules is not None}
            if self._warm_up is not None:
                await self._warm_up.look(recovered, self._thread.call)
            self._gauges.update(owned.rules for owned in self._owned.values() if owned.rules is not None)

    async def replace_rules(self, pack: RuleSet) -> None:
        """Go on with other rules in every partition, between two batches; rules that cannot run change nothing.

        Where they need windows that a partition does not have, it is recovered with them, as by a new owner: so these
        are warm at once.
        """
        try:
            await self._thread.call(self._try, pack)
        except RuleError as error:
            log.error("rules refused; those in force go on", extra=log_fields(cause=str(error)))
            self._metrics.add("fleetpulse_rules_refused_changes_total")
            return
        recovered: list[int] = []

        async def replace(number: int) -> None:
            owned = self._owned[number]
            assert owned.rules is not None
            outcome: Outcome | None = await self._thread.call(owned.rules.replace_rules, pack)
            if outcome is None:
                recovered.append(number)
                owned.rules = None
                await self._recovered(number)
            else:
                await self._write(owned, outcome)

        async with self._busy:
            self._pack = pack
            await self._each(list(self._owned), replace)
        self._metrics.add("fleetpulse_rules_changes_total")
        facts = {"alerts": len(pack.alerts), "recordings": len(pack.recordings), "recovered": len(recovered)}
        log.info("rules changed", extra=log_fields(**facts))

    def _try(self, pack: RuleSet) -> None:
        PartitionRules(pack, 0, self._kafka.partitions, self._limits).start(0)

    async def drain(self) -> None:
        """Let the batch in hand finish, then stop writing."""
        async with self._busy:
            for number in list(self._owned):
                self._forget(number)
            await asyncio.gather(*self._closing)
            self._recorder.close()

    async def _each(self, partitions: Iterable[int], work: Callable[[int], Awaitable[None]]) -> None:
        await asyncio.gather(*(self._guarded(number, work) for number in partitions))

    async def _guarded(self, number: int, work: Callable[[int], Awaitable[None]]) -> None:
        while (owned := self._owned.get(number)) is not None:
            try:
                if await self._recovered(number):
                    await work(number)
                return
            except EndedError as error:
                if self._owned.get(number) is owned:
                    log.warning("recovering again", extra=log_fields(partition=number, cause=str(error)))
                    await self._settle(number, owned)

    async def _settle(self, number: int, owned: Owned) -> None:
        # Either we are a zombie, and a rebalance takes the partition; or it is ours, and what is in memory is ahead
        # of what is written. Then recover and do the same messages again. Only the group knows which, and a zombie
        # that opened a transaction would fence the owner.
        while self._owned.get(number) is owned:
            self._assigned.clear()
            if await self._still_member() and self._owned.get(number) is owned:
                self._owned[number] = Owned(owned.epoch, Transaction(self._kafka, number), owned.acked)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._assigned.wait(), RETRY_SECONDS)

    async def _recovered(self, number: int) -> bool:
        while (owned := self._owned.get(number)) is not None and owned.rules is None:
            rules = PartitionRules(self._pack, number, self._kafka.partitions, self._limits, self._conduct)
            try:
                await owned.transaction.open()
                outcome = await recover(
                    self._kafka, self._group, rules, self._pack, number, self._thread.call, owned.acked
                )
                await self._write(owned, outcome)
            except (KafkaError, OSError) as error:
                log.warning("not recovered yet", extra=log_fields(partition=number, cause=repr(error)))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                owned.rules = rules
        return owned is not None

    async def _batch(self, stream: Acknowledges, number: int, messages: list[Message]) -> None:
        owned = self._owned[number]
        assert owned.rules is not None
        expected = owned.rules.next_offset
        if expected is not None and messages[0].offset > expected and self._inbox.missing(number, expected):
            return
        outcome: Outcome = await self._thread.call(owned.rules.apply, messages)  # 1
        owned.head.message()
        await self._write(owned, outcome)  # 2 and 3
        if self._owned.get(number) is owned and owned.rules.next_offset is not None:
            owned.acked = owned.rules.next_offset
            await self._inbox.acknowledge(stream, number, owned.acked)  # 4
        self._metrics.add("fleetpulse_consumer_messages_total", len(messages))

    async def _wait(self, number: int) -> None:
        owned = self._owned[number]
        if owned.rules is None or owned.rules.next_offset is None:
            return
        waited_ms = owned.head.waited(self._end_fetched(number, owned.rules.next_offset))
        if waited_ms:
            await self._write(owned, await self._thread.call(owned.rules.wait, waited_ms))

    async def _write(self, owned: Owned, outcome: Outcome) -> None:
        if outcome.recorded:
            await self._recorder.publish(outcome.recorded)
        if outcome.records:
            fitted = await self._thread.call(fit, outcome.events, outcome.records)
            await owned.transaction.write(fitted.events, fitted.records)
            self._metrics.add("fleetpulse_rules_oversized_total", fitted.oversized)
        self._gauges.count(outcome)

    def _forget(self, number: int) -> None:
        owned = self._owned.pop(number)
        closing: Any = asyncio.ensure_future(owned.transaction.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
