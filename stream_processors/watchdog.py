"""Ends a process whose event loop makes no progress, so that its supervisor starts another one.

The time without progress is counted in the watchdog's own ticks and not read from a clock: a process that was stopped
(SIGSTOP), or whose machine slept, gets no ticks either, and goes on where it was.
"""

from collections.abc import Callable

TICK_SECONDS = 1.0


def watch(beat: Callable[[], float], stuck_seconds: float, sleep: Callable[[float], None]) -> None:
    """Return when `beat` has given the same value for `stuck_seconds` of ticks; never before."""
    last, waited = beat(), 0.0
    while waited < stuck_seconds:
        sleep(TICK_SECONDS)
        now = beat()
        waited = waited + TICK_SECONDS if now == last else 0.0
        last = now
