"""Faust's transport, as subclasses at the places that it gives for them: `transport(app, read_committed)`.

For every message Faust makes four tasks, to stop waiting for a full buffer when a rebalance comes. Where the buffer has
room nothing is waited for, and that is found out by just trying: measured with frames of 100 samples, this halves the
CPU of a message.
"""

from collections.abc import Coroutine, Generator
from functools import partial
from inspect import iscoroutine
from typing import Any

from faust.transport.drivers import aiokafka as driver
from mode.services import Service, WaitResults


class TriesFirst(Service):
    """A mode service that waits for the first of two coroutines only when the first has to wait."""

    abstract = True

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109, mode's own
        """The first of them, as in mode; (deliver a message, flow is suspended) is what Faust's fetcher waits for."""
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
