"""Frames that wait for Kafka in memory: their order, a byte budget, and what Kafka's client has.

No thread, no client and no disk in here; who shares it holds a lock around every call.
"""

import math
from collections import deque

from fleetpulse.publish.parcel import Parcel

OLD_LEAST_BYTES = 64 * 1024
OLD_MOST_BYTES = 2 * 1024 * 1024
OLD_SECONDS = 0.5  # how long the backlog that Kafka's client has may hold up a fresh frame


class Backlog:
    """What was accepted and is neither delivered, given up, nor on the disk alone.

    Handed over in this order: control frames; what a client that was given up had; fresh frames; and the frames
    read back from the disk (`old`), of which the client never has more than it delivers within `OLD_SECONDS`.
    """

    def __init__(self, budget_bytes: int, window_bytes: int) -> None:
        self._budget = budget_bytes
        self._window = window_bytes
        self._control: deque[Parcel] = deque()
        self._again: deque[Parcel] = deque()
        self._fresh: deque[Parcel] = deque()
        self._old: deque[Parcel] = deque()
        self._in_flight: dict[Parcel, None] = {}
        self._in_flight_bytes = 0
        self._old_in_flight = 0
        self._moving: dict[Parcel, None] = {}  # being written to the disk
        self.share = OLD_LEAST_BYTES
        self.bytes = 0  # of all but the old

    def __len__(self) -> int:
        return (
            len(self._control)
            + len(self._again)
            + len(self._fresh)
            + len(self._old)
            + len(self._in_flight)
            + len(self._moving)
        )

    @property
    def new(self) -> int:
        """Frames that are not on the disk, or in flight."""
        return len(self) - len(self._old) - sum(parcel.old for parcel in self._again)

    def producers(self) -> set[str]:
        """The ids whose data frames are here, in flight or waiting."""
        queues = (self._again, self._fresh, self._old, self._in_flight, self._moving)
        return {parcel.producer for queue in queues for parcel in queue if not parcel.settled}

    @property
    def in_flight(self) -> int:
        """Frames that Kafka's client has."""
        return len(self._in_flight)

    @property
    def crowded(self) -> bool:
        """Whether more than half of the budget is spent."""
        return self.bytes > self._budget // 2

    @property
    def wants_old(self) -> int:
        """Bytes of old frames that may be read from the disk now; 0 while enough are here."""
        return self.share if not self._old and self._old_in_flight < self.share else 0

    def add(self, parcel: Parcel) -> list[Parcel]:
        """Take a frame; returns the frames given up for it, oldest first (it alone when there is no room to make).

        Only frames that Kafka's client never saw are given up: one that it saw may have arrived.
        """
        dropped = []
        while self.bytes + parcel.size > self._budget and self._fresh:
            dropped.append(self._fresh.popleft())
            dropped[-1].settle()
            self.bytes -= dropped[-1].size
        if self.bytes + parcel.size > self._budget:
            parcel.settle()
            return [*dropped, parcel]
        self._fresh.append(parcel)
        self.bytes += parcel.size
        return dropped

    def add_control(self, parcel: Parcel) -> None:
        """Take a control frame: it goes first, whatever the budget, and is not given up for something new."""
        self._control.append(parcel)
        self.bytes += parcel.size

    def add_old(self, parcel: Parcel) -> None:
        """Take a frame read back from the disk."""
        parcel.old = True
        self._old.append(parcel)

    def counts(self, held: Parcel | None, parcel: Parcel) -> Parcel | None:
        """Of a frame's object that a client had (`held`) and the one just read, that which counts from now on.

        None when it is settled. A client that was given up may answer for the other: that is not counted.
        """
        if held is None:
            return None if parcel.settled else parcel
        if held.settled:
            return None
        if held in self._in_flight:
            return held
        if held in self._again:
            self._again.remove(held)
            self.leave(held)
        held.settled = True
        return parcel

    def adopt(self, parcel: Parcel) -> None:
        """A frame in flight whose record was read: it is one of the old from now on."""
        parcel.insured, parcel.old = False, True
        self.bytes -= parcel.size
        self._old_in_flight += parcel.size

    def keep(self, parcel: Parcel) -> None:
        """A frame that may have arrived, and whose record goes: it stays in memory alone."""
        if parcel.insured:
            parcel.insured = False
            return
        self.bytes += parcel.size
        if parcel in self._in_flight:
            self._old_in_flight -= parcel.size
        elif parcel in self._old:
            self._old.remove(parcel)
            self._again.append(parcel)
        elif not parcel.old:
            self._again.append(parcel)
        parcel.old = False

    def take(self, now: float, written_lost: float = math.inf) -> Parcel | None:
        """The next frame for Kafka's client, in flight from now on; None when there is none or no room for it.

        A fresh frame waits until what was given up before it is written down (`written_lost` samples are): its number
        would show a gap that nobody could explain any more if this process were killed.
        """
        queue = self._control or self._again or self._fresh
        if not queue:
            queue = self._old
            if self._old_in_flight and self._old_in_flight + (queue[0].size if queue else 0) > self.share:
                return None
        if not queue or (self._in_flight and self._in_flight_bytes + queue[0].size > self._window):
            return None
        if queue is self._fresh and queue[0].after > written_lost:
            return None
        parcel = queue.popleft()
        parcel.handed, parcel.seen = now, True
        self._in_flight[parcel] = None
        self._in_flight_bytes += parcel.size
        if parcel.old:
            self._old_in_flight += parcel.size
        return parcel

    def settle(self, parcel: Parcel, now: float = 0.0) -> bool:
        """Delivered or failed for good: forget it. False when it was settled before.

        A record of it on the disk is passed over later.
        """
        if parcel.settled:
            return False
        parcel.settle()
        if parcel in self._in_flight:
            self._land(parcel, now)
        elif parcel in self._moving or not parcel.value:
            return True  # by a client that was given up: it is being written to the disk, or only there
        else:
            next(queue for queue in (self._again, self._control, self._old) if parcel in queue).remove(parcel)
        if not parcel.old:
            self.leave(parcel)
        return True

    def recall(self) -> None:
        """Everything in flight is to be handed over again, in order; of what is on the disk as well, that will do."""
        for parcel in reversed(self._in_flight):
            if parcel.insured:
                self.leave(parcel)
            else:
                (self._control if parcel.control else self._again).appendleft(parcel)
        self._in_flight.clear()
        self._in_flight_bytes = self._old_in_flight = 0

    def due(self, born_before: float, handed_before: float) -> list[Parcel]:
        """Frames to be written to the disk, oldest first: those that wait since before `born_before`; in flight
        since before `handed_before`; and the oldest when more than half of the budget is spent.

        The caller ends with `written` or `put_back` for each. Those in flight stay so meanwhile.
        """
        found = [
            parcel
            for parcel in self._in_flight
            if not (parcel.old or parcel.insured or parcel.control)
            and (parcel.handed < handed_before or parcel.born < born_before)
        ]
        for parcel in list(self._again):
            if not (parcel.old or parcel.insured) and parcel.born < born_before:
                self._again.remove(parcel)
                self._moving[parcel] = None
        spare = self.bytes - self._budget // 4 if self.crowded else 0
        while self._fresh and (self._fresh[0].born < born_before or spare > 0):
            spare -= self._fresh[0].size
            self._moving[self._fresh.popleft()] = None
        return found + list(self._moving)

    def written(self, parcel: Parcel) -> None:
        """Its record is on the disk."""
        if parcel in self._moving:
            del self._moving[parcel]
            self.leave(parcel)
        elif parcel in self._in_flight:
            parcel.insured = True
        elif parcel in self._again:  # recalled meanwhile
            self._again.remove(parcel)
            self.leave(parcel)

    def put_back(self) -> None:
        """What was due and is not written cannot be."""
        for parcel in reversed(self._moving):
            if parcel.settled:
                self.leave(parcel)
            else:
                (self._again if parcel.seen else self._fresh).appendleft(parcel)
        self._moving.clear()

    def leave(self, parcel: Parcel) -> None:
        """It is on the disk alone from now on."""
        self.bytes -= parcel.size
        parcel.value = b""

    def empty(self) -> list[Parcel]:
        """What is neither on the disk nor a control frame, in order; nothing is here any more."""
        self.recall()
        waiting = (*self._moving, *self._again, *self._fresh)
        left = [parcel for parcel in waiting if not (parcel.old or parcel.insured or parcel.settled)]
        for queue in (self._control, self._again, self._fresh, self._old):
            queue.clear()
        self._moving.clear()
        self.bytes = 0
        return left

    def _land(self, parcel: Parcel, now: float) -> None:
        del self._in_flight[parcel]
        self._in_flight_bytes -= parcel.size
        if parcel.old:
            self._old_in_flight -= parcel.size
            slow = now - parcel.handed > OLD_SECONDS
            wanted = self.share // 2 if slow else self.share + parcel.size
            self.share = max(OLD_LEAST_BYTES, min(wanted, OLD_MOST_BYTES))
