"""Notifying, one process at a time: whoever owns the one partition of `fleetpulse.notify-state` does it.

A turn: 1 fence the others; 2 read the state; 3 read silences and events up to their ends, telling nobody; then for ever
4 read what came and write it into the state, 5 write what is begun, 6 send it, 7 write what became of it.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from aiokafka.errors import KafkaError

from fleetpulse.clock import Clock
from fleetpulse.errors import FatalError, FrameError
from fleetpulse.logs import log_fields
from fleetpulse.notify.config import Config
from fleetpulse.notify.notifier import Notification, Notifier, Outcome
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from stream_processors.notify.channels import Channels
from stream_processors.notify.intake import Intake
from stream_processors.notify.journal import FencedError, Journal, position_record
from stream_processors.notify.lanes import Lanes
from stream_processors.notify.report import Report

log = logging.getLogger(__name__)

RETRY_SECONDS, FENCED_SECONDS = 1.0, 15.0
FORGET_EVERY_MS = 60_000
DRAIN_SECONDS = 3.0


class Flow:
    """Lives on the event loop; `own` is told by the rebalances."""

    def __init__(
        self, kafka: KafkaSettings, config: Config, channels: Channels, metrics: SelfMetrics, clock: Clock
    ) -> None:
        self._kafka, self._config, self._channels, self._clock = kafka, config, channels, clock
        self._metrics = metrics
        self._report = Report(config, metrics, clock)
        self._lanes = Lanes(config.integrations)
        self._task: asyncio.Task[None] | None = None
        self._draining = False
        self._settled: list[tuple[Notification, Outcome]] = []
        self._flying: set[asyncio.Task[None]] = set()
        self.not_ready: str | None = None

    def own(self, partitions: frozenset[int]) -> None:
        """After a rebalance: notify while partition 0 is ours."""
        if partitions and self._task is None:
            self._task = asyncio.ensure_future(self._work())
        elif not partitions and self._task is not None:
            self._task.cancel()
            self._task = None
            self._report.active(False)

    async def drain(self) -> None:
        """Begin nothing more, and record what is on its way, as far as it ends soon."""
        self._draining = True
        task, self._task = self._task, None
        if task is not None:
            done, _ = await asyncio.wait({task}, timeout=DRAIN_SECONDS)
            if not done:
                task.cancel()

    async def _work(self) -> None:
        while not self._draining:
            try:
                await self._turn()
                return
            except FencedError as error:
                log.warning(str(error), extra=log_fields(retry_seconds=FENCED_SECONDS))
                await asyncio.sleep(FENCED_SECONDS)
            except (KafkaError, OSError) as error:
                self.not_ready = f"Kafka does not answer: {error or type(error).__name__}"
                log.warning("will try again", extra=log_fields(cause=repr(error), retry_seconds=RETRY_SECONDS))
                await asyncio.sleep(RETRY_SECONDS)
            except (FatalError, FrameError) as error:
                self.not_ready = str(error)
                log.error("cannot notify", extra=log_fields(cause=str(error), retry_seconds=FENCED_SECONDS))
                await asyncio.sleep(FENCED_SECONDS)
            except Exception as error:  # a fault of ours: the next turn begins with what is written
                self.not_ready = f"{type(error).__name__}: {error}"
                log.exception("cannot notify", extra=log_fields(retry_seconds=FENCED_SECONDS))
                await asyncio.sleep(FENCED_SECONDS)
            finally:
                self._report.active(False)

    async def _turn(self) -> None:
        journal, intake = Journal(self._kafka), Intake(self._kafka, self._metrics)
        notifier = Notifier(self._config)
        self._settled = []
        try:
            await journal.open()  # 1
            records, position = await journal.read()  # 2
            notifier.restore(records.items(), self._clock.now_ms())
            await intake.open(position.alerts)
            await self._catch_up(notifier, intake, journal)  # 3
            self._report.active(True)
            self.not_ready = None
            log.info("notifying", extra=log_fields(alerts=len(notifier.alerts), groups=len(notifier.groups)))
            await self._notify(notifier, intake, journal)
        finally:
            for task in self._flying:
                task.cancel()  # the threads go on: nobody will hear of their outcome, so the next turn asks again
            self._flying = set()
            with suppress(Exception):
                await intake.close()
            await journal.close()

    async def _catch_up(self, notifier: Notifier, intake: Intake, journal: Journal) -> None:
        while await intake.lag() and not self._draining:
            await self._read(notifier, intake, journal)

    async def _notify(self, notifier: Notifier, intake: Intake, journal: Journal) -> None:
        forgotten_ms = 0
        while not self._draining or self._flying or self._settled:
            await self._read(notifier, intake, journal)  # 4
            now_ms = self._clock.now_ms()
            lag = await intake.lag()
            settled, self._settled = self._settled, []
            for notification, outcome in settled:  # 7, with what is begun next
                notifier.settle(notification, outcome, now_ms)
            if now_ms - forgotten_ms > FORGET_EVERY_MS:
                notifier.forget_old(now_ms)
                forgotten_ms = now_ms
            # While events wait that were there before, what seems to hold may be over.
            due = [] if lag or self._draining else notifier.due(now_ms)
            await journal.write(notifier.changes())  # 5
            self._send(due)  # 6
            self._report.state(notifier, lag, len(self._flying), now_ms)

    async def _read(self, notifier: Notifier, intake: Intake, journal: Journal) -> None:
        if await intake.take(notifier):
            await journal.write([*notifier.changes(), position_record(intake.offsets)])

    def _send(self, notifications: Sequence[Notification]) -> None:
        for notification in notifications:
            task = asyncio.ensure_future(self._tell(notification))
            self._flying.add(task)
            task.add_done_callback(self._flying.discard)

    async def _tell(self, notification: Notification) -> None:
        outcome, why = await self._lanes.call(notification, self._channels.send)
        self._report.attempt(notification, outcome, why)
        self._settled.append((notification, outcome))
