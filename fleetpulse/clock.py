"""Time as a parameter: the only two places where a clock is read are here.

Inside the system a time is an integer of milliseconds since the Unix epoch, UTC.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a component needs of time."""

    def now_ms(self) -> int:
        """Wall time, milliseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps; only differences mean something."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._now_ms / 1000

    def advance(self, milliseconds: int) -> None:
        """Move both clocks forward."""
        self._now_ms += milliseconds


def to_datetime(milliseconds: int) -> datetime:
    """The aware UTC datetime of a time in milliseconds; for the edges only."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def to_rfc3339(milliseconds: int) -> str:
    """The time as RFC 3339 with milliseconds, e.g. ``2026-01-02T03:04:05.678Z``."""
    return to_datetime(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> int:
    """The milliseconds of an ISO 8601 time, UTC where it names no offset; ValueError for other text."""
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
