"""Calls that may hang, run one after another, each with a timeout of its own.

A call that overruns is abandoned with its thread, and not made again until it has come back: a stuck mount costs
one thread, not one a tick, and stalls nobody else.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What became of one call: its value, or the error; TimeoutError when it overran or is still out."""

    seconds: float
    value: T | None = None
    error: Exception | None = None


class Patience(Generic[T]):
    """Runs named calls in a thread that outlives the tick, and replaces the thread when a call hangs."""

    def __init__(self, name: str, timeout_seconds: float) -> None:
        self._name = name
        self._timeout = timeout_seconds
        self._worker: _Worker[T] | None = None
        self._out: dict[str, _Worker[T]] = {}

    def run(self, calls: Mapping[str, Callable[[], T]]) -> dict[str, Outcome[T]]:
        """Make the calls in order; one outcome each."""
        return {name: self._one(name, call) for name, call in calls.items()}

    def close(self) -> None:
        """Let the thread end; abandoned ones end when their calls return."""
        if self._worker:
            self._worker.calls.put(None)
            self._worker = None

    def _one(self, name: str, call: Callable[[], T]) -> Outcome[T]:
        abandoned = self._out.get(name)
        if abandoned and abandoned.outcomes.empty():
            return Outcome(0.0, error=TimeoutError("still out since an earlier tick"))
        self._out.pop(name, None)
        if self._worker is None:
            self._worker = _Worker(self._name)
        self._worker.calls.put(call)
        try:
            return self._worker.outcomes.get(timeout=self._timeout)
        except queue.Empty:
            self._worker.calls.put(None)
            self._out[name] = self._worker
            self._worker = None
            return Outcome(self._timeout, error=TimeoutError(f"no answer within {self._timeout:g} s"))


class _Worker(Generic[T]):
    def __init__(self, name: str) -> None:
        self.calls: queue.SimpleQueue[Callable[[], T] | None] = queue.SimpleQueue()
        self.outcomes: queue.SimpleQueue[Outcome[T]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while call := self.calls.get():
            start = time.perf_counter()
            try:
                value = call()
            except Exception as error:
                self.outcomes.put(Outcome(time.perf_counter() - start, error=error))
            else:
                self.outcomes.put(Outcome(time.perf_counter() - start, value))
