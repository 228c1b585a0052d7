"""So many requests of a costly kind at once, a few that wait for their turn, and a clear refusal for all others.

Who waits takes no thread: the other routes go on.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from fleetpulse.errors import RetryableError

_LOOK_SECONDS = 0.05

T = TypeVar("T")


class BusyError(RetryableError):
    """As many of these run as may; trying again later helps."""


class Bounded:
    """Runs functions on threads; for several event loops."""

    def __init__(self, what: str, at_once: int, waiting: int, seconds: float) -> None:
        """`what` in the plural; who waited for `seconds` is refused too."""
        self._what, self._at_once, self._seconds = what, at_once, seconds
        self._running = threading.BoundedSemaphore(at_once)
        self._admitted = threading.BoundedSemaphore(at_once + waiting)

    async def run(self, work: Callable[[], T]) -> T:
        """Its result; raises BusyError, or what it raises."""
        if not self._admitted.acquire(blocking=False):
            raise self._busy()
        try:
            until = time.monotonic() + self._seconds
            while not self._running.acquire(blocking=False):
                if time.monotonic() > until:
                    raise self._busy()
                await asyncio.sleep(_LOOK_SECONDS)
            try:
                return await run_in_threadpool(work)
            finally:
                self._running.release()
        finally:
            self._admitted.release()

    def _busy(self) -> BusyError:
        return BusyError(f"{self._at_once} {self._what} run already and others wait: try again in a few seconds")
