"""What a chunk brought, by producer, host and hour of the sample: what `fleetpulse audit` adds up. Pure.

A producer numbers the samples of each host: a block's samples are ``[sent - n, sent)``. Of a block that spans hours,
the earlier hours have the lower numbers, so that a block that comes again is counted under the same ones. Refused
times and dead letters count under the hour in which they arrived: their own says nothing.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fleetpulse.wire import Block, Control

HOUR_MS = 3_600_000
UNNUMBERED = -1
_MOST_NUMBER = 1 << 62
_MOST_HOUR = (1 << 32) // 3600 - 1  # that the table can hold, in hours since the epoch
MOST_SAMPLES = 1_000_000_000  # that a header or control frame is believed; sums of it go to the ledger as 64 bits
MOST_HOST = 4096  # characters; no registered host has more

Key = tuple[str, str, int]  # producer, host, hour since the epoch
HostHour = tuple[str, int]


class Span(NamedTuple):
    """`samples` of one host, hour and producer; `first` is the number of the first one, or UNNUMBERED."""

    producer: str
    host: str
    hour: int
    first: int
    samples: int


class Unread(NamedTuple):
    """Samples of a dead frame. Its host is a guess when the frame could not be decoded: the record's key."""

    seq: int
    span: Span


class Given(NamedTuple):
    """Samples that a producer gave up, as the control frame `seq` says."""

    producer: str
    seq: int
    host: str
    hour: int
    samples: int


class Doubts:
    """Of a host and hour: samples refused, samples already known, and of these, those only found in the table."""

    __slots__ = ("found", "known", "refused")

    def __init__(self) -> None:
        self.refused = self.known = self.found = 0


class Accounts:
    """The accounts of one chunk."""

    def __init__(self) -> None:
        self._runs: dict[Key, list[int]] = {}  # [first, end, first, end, …]
        self._unnumbered: dict[Key, int] = {}
        self.doubts: dict[HostHour, Doubts] = {}
        self.dead: list[Unread] = []
        self.dropped: list[Given] = []
        self.replayed: set[tuple[str, int]] = set()  # producer, seq
        self.closed: set[str] = set()

    def block(self, producer: str, block: Block, samples: int, append_ms: int, refused: int) -> None:
        """A block that was taken, whose times are one, all accepted or all refused."""
        if not samples:
            return
        stamp, end = block.ts, block.sent
        if refused or not isinstance(stamp, int):
            self.refuse(block.host, append_ms // HOUR_MS, refused)
            stamp = append_ms
        key = (producer, block.host[:MOST_HOST], max(0, stamp // HOUR_MS))
        if not samples <= end < _MOST_NUMBER:
            self._unnumbered[key] = self._unnumbered.get(key, 0) + samples
            return
        runs = self._runs.get(key)
        if runs is None:
            self._runs[key] = [end - samples, end]
        elif runs[-1] == end - samples:
            runs[-1] = end
        else:
            runs += (end - samples, end)

    def mixed_block(
        self,
        producer: str,
        block: Block,
        ts: npt.NDArray[np.int64],
        keep: npt.NDArray[np.bool_] | None,
        append_ms: int,
    ) -> None:
        """A block with a time for each sample; `keep` (bool[n]): those that are not refused, None: all."""
        hours = ts // HOUR_MS
        if keep is not None:
            hours = np.where(keep, hours, append_ms // HOUR_MS)
            self.refuse(block.host, append_ms // HOUR_MS, int(len(keep) - keep.sum()))
        number = block.sent - len(ts) if len(ts) <= block.sent < _MOST_NUMBER else None
        for hour, samples in _counts(np.maximum(hours, 0)):
            self._add(Span(producer, block.host[:MOST_HOST], hour, UNNUMBERED if number is None else number, samples))
            number = None if number is None else number + samples

    def unread(self, producer: str, seq: int, key: bytes | None, samples: int, append_ms: int) -> None:
        """A message that could not be decoded; `samples` is what its header says."""
        host = (key or b"").decode(errors="replace")[:MOST_HOST]
        self.dead.append(Unread(seq, Span(producer, host, append_ms // HOUR_MS, UNNUMBERED, samples)))

    def dead_blocks(self, producer: str, seq: int, blocks: Iterable[Block], append_ms: int) -> None:
        """A frame that was decoded and cannot be used."""
        for block in blocks:
            samples = len(block.value) >> 3
            first = block.sent - samples if samples <= block.sent < _MOST_NUMBER else UNNUMBERED
            span = Span(producer, block.host[:MOST_HOST], append_ms // HOUR_MS, first, samples)
            self.dead.append(Unread(seq, span))

    def control(self, producer: str, seq: int, control: Control) -> None:
        """What a producer says about itself."""
        for loss in control.dropped:
            samples = max(0, min(MOST_SAMPLES, loss.samples))
            hour = min(_MOST_HOUR, max(0, loss.hour_ms // HOUR_MS))
            self.dropped.append(Given(producer, seq, loss.host[:MOST_HOST], hour, samples))
        if control.closed:
            self.closed.add(producer)

    def refuse(self, host: str, hour: int, samples: int) -> None:
        """Samples that are not stored for a reason of their own."""
        if samples:
            self._doubts(host, hour).refused += samples

    def know(self, host: str, hour: int, known: int, found: int) -> None:
        """Samples that are stored already; `found` of them we know only from the table."""
        doubts = self._doubts(host, hour)
        doubts.known += known
        doubts.found += found

    def spans(self) -> list[Span]:
        """Everything that came in frames that could be read."""
        return [Span(*row) for row in zip(*self.span_columns(), strict=True)]

    def span_columns(self) -> tuple[list[str], list[str], list[int], list[int], list[int]]:
        """The same, a list a field: there is a span for almost every block."""
        keys, runs = list(self._runs), list(self._runs.values())
        if any(len(run) != 2 for run in runs):
            keys = [key for key, run in self._runs.items() for _ in run[::2]]
            runs = [run[at : at + 2] for run in runs for at in range(0, len(run), 2)]
        keys += self._unnumbered
        return (
            [key[0] for key in keys],
            [key[1] for key in keys],
            [key[2] for key in keys],
            [run[0] for run in runs] + [UNNUMBERED] * len(self._unnumbered),
            [run[1] - run[0] for run in runs] + list(self._unnumbered.values()),
        )

    def _add(self, span: Span) -> None:
        key = span[:3]
        if span.first == UNNUMBERED:
            self._unnumbered[key] = self._unnumbered.get(key, 0) + span.samples
            return
        runs = self._runs.setdefault(key, [])
        if runs and runs[-1] == span.first:
            runs[-1] += span.samples
        else:
            runs += (span.first, span.first + span.samples)

    def _doubts(self, host: str, hour: int) -> Doubts:
        host = host[:MOST_HOST]
        doubts = self.doubts.get((host, hour))
        if doubts is None:
            doubts = self.doubts[host, hour] = Doubts()
        return doubts


def _counts(hours: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    if not len(hours):
        return []
    if int(hours.min()) == int(hours.max()):
        return [(int(hours[0]), len(hours))]
    distinct, counts = np.unique(hours, return_counts=True)
    return list(zip(distinct.tolist(), counts.tolist(), strict=True))
