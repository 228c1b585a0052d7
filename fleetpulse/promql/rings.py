"""Ring buffers of samples: one ring a host, all hosts of one series layout in the same arrays.

A ring is time-major, ``[host, slot, series]``: the series of a metric come in one block with one timestamp, so
a tick is one contiguous write, and the first and the last sample of a window are two contiguous reads. A slot
is numbered from 0 for ever; slot s lies at ``s % capacity``. A cell without a sample holds ABSENT.

Three marks per host keep the common case cheap: the newest slot with a gap (a cell absent or stale), the newest
slot with a fall (some value below the one before: a counter reset), and for each range the window's first slot.
`line` is a hash of the times that a ring was given, by which rings that were given the same are known.
"""

from collections.abc import Sequence
from itertools import count

import numpy as np
import numpy.typing as npt
import xxhash

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.metric import STALE_NAN_BITS

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]
Columns = slice | IntArray

NEVER = -(2**62)
ABSENT_BITS = 0x7FF0000000000A55  # a NaN that no producer sends
_ABSENT: Float64Array = np.array([ABSENT_BITS], dtype=np.uint64).view(np.float64)
MAX_CAPACITY = 1 << 15
_FIRST_ROWS = 1
_SPREAD = 6364136223846793005  # odd: products of 64 bits are as many as their factors
_UNLIKE = count(1)


def absent(shape: tuple[int, ...]) -> Float64Array:
    """Cells without a sample."""
    cells = np.empty(shape, dtype=np.uint64)
    cells.fill(ABSENT_BITS)
    return cells.view(np.float64)


def is_absent(values: Float64Array) -> BoolArray:
    """bool of the shape of `values`: cells without a sample."""
    result: BoolArray = values.view(np.uint64) == ABSENT_BITS
    return result


def is_gap(values: Float64Array) -> BoolArray:
    """bool of the shape of `values`: cells without a sample, and stale markers."""
    bits = values.view(np.uint64)
    result: BoolArray = (bits == ABSENT_BITS) | (bits == STALE_NAN_BITS)
    return result


class Rings:
    """Rings of hosts with the same series. `horizon_ms` is how long a sample is needed."""

    def __init__(self, series: int, capacity: int, horizon_ms: int) -> None:
        """`capacity` is a power of two: then a slot's place is a bitwise and, several times faster than a remainder."""
        assert capacity & (capacity - 1) == 0, capacity
        self.series = series
        self.capacity = capacity
        self.horizon_ms = horizon_ms
        self.hosts = 0
        self._free: list[int] = []
        self._widths: dict[int, Int64Array] = {}  # range → slots in each ring's window when it was last read
        self._allocate(_FIRST_ROWS)

    def _allocate(self, rows: int) -> None:
        self.ts: Int64Array = np.zeros((rows, self.capacity), dtype=np.int64)
        self.value: Float64Array = np.zeros((rows, self.capacity, self.series))
        self.end: Int64Array = np.zeros(rows, dtype=np.int64)  # number of the slot after the newest
        self.newest_ms: Int64Array = np.full(rows, NEVER)
        self.gap_ms: Int64Array = np.full(rows, NEVER)
        self.fall_ms: Int64Array = np.full(rows, NEVER)
        self._gap_before_ms: Int64Array = np.full(rows, NEVER)
        self.line: Int64Array = np.zeros(rows, dtype=np.int64)

    def places(self, rows: IntArray, number: Int64Array) -> Int64Array:
        """Where the slots lie in the flat arrays; the shape is that of both together."""
        return rows * self.capacity + (number & (self.capacity - 1))

    def times(self, places: Int64Array) -> Int64Array:
        """The times of slots, in the shape of `places`."""
        times: Int64Array = self.ts.reshape(-1).take(places)
        return times

    def values(self, places: Int64Array, columns: Columns) -> Float64Array:
        """The values of slots, in the shape of `places` and then [series]."""
        if isinstance(columns, slice):
            return self.value.reshape(-1, self.series).take(places, axis=0)
        return self.value.reshape(-1).take(places[..., None] * self.series + columns)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that grow."""
        return self.ts.nbytes + self.value.nbytes

    def add_row(self) -> int:
        """An empty ring for one more host."""
        self.hosts += 1
        if self._free:
            row = self._free.pop()
            self.end[row] = self.line[row] = 0
            for mark in (self.newest_ms, self.gap_ms, self.fall_ms, self._gap_before_ms):
                mark[row] = NEVER
            return row
        row = self.hosts - 1
        if row >= len(self.end):
            self._grow(2 * len(self.end))
        return row

    def reserve(self, hosts: int) -> None:
        """Room for so many hosts in all. Until they come it costs addresses, no memory."""
        if hosts > len(self.end):
            self._grow(1 << (hosts - 1).bit_length())

    def free_row(self, row: int) -> None:
        """Give a host's ring back."""
        self.hosts -= 1
        self._free.append(row)

    def clear(self) -> None:
        """Give the memory back; for rings that no host uses any more."""
        self._free.clear()
        self._widths.clear()
        self._allocate(0)

    def _grow(self, rows: int) -> None:
        used = min(len(self.end), self.hosts + len(self._free))
        kept = {name: getattr(self, name)[:used] for name in _ARRAYS}
        self._allocate(rows)
        for name, old in kept.items():
            getattr(self, name)[: len(old)] = old
        self._widths.clear()

    def full(self, rows: IntArray, ts: Int64Array) -> BoolArray:
        """bool[h]: rings in which a sample at `ts` would overwrite one that is still needed."""
        end = self.end[rows]
        oldest = self.ts[rows, end % self.capacity]
        result: BoolArray = (end >= self.capacity) & (oldest > ts - self.horizon_ms)
        return result

    def has_room(self, rows: IntArray, rank: IntArray, ts: Int64Array) -> bool:
        """Whether `extend` overwrites nothing that is still needed then."""
        end = self.end[rows]
        number = end + rank - self.capacity
        oldest = self.times(self.places(rows, number))
        room: BoolArray = (number < 0) | ((number < end) & (oldest <= ts - self.horizon_ms))
        return int(np.count_nonzero(room)) == len(rows)

    def append(self, rows: IntArray, ts: Int64Array, values: Float64Array) -> None:
        """Add a tick to distinct rings: `ts` int64[h], each newer than its ring; `values` float64[h, series]."""
        self.extend(rows, np.zeros(len(rows), dtype=np.intp), ts, values)

    def extend(self, rows: IntArray, rank: IntArray, ts: Int64Array, values: Float64Array) -> None:
        """Add ticks to rings, those of a ring together and ascending; `rank` intp[n] numbers them from 0."""
        end = self.end[rows]
        number = end + rank
        places = self.places(rows, number)
        first = rank == 0
        single = np.count_nonzero(first) == len(rows)
        if single:
            before = self.values(self.places(rows, end - 1), slice(None))
        else:
            before = np.empty(values.shape)
            before[1:] = values[:-1]
            before[first] = self.values(self.places(rows[first], end[first] - 1), slice(None))
        self.ts.reshape(-1)[places] = ts
        self.value.reshape(-1, self.series)[places] = values
        below = values < before
        if np.count_nonzero(below):
            fell = below.any(axis=1) & (number > 0)
            self.fall_ms[rows[fell]] = ts[fell]  # of several of a ring the newest is the last
        if np.count_nonzero(np.isnan(values)):
            self._note_gaps(rows, rank, ts, is_gap(values))
        if single:
            self.end[rows] = end + 1
            self.newest_ms[rows] = ts
            self.line[rows] = self.line[rows] * _SPREAD + ts
            return
        last = np.append(first[1:], True)
        own = rows[last]
        self.end[own] = end[last] + rank[last] + 1
        self.newest_ms[own] = ts[last]
        mixed = ts * _SPREAD
        mixed = (mixed ^ (mixed >> 32)) * _SPREAD  # the times of a ring ascend: their sum says all
        self.line[own] = self.line[own] * _SPREAD + np.add.reduceat(mixed, np.flatnonzero(first))

    def _note_gaps(self, rows: IntArray, rank: IntArray, ts: Int64Array, cells: BoolArray) -> None:
        gaps = cells.any(axis=1)
        for number in np.unique(rank[gaps]):
            own = gaps & (rank == number)
            self._gap_before_ms[rows[own]] = self.gap_ms[rows[own]]
            self.gap_ms[rows[own]] = ts[own]

    def amend(self, row: int, ts: int, columns: Columns, values: Float64Array) -> None:
        """Add samples of one host that are not newer than its ring: to the slot of that time, or a slot between.

        Of two values for one time the larger wins, NaN above all, as in storage. What is too old is ignored.
        """
        low = max(0, int(self.end[row]) - self.capacity)
        slots = np.arange(low, self.end[row]) % self.capacity
        place = int(np.searchsorted(self.ts[row, slots], ts))
        if place == len(slots) or self.ts[row, slots[place]] != ts:
            if ts <= self.newest_ms[row] - self.horizon_ms or (place == 0 and low > 0):
                return
            slots, place = self._open(row, slots, place)
            self.ts[row, slots[place]] = ts
            self.value[row, slots[place]] = absent((self.series,))
            self.line[row] = _hash(b"amended %d" % next(_UNLIKE))
        cells = self.value[row, slots[place]]
        cells[columns] = _larger(cells[columns], values)
        self._remark(row, slots, place, ts)

    def _open(self, row: int, slots: IntArray, place: int) -> tuple[IntArray, int]:
        """Make room before `place`; a full ring loses its oldest slot. Returns the slots and the place in them."""
        end = int(self.end[row])
        moved = slots[place:]
        target = np.arange(end - len(moved) + 1, end + 1) % self.capacity
        self.ts[row, target] = self.ts[row, moved]
        self.value[row, target] = self.value[row, moved]
        self.end[row] = end + 1
        low = max(0, end + 1 - self.capacity)
        slots = np.arange(low, end + 1) % self.capacity
        return slots, len(slots) - len(moved) - 1

    def _remark(self, row: int, slots: IntArray, place: int, ts: int) -> None:
        cells = self.value[row, slots[place]]
        if is_gap(cells).any():
            if ts > self.gap_ms[row]:
                self._gap_before_ms[row] = self.gap_ms[row]
                self.gap_ms[row] = ts
            elif ts < self.gap_ms[row]:
                self._gap_before_ms[row] = max(self._gap_before_ms[row], ts)
        elif self.gap_ms[row] == ts:
            self.gap_ms[row] = self._gap_before_ms[row]
        for here in (place, place + 1):
            if 0 < here < len(slots) and (self.value[row, slots[here]] < self.value[row, slots[here - 1]]).any():
                self.fall_ms[row] = max(self.fall_ms[row], self.ts[row, slots[here]])

    def history(self, row: int) -> tuple[Int64Array, Float64Array]:
        """(ts int64[n], values float64[n, series]) of one ring, oldest first."""
        slots = np.arange(max(0, self.end[row] - self.capacity), self.end[row]) % self.capacity
        return self.ts[row, slots], self.value[row, slots]

    def restore(self, row: int, ts: Int64Array, values: Float64Array) -> None:
        """Put the newest part of a history into an empty ring."""
        ts, values = ts[-self.capacity :], values[-self.capacity :]
        n = len(ts)
        if not n:
            return
        self.ts[row, :n] = ts
        self.value[row, :n] = values
        self.end[row] = n
        self.newest_ms[row] = ts[-1]
        self.line[row] = _hash(ts.tobytes())
        gaps = ts[is_gap(values).any(axis=1)]
        falls = ts[1:][(values[1:] < values[:-1]).any(axis=1)]
        self.gap_ms[row] = gaps[-1] if len(gaps) else NEVER
        self._gap_before_ms[row] = gaps[-2] if len(gaps) > 1 else NEVER
        self.fall_ms[row] = falls[-1] if len(falls) else NEVER

    def adopt(self, rows: IntArray, other: "Rings", other_rows: IntArray) -> None:
        """Put all of full rings with the same series into empty ones that are at least as large."""
        number = other.end[other_rows, None] + np.arange(other.capacity)  # the oldest slot lies where the next will
        places = other.places(other_rows[:, None], number)
        self.ts[rows, : other.capacity] = other.times(places)
        self.value[rows, : other.capacity] = other.values(places, slice(None))
        self.end[rows] = other.capacity
        for name in _MARKS:
            getattr(self, name)[rows] = getattr(other, name)[other_rows]

    def last_slots(self, rows: IntArray, at_ms: Int64Array, newer: Int64Array | None = None) -> Int64Array:
        """int64[h]: number of the newest slot at or before `at_ms`; one below the oldest kept when there is none.

        `newer` int64[h] is a guess of how many slots are newer than that.
        """
        end: Int64Array = self.end[rows]
        last = end - 1
        if newer is None and not np.count_nonzero(self.newest_ms[rows] > at_ms):
            return last
        low: Int64Array = np.maximum(end - self.capacity, 0)
        if newer is not None:
            last = np.maximum(last - newer, low - 1)
        while True:
            back = (last >= low) & (self.times(self.places(rows, last)) > at_ms)
            if not np.count_nonzero(back):
                break
            last = last - back
        while True:
            forth = (last + 1 < end) & (self.times(self.places(rows, last + 1)) <= at_ms)
            if not np.count_nonzero(forth):
                return last
            last = last + forth

    def first_slots(self, rows: IntArray, at_ms: Int64Array, range_ms: int, last: Int64Array) -> Int64Array:
        """int64[h]: number of the oldest slot in (at_ms - range_ms, at_ms]; above `last` when there is none."""
        widths = self._widths.get(range_ms)
        if widths is None:
            widths = self._widths[range_ms] = np.zeros(len(self.end), dtype=np.int64)
        start = at_ms - range_ms
        low = np.maximum(self.end[rows] - self.capacity, 0)
        after = last + 1
        first: Int64Array = np.minimum(np.maximum(after - widths[rows], low), after)
        base, mask, times = rows * self.capacity, self.capacity - 1, self.ts.reshape(-1)
        moved = False
        while True:  # most are right at once: both ends are looked at together
            forth = (times.take(base + (first & mask)) <= start) & (first <= last)
            back = (times.take(base + ((first - 1) & mask)) > start) & (first > low)
            if not np.count_nonzero(forth | back):
                break
            # A slot that is too old counts first, as its older neighbour is too old as well.
            first, moved = first + forth - (back & ~forth), True
        if moved:
            widths[rows] = after - first
        return first


_MARKS: Sequence[str] = ("newest_ms", "gap_ms", "fall_ms", "_gap_before_ms", "line")
_ARRAYS: Sequence[str] = ("ts", "value", "end", *_MARKS)


def _hash(data: bytes) -> int:
    """63 bits."""
    return xxhash.xxh3_64_intdigest(data) >> 1


def _larger(old: Float64Array, new: Float64Array) -> Float64Array:
    keep = is_absent(new) | (~is_absent(old) & (np.isnan(old) | (old >= new)))
    return np.where(keep, old, new)
