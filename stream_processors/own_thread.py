"""A thread of one's own for blocking calls: one call at a time, in order, and never in the way of the exit.

The event loop also runs Kafka's commits, so ClickHouse's client may not block it. The interpreter waits for an
executor's threads before it exits; it does not wait for this daemon thread, which may hang in a dead connection.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class OwnThread:
    """Runs calls for one event loop."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The function's result, or its exception. Cancelling leaves the call running, and begins it no more."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(set_it: Callable[[Any], None], outcome: Any) -> None:
            if not future.done():
                set_it(outcome)

        def work() -> None:
            if future.cancelled():
                return
            try:
                result = function(*arguments)
            except BaseException as error:
                _tell(loop, settle, future.set_exception, error)
            else:
                _tell(loop, settle, future.set_result, result)

        self._calls.put(work)
        return await future

    def _run(self) -> None:
        while True:
            self._calls.get()()


def _tell(loop: asyncio.AbstractEventLoop, settle: Callable[..., None], *outcome: Any) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle, *outcome)
