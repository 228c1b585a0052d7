"""A Faust worker with every dangerous construct switched off (design.md section 8), and its life.

    worker = Worker("ingest", kafka, Topic.METRICS, metrics)

    @worker.app.agent(worker.topic, concurrency=1)
    async def stream(stream):                          # bytes, not yet decoded
        deliveries = Deliveries(stream)                # stream_processors/deliveries.py
        async for events in deliveries.take(64, within=0.1):
            for message in worker.inbox.take(events):  # stream_processors/inbox.py
                …
            await worker.inbox.acknowledge(deliveries, partition, next_offset)   # once it is durable
    exit_code = worker.run(drain)

Rules for the body: never let an exception out of it but one that shall end the process; never block (use an
`OwnThread`); acknowledge through the inbox only. `worker.on_assigned` gets the owned partitions after every
rebalance. Faust gives transport, assignment, agents and timers; its tables and windows are not used.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import faust
from faust.types import TP

from fleetpulse.clock import Clock, SystemClock
from fleetpulse.errors import UnavailableError
from fleetpulse.kafka_config import aiokafka_config, bootstrap_list
from fleetpulse.logs import log_fields
from fleetpulse.publish.topic_admin import ensure_topics
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, data_dir
from fleetpulse.topics import Topic
from stream_processors.inbox import Inbox
from stream_processors.transport import transport
from stream_processors.watchdog import watch

log = logging.getLogger(__name__)

START_SECONDS = 30.0  # how long an unreachable Kafka is tried at the start; then exit, and the supervisor's back-off
DRAIN_SECONDS = 4.0
STOP_SECONDS = 3.0
EXIT_SECONDS = 9.0  # hard bound from the signal to the end of the process
STUCK_SECONDS = 60.0
GAUGE_SECONDS = 2.0
EXIT_CRASHED = 1
EXIT_STUCK = 70


class Worker:
    """One process of a consumer group on one topic. Group and application are ``<prefix>.<process>``."""

    def __init__(
        self,
        process: str,
        kafka: KafkaSettings,
        topic: Topic,
        metrics: SelfMetrics,
        *,
        read_committed: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.kafka = kafka
        self.metrics = metrics
        self.inbox = Inbox(None if read_committed else self._read_again)
        self.on_assigned: list[Callable[[frozenset[int]], None]] = []
        self.topic_name = topic.named(kafka.topic_prefix)
        self.app = _app(f"{kafka.topic_prefix}.{process}", kafka, read_committed)
        self.topic = self.app.topic(self.topic_name, value_type=bytes, value_serializer="raw", key_type=bytes)
        self._clock = clock or SystemClock()
        self._beat = time.monotonic()
        self._member, self._generation = "", -1
        self.app.on_partitions_assigned.connect(self._assigned, weak=False)

    def run(self, drain: Callable[[], Awaitable[None]] | None = None) -> int:
        """Work until SIGTERM or SIGINT (exit code 0) or until an agent crashes (1).

        On a signal `drain` has DRAIN_SECONDS to finish what is in flight; what it does not finish is delivered
        again to the next owner. Raises UnavailableError when Kafka cannot be reached at the start.
        """
        wait_for_topics(self.kafka)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(self._live(drain))
        finally:
            _close(loop)

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that this process owns now."""
        with suppress(Exception):  # before the first assignment Faust has no consumer
            return frozenset(tp.partition for tp in self.app.consumer.assignment() if tp.topic == self.topic_name)
        return frozenset()

    def pause(self, partitions: Iterable[int]) -> None:
        """Stop fetching these partitions; a rebalance forgets it, so say it again."""
        paused = {TP(self.topic_name, partition) for partition in partitions}
        self.app.consumer.pause_partitions(paused)
        # Faust throws away what it has just fetched of a paused partition, and never fetches that again. Of one whose
        # buffer is full it keeps it.
        self.app.consumer._buffered_partitions.update(paused)

    def resume(self, partitions: Iterable[int]) -> None:
        """Fetch these partitions again."""
        self.app.consumer.resume_partitions({TP(self.topic_name, partition) for partition in partitions})

    async def _live(self, drain: Callable[[], Awaitable[None]] | None) -> int:
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked.set)
        service = _Service(self.app, loop=loop)
        running = asyncio.ensure_future(service.start())
        waiting = asyncio.ensure_future(asked.wait())
        beating = asyncio.ensure_future(self._heartbeat())
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        await asyncio.wait((running, waiting, beating), return_when=asyncio.FIRST_COMPLETED)
        if not asked.is_set():
            cause = service.crash_reason or self.app.crash_reason or _error_of(running) or _error_of(beating)
            log.critical("crashed", extra=log_fields(cause=repr(cause)), exc_info=cause)
        _exit_after(EXIT_SECONDS, 0 if asked.is_set() else EXIT_CRASHED)
        if asked.is_set() and drain is not None:
            await _bounded(drain(), DRAIN_SECONDS, "drain")
        if asked.is_set() and self.app.consumer.assignment():
            await _bounded(self.app.consumer.commit(), 1.0, "commit")
        await _bounded(service.stop(), STOP_SECONDS, "stop")
        for task in (running, waiting, beating):
            task.cancel()
        return 0 if asked.is_set() else EXIT_CRASHED

    async def _heartbeat(self) -> None:
        gauged = 0.0
        while True:
            self._beat = time.monotonic()
            if self._beat - gauged >= GAUGE_SECONDS:
                gauged = self._beat
                self._gauge()
            await asyncio.sleep(0.5)

    def _watch(self) -> None:
        watch(lambda: self._beat, STUCK_SECONDS, time.sleep)
        log.critical("the event loop makes no progress", extra=log_fields(seconds=STUCK_SECONDS))
        os._exit(EXIT_STUCK)

    def _gauge(self) -> None:
        lag, oldest_ms, now_ms = 0, None, self._clock.now_ms()
        owned = self.partitions
        for partition in owned:
            oldest = self.inbox.oldest(partition)
            end, position = self._end_and_position(partition)
            if oldest is not None:
                oldest_ms = min(oldest[1], oldest_ms or oldest[1])
                position = oldest[0]
            lag += max(0, end - position)
        self.metrics.set("fleetpulse_consumer_lag_messages", lag)
        age = max(0, now_ms - oldest_ms) / 1000 if oldest_ms else 0.0
        self.metrics.set("fleetpulse_consumer_oldest_unprocessed_seconds", age)
        self.metrics.set("fleetpulse_consumer_assigned_partitions", len(owned))

    def end_offset(self, partition: int) -> int | None:
        """The offset after the newest message of an owned partition at the last fetch; None before the first one."""
        with suppress(Exception):
            end: int | None = self.app.consumer.highwater(TP(self.topic_name, partition))
            return end
        return None

    def at_end(self, partition: int) -> bool:
        """Whether all of the partition is read, as far as the last fetch told; True before the first one."""
        end, position = self._end_and_position(partition)
        return position >= end

    def _end_and_position(self, partition: int) -> tuple[int, int]:
        tp = TP(self.topic_name, partition)
        with suppress(Exception):  # unknown until the first fetch
            end = self.app.consumer.highwater(tp)
            read = self.app.consumer._read_offset.get(tp)
            if end is not None and read is not None:
                return end, max(read + 1, self._behind_markers(tp))
        return 0, 0

    def _behind_markers(self, tp: TP) -> int:
        """How far Kafka's client is. Faust knows messages only, and behind the last there may be a marker of its
        transaction, or a whole one that was aborted."""
        consumer = self.app.consumer._thread._ensure_consumer()
        position: int = consumer._subscription.subscription.assignment.state_value(tp).position
        return position

    async def _assigned(self, app: Any, assigned: Iterable[Any], **_: Any) -> None:
        owned = frozenset(tp.partition for tp in assigned if tp.topic == self.topic_name)
        log.info("assigned", extra=log_fields(partitions=",".join(map(str, sorted(owned))) or "none"))
        member, generation = self._member_id(), self.app.consumer_generation_id
        if self._member and (member != self._member or generation != self._generation + 1):
            # The group had expelled us (we were stopped, or cut off), or we missed a rebalance of it: others may have
            # worked on what is ours again.
            self._keep_only(frozenset())
        self._member, self._generation = member, generation
        self._keep_only(owned)

    def _keep_only(self, owned: frozenset[int]) -> None:
        self.inbox.keep_only(owned, self.app.consumer_generation_id)
        for callback in self.on_assigned:
            callback(owned)

    def _read_again(self, partition: int, offset: int) -> None:
        log.warning("messages did not come: reading again", extra=log_fields(partition=partition, offset=offset))
        sought = partial(self.inbox.sought, partition)
        self.app.consumer.read_again(TP(self.topic_name, partition), offset, sought)

    def _member_id(self) -> str:
        with suppress(Exception):  # before the first assignment Faust has no consumer
            return str(self.app.consumer._thread._ensure_consumer()._coordinator.member_id)
        return ""


def wait_for_topics(kafka: KafkaSettings) -> None:
    """Create or check the topics; an unreachable Kafka is tried for START_SECONDS."""
    give_up = time.monotonic() + START_SECONDS
    pause = 0.5
    while True:
        try:
            return ensure_topics(kafka, timeout_seconds=5.0)
        except UnavailableError as error:
            if time.monotonic() + pause > give_up:
                raise
            log.warning("Kafka is not there yet", extra=log_fields(cause=str(error), retry_seconds=pause))
            time.sleep(pause)
            pause = min(5.0, pause * 2)


def _app(name: str, kafka: KafkaSettings, read_committed: bool) -> Any:
    brokers = ";".join(f"kafka://{server}" for server in bootstrap_list(kafka))
    app = _App(
        name,
        datadir=data_dir() / "run" / name,
        broker=brokers,
        broker_credentials=_credentials(kafka),
        autodiscover=False,
        web_enabled=False,  # else 0.0.0.0:6066 without authentication
        topic_disable_leader=True,
        topic_allow_declare=False,  # topics are ours to create
        topic_partitions=kafka.partitions,
        agent_supervisor="mode.CrashingSupervisor",
        stream_wait_empty=False,  # else SIGTERM waits for messages that are not acknowledged
        # Rarely full, because waiting for room is dear; a fetch may go beyond it by its 100 messages.
        stream_buffer_maxsize=256,
        stream_publish_on_commit=False,
        broker_commit_interval=0.5,
        broker_session_timeout=kafka.session_timeout_seconds,
        broker_heartbeat_interval=kafka.session_timeout_seconds / 5,
        broker_request_timeout=30.0,
        broker_max_poll_records=100,
        broker_max_poll_interval=86_400.0,  # an absent ClickHouse stops the fetching, and may never cost the membership
        consumer_max_fetch_size=4 * 1024 * 1024,
        consumer_auto_offset_reset="earliest",
        worker_redirect_stdouts=False,
        store="memory://",
    )
    app.transport = transport(app, read_committed)
    return app


class _App(faust.App):
    """Without the folders for tables, which Faust makes in the working directory at every start."""

    def _create_directories(self) -> None:
        pass


def _credentials(kafka: KafkaSettings) -> Any:
    config = aiokafka_config(kafka)
    context = config.get("ssl_context")
    if kafka.sasl_mechanism:
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password,
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context=context) if context else None


class _Service(faust.Worker):
    """Faust's own worker without its signals, its logging set-up and its search for agents."""

    def __init__(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(app, quiet=True, loop=loop, override_logging=False, redirect_stdouts=False)
        self.spinner = None

    def install_signal_handlers(self) -> None:
        pass

    async def on_execute(self) -> None:
        pass  # sets the process title otherwise, and hides which command this is

    def autodiscover(self) -> None:
        pass


async def _bounded(work: Awaitable[Any], seconds: float, what: str) -> None:
    try:
        await asyncio.wait_for(work, seconds)
    except TimeoutError:
        log.warning("gave up waiting", extra=log_fields(for_the=what, seconds=seconds))
    except Exception:
        log.exception("failed while stopping", extra=log_fields(step=what))


def _exit_after(seconds: float, code: int) -> None:
    def end() -> None:
        time.sleep(seconds)
        log.warning("exiting with work left", extra=log_fields(seconds=seconds))
        os._exit(code)

    threading.Thread(target=end, name="exit", daemon=True).start()


def _error_of(task: "asyncio.Future[Any]") -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


def _close(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
    with suppress(Exception):
        loop.run_until_complete(asyncio.sleep(0.1))
    loop.close()
