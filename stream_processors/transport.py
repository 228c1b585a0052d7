"""Faust's transport, as subclasses at the places that it gives for them: `transport(app, read_committed)`.

For every message Faust makes four tasks, to stop waiting for a full buffer when a rebalance comes. Where the buffer has
room nothing is waited for, and that is found out by just trying: measured with frames of 100 samples, this halves the
CPU of a message. A message whose topic has one agent with room goes into that agent's queue at once, undecoded as all
our topics are, and is acknowledged without locks: both happen on the event loop only.

Faust drops what a fetch brings while its flow stands still, as in a rebalance, and then seeks back to the committed
offsets; where nothing is committed yet it seeks nothing, and what it dropped never comes again. So here it then seeks
to the beginning, and a seek that failed is done before the next fetch. `read_again` seeks back to where messages are
missing.
"""

import logging
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from inspect import iscoroutine
from typing import Any

from faust.events import Event
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.services import Service, WaitResults

from fleetpulse.logs import log_fields

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
_ALL = 2**62  # behind every offset
_DELIVERED: Any = object()


class TriesFirst(Service):
    """A mode service that waits for the first of two coroutines only when the first has to wait."""

    abstract = True

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109, mode's own
        """The first of them, as in mode; (deliver a message, flow is suspended) is what Faust's fetcher waits for."""
        if coros[0] is _DELIVERED:
            coros[1].close()
            return WaitResults([], [], False)
        if len(coros) == 2 and timeout is None and all(map(iscoroutine, coros)) and not self.should_stop:
            first, other = coros
            try:
                waits_for = first.send(None)
            except StopIteration as done:
                other.close()
                return WaitResults([first], [done.value], False)
            except BaseException:
                other.close()
                raise
            coros = (_finish(first, waits_for), other)
        return await super().wait_first(*coros, timeout=timeout)


class _Rest:
    """What is left of a coroutine that has begun and waits for a future."""

    def __init__(self, begun: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._begun, self._waits_for = begun, waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        begun, waits_for = self._begun, self._waits_for
        while True:
            try:
                sent = yield waits_for
            except GeneratorExit:
                begun.close()
                raise
            except BaseException as error:
                resume = partial(begun.throw, error)
            else:
                resume = partial(begun.send, sent)
            try:
                waits_for = resume()
            except StopIteration as done:
                return done.value


async def _finish(begun: Coroutine[Any, Any, Any], waits_for: Any) -> Any:
    return await _Rest(begun, waits_for)


class _Consumer(TriesFirst, driver.Consumer):
    logger = driver.logger

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._owes_seek = False
        self._again: dict[TP, tuple[int, Callable[[int], None]]] = {}
        self._delivered: dict[TP, int] = {}  # of what is read again: the last offset that was delivered before
        self._through_faust, self.callback = self.callback, self._deliver
        self._pressure: dict[TP, tuple[Callable[[], None], Callable[[], None]]] = {}

    def _deliver(self, message: Any) -> Any:
        """`_DELIVERED` when nothing has to be waited for, else Faust's own coroutine for it."""
        app, tp = self.app, message.tp
        topics: Any = app.topics
        channels = topics._tp_index.get(tp, ())
        if len(channels) != 1 or topics._tp_to_callback_lock.locked() or not app.flow_control.is_active():
            return self._through_faust(message)
        (channel,) = channels
        queue = channel.queue
        if queue.full():
            return self._through_faust(message)
        pressure = self._pressure.get(tp)
        if pressure is None:
            ours = TP(*tp)  # the message has aiokafka's, which is equal, but no TP
            pressure = self._pressure[tp] = partial(self.on_buffer_full, ours), partial(self.on_buffer_drop, ours)
        message.refcount = 1
        event = Event(app, message.key, message.value, None, message)
        queue.put_nowait_enhanced(event, on_pressure_high=pressure[0], on_pressure_drop=pressure[1])
        return _DELIVERED

    def done(self, message: Any) -> bool:
        """Acknowledge a message that one agent has; on the event loop only."""
        if message.acked:
            return False
        message.acked = True
        tp, offset = message.tp, message.offset
        committed, acked = self._committed_offset[tp], self._acked_index[tp]
        if offset in acked or (committed is not None and offset < committed):
            return False
        acked.add(offset)
        self._acked[tp].append(offset)
        self._n_acked += 1
        return True

    async def verify_all_partitions_active(self) -> None:
        """Nothing: Faust's asks `verify_event_path` for each."""

    async def perform_seek(self) -> None:
        """Seek every partition to its committed offset, or to the beginning of the log where there is none."""
        self._owes_seek = True
        # What is committed is below what was asked for, and Faust needs the acknowledgement of all that is not.
        again, self._again = self._again, {}
        for tp in again:
            self._note_delivered(tp)
        try:
            await super().perform_seek()
            nothing = [driver.ensure_aiokafka_TP(tp) for tp in self.assignment() if not self._read_offset[tp]]
            if nothing:
                await self.seek_wait(await self.earliest_offsets(*nothing))
        except BaseException:
            self._again = again | self._again  # who asked is still waiting
            raise
        for tp, (_, sought) in again.items():
            sought(self._delivered.pop(tp))
        self._owes_seek = False

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust's only writes to the log, and ends the process while a position is being looked up."""

    def read_again(self, tp: TP, offset: int, sought: Callable[[int], None]) -> None:
        """Before the next fetch seek back to this offset, or to the first that Kafka still has.

        Then `sought` gets the offset of the last message that was delivered before; -1: none was.
        """
        self._again[tp] = offset, sought

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109, Faust's own
        # What the last fetch brought is delivered by now, so it cannot move the read offset over what is sought here.
        if self.flow_active and (self._owes_seek or self._again):
            try:
                if self._owes_seek:
                    await self.perform_seek()
                await self._seek_back()
            except Exception as error:
                log.warning("not sought yet", extra=log_fields(cause=repr(error), retry_seconds=RETRY_SECONDS))
                await self.sleep(RETRY_SECONDS)
                return None, None
        return await super()._wait_next_records(timeout)

    async def _seek_back(self) -> None:
        while self._again:
            tp, wanted = next(iter(self._again.items()))
            if tp not in self.assignment():
                del self._again[tp]
                self._delivered.pop(tp, None)
                continue
            offset, sought = wanted
            (first,) = (await self.earliest_offsets(driver.ensure_aiokafka_TP(tp))).values()
            if self._again.get(tp) is not wanted:  # meanwhile something else was asked for
                continue
            begin = max(offset, first)
            self._note_delivered(tp)
            await self.seek_wait({driver.ensure_aiokafka_TP(tp): begin})
            if self._again.get(tp) is not wanted:
                # Without a request there was a `perform_seek`: its positions count.
                self._owes_seek |= tp not in self._again
                continue
            if tp in self._gap:
                self._gap[tp].chop(offset, _ALL)  # else Faust takes the messages of the gap for acknowledged
            if begin > offset:
                await self._add_gap(tp, offset, begin - 1)
            del self._again[tp]
            sought(self._delivered.pop(tp))

    def _note_delivered(self, tp: TP) -> None:
        # Seeking sets the read offset back, and what was delivered before may still wait in a queue.
        offset = self._read_offset[tp]
        self._delivered[tp] = max(self._delivered.get(tp, -1), -1 if offset is None else offset)


class _CommittedThread(driver.AIOKafkaConsumerThread):
    logger = driver.logger

    def _create_worker_consumer(self, transport: Any) -> Any:
        # Faust reads committed only under its own exactly_once; the level is used when the consumer starts.
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer


class _CommittedConsumer(_Consumer):
    def _new_consumer_thread(self) -> Any:
        return _CommittedThread(self, loop=self.loop, beacon=self.beacon)


class _Transport(driver.Transport):
    Consumer = _Consumer


class _CommittedTransport(driver.Transport):
    Consumer = _CommittedConsumer


def transport(app: Any, read_committed: bool) -> Any:
    """What a Faust app reads Kafka with."""
    kind = _CommittedTransport if read_committed else _Transport
    return kind(app.conf.broker_consumer, app, loop=None)
