"""When an alert flaps: the share of changes among as many as there might have been, newer ones counting more.

Nagios' method (its documentation, "Detection and Handling of State Flapping"): of 20 possible changes the oldest weigh
0.8, the newest 1.2; flapping begins at one share and ends below a lower one. Nagios counts checks; ticks come every few
seconds and alerts wait for `for`, so here the window is one of time, with the host's own clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fleetpulse.frames import Float64Array, Int64Array

POSSIBLE = 20
KEPT = 8  # changes that are remembered of an alert: more than it takes to begin
NO_TIME = -(2**62)
_NEWEST, _OLDEST = 1.2, 0.8


@dataclass(frozen=True, slots=True)
class Flapping:
    """An alert flaps from a share of `begin` on, until it is below `end`."""

    window_ms: int = 1_800_000
    begin: float = 0.25
    end: float = 0.1

    def share(self, changes_ms: Int64Array, at_ms: int) -> float:
        """The weighted share of changes in the window that ends then; `changes_ms` are times of changes."""
        age: Float64Array = (at_ms - changes_ms) / self.window_ms
        inside = (age >= 0) & (age < 1)
        return float(np.sum(_NEWEST - (_NEWEST - _OLDEST) * age[inside])) / POSSIBLE

    def goes_on(self, flapping: bool, share: float) -> bool:
        """Whether an alert flaps at this share that did, or did not, until now."""
        return share >= (self.end if flapping else self.begin)


class Changes:
    """Of alerts by slot: the level that fired last (`seen`), whether it flaps, and the times of its newest changes."""

    def __init__(self, flap: Flapping | None) -> None:
        self.flap = flap
        self.seen: npt.NDArray[np.int8] = np.zeros(0, dtype=np.int8)
        self.flapping: npt.NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self.at_ms: Int64Array = np.zeros((KEPT, 0), dtype=np.int64)

    def resize(self, capacity: int) -> None:
        """Make room for slots below `capacity`."""
        more = capacity - len(self.seen)
        self.seen = np.concatenate([self.seen, np.zeros(more, dtype=np.int8)])
        self.flapping = np.concatenate([self.flapping, np.zeros(more, dtype=np.bool_)])
        self.at_ms = np.concatenate([self.at_ms, np.full((KEPT, more), NO_TIME, dtype=np.int64)], axis=1)

    def note(self, slot: int, at_ms: int, level: int) -> tuple[bool, bool]:
        """This level fires now: whether it is another one than before, and whether the alert flaps."""
        changed = level != self.seen[slot]
        self.seen[slot] = level
        if self.flap is None:
            return bool(changed), False
        if changed:
            self.at_ms[:, slot] = np.roll(self.at_ms[:, slot], 1)
            self.at_ms[0, slot] = at_ms
        flaps = self.flap.goes_on(bool(self.flapping[slot]), self.flap.share(self.at_ms[:, slot], at_ms))
        self.flapping[slot] = flaps
        return bool(changed), flaps

    def times(self, slot: int) -> list[int]:
        """The times of the newest changes, the newest first."""
        times = self.at_ms[:, slot]
        kept: list[int] = times[times > NO_TIME].tolist()
        return kept

    def restore(self, slot: int, level: int, flapping: bool, changes_ms: Sequence[int]) -> None:
        """Bring back what was noted of a slot."""
        self.forget(slot)
        self.seen[slot] = level
        if self.flap is not None:
            self.flapping[slot] = flapping
            self.at_ms[: len(changes_ms[:KEPT]), slot] = changes_ms[:KEPT]

    def forget(self, slot: int) -> None:
        """The alert is over."""
        self.flapping[slot] = False
        self.seen[slot] = 0
        self.at_ms[:, slot] = NO_TIME

    def before(self, at_ms: int) -> npt.NDArray[np.intp]:
        """The slots whose newest change was before then."""
        return np.flatnonzero((self.at_ms[0] > NO_TIME) & (self.at_ms[0] < at_ms))
