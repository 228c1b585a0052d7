"""When a partition is poisoned: many producers send what cannot be used, so the fault is not one broken agent's. Pure.

Three or more producers, and more than a tenth of the last 1,000 messages: then going on would only move a fleet's data
to the dead letters, and the partition pauses until somebody has looked.
"""

from collections import Counter, deque

MESSAGES = 1000
MOST_DEAD = MESSAGES // 10
PRODUCERS = 3


class PoisonWatch:
    """Counts the dead among the last messages of one partition."""

    def __init__(self) -> None:
        self._recent: deque[str | None] = deque()  # the producer of a dead message, None for a good one
        self._dead: Counter[str] = Counter()

    def note(self, producer: str, dead: bool) -> bool:
        """Add a message; True when the partition is poisoned with it."""
        if len(self._recent) == MESSAGES:
            oldest = self._recent.popleft()
            if oldest is not None:
                self._dead[oldest] -= 1
                if not self._dead[oldest]:
                    del self._dead[oldest]
        self._recent.append(producer if dead else None)
        if not dead:
            return False
        self._dead[producer] += 1
        return len(self._dead) >= PRODUCERS and self._dead.total() > MOST_DEAD

    def cause(self, partition: int) -> str:
        """The sentence for health and log."""
        return (
            f"partition {partition} is paused: {self._dead.total()} of its last {len(self._recent)} messages, from "
            f"{len(self._dead)} producers, could not be used; look at them with `fleetpulse dead list`, then "
            "`fleetpulse dead resume`"
        )
