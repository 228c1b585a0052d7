"""What is recomputed by itself: minutes of the same partitions. A piece that fails is tried again later, in halves, and
stands in nobody's way. Pure.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from stream_processors.ingest.partition import Partition, Work

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
_MOST_DOUBLINGS = 10


class Order(NamedTuple):
    """What to recompute of one partition."""

    partition: Partition
    work: Work


@dataclass(frozen=True)
class Piece:
    """`minutes`, which are all that its orders have; `failures` of it so far; not to be tried before `not_before`."""

    minutes: list[int]
    orders: list[Order]
    failures: int = 0
    not_before: float = 0.0

    def failed(self, now: float) -> "list[Piece]":
        """What to do instead, after a pause: both halves, or this again where nothing can be halved."""
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self.failures, _MOST_DOUBLINGS))
        again = replace(self, failures=self.failures + 1, not_before=now + pause)
        if len(self.minutes) > 1:
            half = len(self.minutes) // 2
            return [_only(again, self.minutes[:half]), _only(again, self.minutes[half:])]
        if len(self.orders) > 1:
            half = len(self.orders) // 2
            return [replace(again, orders=self.orders[:half]), replace(again, orders=self.orders[half:])]
        return [again]


def _only(piece: Piece, minutes: list[int]) -> Piece:
    orders = [Order(one.partition, _of_minutes(one.work, minutes)) for one in piece.orders]
    return replace(piece, minutes=minutes, orders=orders)


def _of_minutes(work: Work, minutes: Collection[int]) -> Work:
    chosen = set(minutes)
    return Work(
        [minute for minute in work.minutes if minute in chosen],
        work.ids,
        [minute for minute in work.clean if minute in chosen],
        work.place,
    )


@dataclass
class Pieces:
    """What waits, in the order in which it is tried: what never failed comes first."""

    waiting: list[Piece] = field(default_factory=list)

    def add(self, orders: Iterable[Order], owned: Iterable[Partition]) -> None:
        """New orders; of partitions that are not `owned` any more the next owner does the work.

        A minute may be called clean only when all that was late to it is recomputed: what of it failed before is
        recomputed with the new order.
        """
        ours = set(map(id, owned))
        before = [
            replace(piece, orders=[one for one in piece.orders if id(one.partition) in ours]) for piece in self.waiting
        ]
        new = [part for order in orders for part in _with_failed(order, before)]
        taken = {(id(order.partition), minute) for order in new for minute in order.work.minutes}
        left = [part for piece in before for part in _without(piece, taken)]
        self.waiting = sorted([*together(new), *left], key=lambda piece: piece.failures)

    def take(self, now: float) -> Piece | None:
        """The next that may be tried."""
        for place, piece in enumerate(self.waiting):
            if piece.not_before <= now:
                return self.waiting.pop(place)
        return None

    def put_back(self, piece: Piece, now: float) -> None:
        """It failed."""
        self.waiting += piece.failed(now)

    @property
    def buckets(self) -> int:
        """How many wait."""
        return sum(len(order.work.minutes) for piece in self.waiting for order in piece.orders)

    def due(self, now: float) -> bool:
        """Whether one may be tried again."""
        return any(piece.not_before <= now for piece in self.waiting)


def _with_failed(order: Order, failed: Sequence[Piece]) -> list[Order]:
    """The order; where some of its minutes failed before, as two, that of these with the series of both."""
    again: set[int] = set()
    ids: set[int] | None = set(order.work.ids) if order.work.ids is not None else None
    for piece in failed:
        common = set(piece.minutes).intersection(order.work.minutes)
        for partition, work in piece.orders if common else ():
            if partition is order.partition:
                again |= common
                ids = None if ids is None or work.ids is None else ids.union(work.ids)
    if not again:
        return [order]
    both = _of_minutes(order.work, again)._replace(ids=None if ids is None else sorted(ids))
    others = _of_minutes(order.work, set(order.work.minutes) - again)
    return [Order(order.partition, work) for work in (both, others) if work.minutes]


def _without(piece: Piece, taken: Collection[tuple[int, int]]) -> list[Piece]:
    """What is left of a piece without these minutes of partitions."""
    orders = [
        Order(partition, _of_minutes(work, [m for m in work.minutes if (id(partition), m) not in taken]))
        for partition, work in piece.orders
    ]
    left = together([order for order in orders if order.work.minutes])
    return [replace(part, failures=piece.failures, not_before=piece.not_before) for part in left]


def together(orders: Sequence[Order]) -> list[Piece]:
    """Minutes that are to be recomputed for the same partitions. A bucket that is not to be recomputed may be open."""
    of_minutes: dict[int, list[int]] = {}
    for place, order in enumerate(orders):
        for minute in order.work.minutes:
            of_minutes.setdefault(minute, []).append(place)
    minutes_of: dict[tuple[int, ...], list[int]] = {}
    for minute, places in of_minutes.items():
        minutes_of.setdefault(tuple(places), []).append(minute)
    return [_only(Piece([], [orders[place] for place in places]), sorted(m)) for places, m in minutes_of.items()]
