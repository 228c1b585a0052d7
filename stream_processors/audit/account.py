"""The balance of each host and hour: sent = stored + duplicate + refused + dead + dropped + lost + pending. Pure.

`sent` is counted from what arrived and from what producers say; `stored` is counted in the table. What is left
is *unexplained*: positive when samples are missing, negative when the table has more than was ever sent.

- `received` samples came in frames that could be read. Of these, `refused` were not stored and `known` had the series
  and time of an earlier one: the others must be in the table, each once. Where a worker may have stored samples without
  writing that down, those known only because they were `found` in the table may be its own: then they may count.
- `waiting` samples lie in Kafka behind the ledger's last row. Some may be stored by now: up to so many more are right.
- `gaps` in the numbers of a producer are samples that never came: given up as its control frames say, in a dead
  letter that nobody could decode, deleted by Kafka before they were read, or on their way.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stream_processors.audit.coverage import Gap
from stream_processors.audit.ranges import Hole

HostHour = tuple[str, int]  # the hour since the epoch
Pair = tuple[str, str]  # producer, host


class Dead(NamedTuple):
    """Samples of a frame that could not be used; `numbered` when the frame said whose they are."""

    producer: str
    host: str
    hour: int
    samples: int
    numbered: bool


class Dropped(NamedTuple):
    """Samples that a producer gave up."""

    producer: str
    host: str
    hour: int
    samples: int


@dataclass
class Arrived:
    """What the ledger says of a host and hour."""

    received: int = 0
    refused: int = 0
    known: int = 0
    unsure: int = 0  # of `known`, those that may have been stored without a row in the ledger


@dataclass
class Books:
    """Everything that is added up."""

    arrived: Mapping[HostHour, Arrived]
    stored: Mapping[HostHour, int]
    waiting: Mapping[HostHour, int] = field(default_factory=dict)
    gaps: Mapping[Pair, Sequence[Gap]] = field(default_factory=dict)
    dead: Sequence[Dead] = ()
    dropped: Sequence[Dropped] = ()
    closed: frozenset[str] = frozenset()
    lossy_hosts: frozenset[str] = frozenset()  # those of partitions that lost messages
    pending_since_ms: int = 0  # a gap that showed later than this may still be filled
    holes: Sequence[Hole] = ()


@dataclass
class Row:
    """One host and hour; numbers of samples."""

    host: str
    hour: int
    stored: int = 0
    duplicate: int = 0
    refused: int = 0
    dead: int = 0
    dropped: int = 0
    lost: int = 0
    pending: int = 0
    unexplained: int = 0

    @property
    def sent(self) -> int:
        """What the producers had; the sum of all others."""
        return sum(getattr(self, name) for name in COLUMNS)


COLUMNS = ("stored", "duplicate", "refused", "dead", "dropped", "lost", "pending", "unexplained")


@dataclass
class Report:
    """The rows by host and hour, and the offsets that the ledger lacks."""

    rows: list[Row]
    holes: list[Hole]

    @property
    def unexplained(self) -> int:
        """Samples, missing and surplus ones."""
        return sum(abs(row.unexplained) for row in self.rows)

    @property
    def balanced(self) -> bool:
        """Whether everything is explained."""
        return not self.unexplained and not self.holes


def account(books: Books, first_hour: int) -> Report:
    """The balance of every host and hour from `first_hour` on."""
    rows: dict[HostHour, Row] = {}

    def row_of(host: str, hour: int) -> Row:
        row = rows.get((host, hour))
        if row is None:
            row = rows[host, hour] = Row(host, hour)
        return row

    for key in books.arrived.keys() | books.stored.keys() | books.waiting.keys():
        _settle(row_of(*key), books.arrived.get(key, Arrived()), books.stored.get(key, 0), books.waiting.get(key, 0))
    for dropped in books.dropped:
        row_of(dropped.host, dropped.hour).dropped += dropped.samples
    unread = _count_dead(books.dead, row_of)
    _explain_gaps(books, unread, row_of)
    for one in unread.values():
        for key, samples in one.left.items():
            row_of(*key).dead += samples
    kept = [row for row in rows.values() if row.hour >= first_hour and (row.sent or row.unexplained)]
    return Report(sorted(kept, key=lambda row: (row.hour, row.host)), list(books.holes))


def _settle(row: Row, arrived: Arrived, stored: int, waiting: int) -> None:
    least = arrived.received - arrived.refused - arrived.known
    surplus = stored - least
    own = min(max(0, surplus), arrived.unsure)  # known, but stored by the very rows that say so
    already = min(max(0, surplus - own), waiting)
    row.stored = stored
    row.refused = arrived.refused
    row.duplicate = arrived.known - own
    row.pending = waiting - already
    row.unexplained = -(surplus - own - already)


class _Unread:
    """Samples of one producer's frames that nobody could decode, by host and hour: the host is that of the key."""

    def __init__(self) -> None:
        self.left: dict[HostHour, int] = defaultdict(int)

    def take(self, samples: int, host: str | None) -> int:
        """Use up to so many of them, only the host's or any; how many there were."""
        taken = 0
        for key, here in self.left.items():
            if host is None or key[0] == host:
                part = min(here, samples - taken)
                self.left[key] -= part
                taken += part
        return taken


def _count_dead(dead: Iterable[Dead], row_of: Callable[[str, int], Row]) -> dict[str, _Unread]:
    unread: dict[str, _Unread] = defaultdict(_Unread)
    for one in dead:
        if one.numbered:
            row_of(one.host, one.hour).dead += one.samples
        else:
            unread[one.producer].left[one.host, one.hour] += one.samples
    return unread


def _explain_gaps(books: Books, unread: dict[str, _Unread], row_of: Callable[[str, int], Row]) -> None:
    given_up: dict[Pair, int] = defaultdict(int)
    for dropped in books.dropped:
        given_up[dropped.producer, dropped.host] += dropped.samples
    open_gaps: list[list[Any]] = []  # producer, host, gap, samples left
    for (producer, host), gaps in books.gaps.items():
        for gap in gaps:
            part = min(gap.samples, given_up[producer, host])  # counted under the hours that the producer names
            given_up[producer, host] -= part
            open_gaps.append([producer, host, gap, gap.samples - part])
    for own in (True, False):  # a frame of several hosts that nobody could decode has the name of one of them
        for one in open_gaps:
            producer, host, gap, left = one
            part = unread[producer].take(left, host if own else None) if producer in unread else 0
            row_of(host, gap.hour).dead += part
            one[3] -= part
    for producer, host, gap, left in open_gaps:
        row = row_of(host, gap.hour)
        if host in books.lossy_hosts:
            row.lost += left
        elif producer not in books.closed and gap.appended_ms >= books.pending_since_ms:
            row.pending += left
        else:
            row.unexplained += left
