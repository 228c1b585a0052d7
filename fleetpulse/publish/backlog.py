"""Frames that wait for Kafka: a byte budget, the oldest dropped first, every loss counted by host and hour.

No thread and no client in here; `publisher.py` holds a lock around every call.
"""

from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from fleetpulse.topics import HOUR_MS
from fleetpulse.wire import Block, Dropped, decode_frame, samples_in


@dataclass(slots=True, eq=False)
class Parcel:
    """One encoded frame. `seq` is 0 until it is handed to Kafka's client, and kept when it is handed over again."""

    key: str
    partition: int
    value: bytes
    samples: int
    derived: bool
    born: float  # monotonic seconds
    seq: int = 0
    settled: bool = False


class Backlog:
    """What was accepted and is neither delivered nor given up: fresh → in flight → (again → in flight) → settled."""

    def __init__(self, budget_bytes: int, window_bytes: int) -> None:
        self._budget = budget_bytes
        self._window = window_bytes
        self._fresh: deque[Parcel] = deque()
        self._again: deque[Parcel] = deque()
        self._in_flight: dict[int, Parcel] = {}
        self._in_flight_bytes = 0
        self._seq = 0
        self._losses: dict[tuple[str, int], int] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._fresh) + len(self._again) + len(self._in_flight)

    @property
    def in_flight(self) -> int:
        """Frames that Kafka's client has."""
        return len(self._in_flight)

    def add(self, parcel: Parcel) -> list[Parcel]:
        """Take a frame; returns the frames given up for it, oldest first (it alone when there is no room to make).

        Only frames that Kafka's client never saw are given up: one that it saw may have arrived.
        """
        dropped = []
        size = len(parcel.value)
        while self.bytes + size > self._budget and self._fresh:
            dropped.append(self._fresh.popleft())
            self.bytes -= len(dropped[-1].value)
        if self.bytes + size > self._budget:
            dropped.append(parcel)
        else:
            self._fresh.append(parcel)
            self.bytes += size
        for lost in dropped:
            self.lose(lost)
        return dropped

    def add_control(self, parcel: Parcel) -> None:
        """Take a control frame: it goes first, whatever the budget, and is not given up for something new."""
        self._again.append(parcel)
        self.bytes += len(parcel.value)

    def take(self) -> Parcel | None:
        """The next frame for Kafka's client, numbered and in flight; None when there is none or the window is full."""
        queue = self._again or self._fresh
        if not queue or (self._in_flight and self._in_flight_bytes + len(queue[0].value) > self._window):
            return None
        parcel = queue.popleft()
        if not parcel.seq:
            self._seq += 1
            parcel.seq = self._seq
        self._in_flight[parcel.seq] = parcel
        self._in_flight_bytes += len(parcel.value)
        return parcel

    def settle(self, parcel: Parcel) -> bool:
        """Delivered or failed for good: forget it. False when it was settled before."""
        if parcel.settled:
            return False
        parcel.settled = True
        if self._in_flight.pop(parcel.seq, None):
            self._in_flight_bytes -= len(parcel.value)
        else:
            self._again.remove(parcel)  # settled by a client that was given up meanwhile
        self.bytes -= len(parcel.value)
        return True

    def recall(self) -> None:
        """Everything in flight is to be handed over again, in order, before what is fresh."""
        again = sorted([*self._in_flight.values(), *self._again], key=lambda parcel: parcel.seq)
        self._again = deque(again)
        self._in_flight.clear()
        self._in_flight_bytes = 0

    def expire(self, born_before: float) -> list[Parcel]:
        """Give up the frames that wait since before `born_before`; those in flight are left alone."""
        expired = []
        for queue in (self._again, self._fresh):
            while queue and queue[0].born < born_before:
                parcel = queue.popleft()
                parcel.settled = True
                self.bytes -= len(parcel.value)
                self.lose(parcel)
                expired.append(parcel)
        return expired

    def lose(self, parcel: Parcel) -> None:
        """Count a frame's samples as lost, by host and hour; of a control frame what it would have said."""
        frame = decode_frame(parcel.value)
        losses = [Dropped(block.host, hour_ms, n) for block in frame.blocks for hour_ms, n in _by_hour(block)]
        for loss in [*losses, *(frame.control.dropped if frame.control else ())]:
            key = (loss.host, loss.hour_ms)
            self._losses[key] = self._losses.get(key, 0) + loss.samples

    def take_losses(self) -> list[Dropped]:
        """The losses since the last call, to be published as control frames."""
        losses = [Dropped(host, hour_ms, samples) for (host, hour_ms), samples in self._losses.items()]
        self._losses.clear()
        return losses


def _by_hour(block: Block) -> Iterable[tuple[int, int]]:
    if isinstance(block.ts, int):
        return [(block.ts - block.ts % HOUR_MS, samples_in(block))]
    counts: dict[int, int] = {}
    for stamp in array("q", block.ts):
        hour_ms = stamp - stamp % HOUR_MS
        counts[hour_ms] = counts.get(hour_ms, 0) + 1
    return counts.items()
