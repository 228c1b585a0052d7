"""Long windows as sub-buckets that merge: what is kept of hosts' samples once the rings have let them go.

A sub-bucket of number n holds what its series had in (n * width, (n + 1) * width], left-open as windows are. It is
folded from the rings when a newer sub-bucket begins. Sixteen of them merge into one of a second level, so that a
window of six hours reads about fifty and not 360; and what was merged of a window is kept until its bounds move.
The newest samples are read from the rings: a window's right edge is exact, and its left edge is the sub-bucket
boundary that is nearest.

What comes late for a folded sub-bucket folds it again while the rings have all of its samples; later a sample is only
added behind the sub-bucket's last one, as a backlog comes; any other is left out, since it may be there already.
"""

from collections.abc import Sequence

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.promql.rings import NEVER, BoolArray, IntArray, Rings, is_gap
from fleetpulse.promql.summaries import Summaries, is_time, joined, kind_of, merged, of_samples

_FAN = 16  # sub-buckets in one of the second level
_CELLS_AT_ONCE = 1 << 19  # that are merged together: about what the processor's cache holds
EXACT_OFFSET_MS = 240_000  # up to here the right edge is exact: rings keep `LATE_MS` and what the evaluator may lag
LATE_MS = 300_000  # how long samples of such series are at least in the rings
_SPARE = 3  # sub-buckets beyond the reach: the open one, and rounding at either end


class Level:
    """Sub-buckets of one width: `capacity` for each row, the one of number n at ``n % capacity``."""

    def __init__(self, series: int, capacity: int, width_ms: int, fields: Sequence[str]) -> None:
        self.capacity = capacity
        self.width_ms = width_ms
        self._series = series
        self._fields = fields
        self.number: Int64Array = np.full((0, capacity), NEVER)
        self._items: Summaries = {}
        self._allocate(0)

    def _allocate(self, rows: int) -> None:
        shape = (rows, self.capacity, self._series)
        self._items = {field: np.zeros(shape, dtype=kind_of(field, self.width_ms)) for field in self._fields}

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that grow."""
        return self.number.nbytes + sum(item.nbytes for item in self._items.values())

    def resize(self, rows: int) -> None:
        """Make room for row numbers below `rows`; what lies beyond is given back."""
        known = min(rows, len(self.number))
        kept, number = self._items, self.number
        self.number = np.full((rows, self.capacity), NEVER)
        self.number[:known] = number[:known]
        self._allocate(rows)
        for field, item in kept.items():
            self._items[field][:known] = item[:known]

    def read(self, rows: IntArray, numbers: Int64Array, origin_ms: Int64Array) -> Summaries:
        """Sub-buckets [h, w, k] of rows [h]: `numbers` int64[h, w] or [w]; where there is none the count is 0.

        `mean_s` is from `origin_ms` int64[h].
        """
        slots = numbers % self.capacity
        there = self.number[rows[:, None], slots] == numbers
        start_ms = np.broadcast_to(numbers * self.width_ms, there.shape)
        result: Summaries = {}
        for field, item in self._items.items():
            found = item[rows[:, None], slots]
            if field == "count":
                found = np.where(there[:, :, None], found, 0).astype(np.int64)
            elif is_time(field):
                found = found.astype(np.int64) + start_ms[:, :, None]
            elif field == "mean_s":
                found = found + ((start_ms - origin_ms[:, None]) / 1000)[:, :, None]
            result[field] = found
        return result

    def write(self, rows: IntArray, numbers: Int64Array, summary: Summaries) -> None:
        """Put summaries [m, k] at sub-buckets `numbers` int64[m] of rows; `mean_s` is from each one's start."""
        slots = numbers % self.capacity
        self.number[rows, slots] = numbers
        start_ms = (numbers * self.width_ms)[:, None]
        empty = summary["count"] == 0
        for field, item in self._items.items():
            value = summary[field]
            if is_time(field):
                value = np.where(empty, 0, value - start_ms)
            item[rows, slots] = value

    def move(self, row: int, other: "Level", other_row: int, places: tuple[list[int], list[int]] | None) -> None:
        """Take a row of another level with the same width; `places`: (columns there, columns here), None: all."""
        self.number[row] = other.number[other_row]
        for field, item in self._items.items():
            if places is None:
                item[row] = other._items[field][other_row]
                continue
            item[row] = 0
            source, target = places
            item[row][:, target] = other._items[field][other_row][:, source]

    def sampled(self, row: int) -> BoolArray:
        """bool[k]: series with a sample in any sub-bucket."""
        there = self.number[row] != NEVER
        result: BoolArray = (self._items["count"][row][there] > 0).any(axis=0)
        return result


class Merged:
    """What was merged last of a window of each row: sub-buckets [begin, end)."""

    def __init__(self, rows: int) -> None:
        self.begin: Int64Array = np.full(rows, NEVER)
        self.end: Int64Array = np.full(rows, NEVER)
        self.item: Summaries = {}

    def put(self, rows: IntArray, begin: int, end: int, summary: Summaries) -> None:
        """Keep a window's summary [h, k] of rows."""
        for field, value in summary.items():
            if field not in self.item:
                self.item[field] = np.zeros((len(self.begin), value.shape[1]), dtype=value.dtype)
            self.item[field][rows] = value
        self.begin[rows], self.end[rows] = begin, end


class Minutes:
    """Sub-buckets of the rows of `rings`. `reach_ms` is how far back they are read, `fields` what of them."""

    def __init__(self, rings: Rings, width_ms: int, reach_ms: int, fields: Sequence[str]) -> None:
        self.width_ms = width_ms
        self.fields = tuple(fields)
        self._rings = rings
        capacity = -(-reach_ms // width_ms) + _SPARE
        self._fine = Level(rings.series, capacity, width_ms, self.fields)
        self._coarse = Level(rings.series, capacity // _FAN + 2, width_ms * _FAN, self.fields)
        self._closed: Int64Array = np.full(0, NEVER)  # number of the newest folded sub-bucket
        self._begun: Int64Array = np.full(0, NEVER)  # number of the sub-bucket of the first sample
        self._seam: Int64Array = np.full(0, NEVER)  # up to this number sub-buckets were adopted
        self._merged: dict[tuple[int, int], Merged] = {}
        self.left_out = 0  # samples that came too late for where they belong

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that grow."""
        return self._fine.nbytes + self._coarse.nbytes

    def number_of(self, ts: Int64Array) -> Int64Array:
        """The numbers of the sub-buckets that hold samples at these times."""
        return (ts - 1) // self.width_ms

    # ---- rows, as the store's rings have them

    def resize(self) -> None:
        """As many rows as the rings have."""
        more = len(self._rings.end) - len(self._closed)
        if more > 0:
            self._fine.resize(len(self._rings.end))
            self._coarse.resize(len(self._rings.end))
            self._closed = np.concatenate([self._closed, np.full(more, NEVER)])
            self._begun = np.concatenate([self._begun, np.full(more, NEVER)])
            self._seam = np.concatenate([self._seam, np.full(more, NEVER)])
            self._merged.clear()

    def clear(self) -> None:
        """Give the memory back."""
        self._fine.resize(0)
        self._coarse.resize(0)
        self._closed = self._begun = self._seam = np.full(0, NEVER)
        self._merged.clear()

    def free_row(self, row: int) -> None:
        """Forget a row."""
        if row < len(self._closed):
            self._closed[row] = self._begun[row] = self._seam[row] = NEVER
            self._fine.number[row] = self._coarse.number[row] = NEVER
            self._changed(np.array([row]))

    def move(self, row: int, other: "Minutes", other_row: int, places: tuple[list[int], list[int]] | None) -> None:
        """Take a row of another store; see `Level.move`."""
        self.resize()
        other.resize()
        for mine, theirs in zip(self._marks(), other._marks(), strict=True):
            mine[row] = theirs[other_row]
        self._fine.move(row, other._fine, other_row, places)
        self._coarse.number[row] = NEVER
        self._changed(np.array([row]))

    def sampled(self, row: int) -> BoolArray:
        """bool[k]: series of which anything is kept."""
        self.resize()
        return self._fine.sampled(row)

    def _marks(self) -> tuple[Int64Array, ...]:
        return self._closed, self._begun, self._seam

    def _changed(self, rows: IntArray) -> None:
        for kept in self._merged.values():
            kept.begin[rows] = NEVER

    # ---- folding

    def close(self, rows: IntArray) -> None:
        """Fold the sub-buckets that ended with what the rings were given; `rows` may be repeated."""
        self.resize()
        target = self.number_of(self._rings.newest_ms[rows]) - 1
        due = target > self._closed[rows]
        if not np.count_nonzero(due):
            return
        rows, places = np.unique(rows[due], return_index=True)
        target = target[due][places]
        fresh = self._closed[rows] == NEVER
        if np.count_nonzero(fresh):
            self._begin(rows[fresh])
        while len(rows):
            first = slots_after(self._rings, rows, (self._closed[rows] + 1) * self.width_ms)
            number = self.number_of(self._rings.times(self._rings.places(rows, first)))
            done = number > target  # the newest sample ends the search
            self._closed[rows[done]] = target[done]
            rows, target, first, number = rows[~done], target[~done], first[~done], number[~done]
            if len(rows):
                self._fold(rows, number, first)
                self._closed[rows] = number

    def _begin(self, rows: IntArray) -> None:
        oldest = np.maximum(self._rings.end[rows] - self._rings.capacity, 0)
        number = self.number_of(self._rings.times(self._rings.places(rows, oldest)))
        self._closed[rows] = number - 1
        self._begun[rows] = number

    def _fold(self, rows: IntArray, number: Int64Array, first: Int64Array) -> None:
        """Make sub-buckets `number` of distinct rows from the rings, whose slots of them begin at `first`."""
        last = slots_after(self._rings, rows, (number + 1) * self.width_ms) - 1
        start_ms = number * self.width_ms
        items = self._samples(rows, first, last, start_ms)
        seam = number <= self._seam[rows]
        if np.count_nonzero(seam):
            known = self._fine.read(rows, number[:, None], start_ms)
            known["count"] = np.where(seam[:, None, None], known["count"], 0)
            newer = items["last_ms"] > np.where(known["count"] > 0, known["last_ms"], NEVER)
            items["count"] = np.where(newer, items["count"], 0)
            items = joined([known, items])
        self._put(rows, number, merged(items))

    def _put(self, rows: IntArray, number: Int64Array, summary: Summaries) -> None:
        self._fine.write(rows, number, summary)
        slots = (number // _FAN) % self._coarse.capacity
        stale = self._coarse.number[rows, slots] == number // _FAN
        self._coarse.number[rows[stale], slots[stale]] = NEVER
        self._changed(rows)

    def _samples(self, rows: IntArray, first: Int64Array, last: Int64Array, origin_ms: Int64Array) -> Summaries:
        """Each sample of slots first … last of rows, as summaries [h, w, k]."""
        width = max(1, int((last - first).max(initial=0)) + 1)
        number = first[:, None] + np.arange(width)
        places = self._rings.places(rows[:, None], number)
        value = self._rings.values(places, slice(None))
        valid = (number <= last[:, None])[:, :, None] & ~is_gap(value)
        return of_samples(self.fields, self._rings.times(places), value, valid, origin_ms)

    def late(self, row: int, ts: int, columns: slice | IntArray, values: Float64Array) -> None:
        """A sample of each of some columns came late; the rings have it already, where it is not too late for them."""
        self.resize()
        rows, number = np.array([row]), self.number_of(np.array([ts]))
        if self._closed[row] == NEVER or number[0] > self._closed[row]:
            return
        start_ms = int(number[0]) * self.width_ms
        if number[0] > self._seam[row] and start_ms > self._rings.newest_ms[row] - self._rings.horizon_ms:
            self._fold(rows, number, slots_after(self._rings, rows, np.array([start_ms])))
            return
        self._add(rows, number, ts, columns, values)

    def _add(
        self, rows: IntArray, number: Int64Array, ts: int, columns: slice | IntArray, values: Float64Array
    ) -> None:
        start_ms = number * self.width_ms
        kept = self._fine.number[rows[0], number[0] % self._fine.capacity]
        if kept > number[0] or number[0] <= self._closed[rows[0]] - self._fine.capacity:
            self.left_out += len(values)
            return
        known = self._fine.read(rows, number[:, None], start_ms)
        value = np.zeros((1, 1, self._rings.series))
        value[0, 0, columns] = values
        valid = np.zeros(value.shape, dtype=np.bool_)
        valid[0, 0, columns] = ~is_gap(values)
        item = of_samples(self.fields, np.array([[ts]]), value, valid, start_ms)
        newer = (known["count"] == 0) | (known["last_ms"] < ts)
        self.left_out += int(np.count_nonzero(valid & ~newer))
        item["count"] = np.where(newer, item["count"], 0)
        self._put(rows, number, merged(joined([known, item])))

    def adopt(self, rows: IntArray, number: Int64Array, summary: Summaries) -> None:
        """Put sub-buckets [m, k] that were stored elsewhere: up to the one with the first sample of each row's rings.

        Of two for one place the one with more samples stays: late samples may have come meanwhile.
        """
        self.resize()
        begun, newest = self._begun[rows], np.maximum(number.max(initial=0), self._closed[rows])
        fits = ((begun == NEVER) | (number <= begun)) & (number > newest - self._fine.capacity)
        rows, number, begun = rows[fits], number[fits], begun[fits]
        summary = {field: value[fits] for field, value in summary.items()}
        known = self._fine.read(rows, number[:, None], number * self.width_ms)
        fewer = known["count"][:, 0] <= summary["count"]
        for field, value in known.items():
            summary[field] = np.where(fewer, summary[field], value[:, 0])
        self._put(rows, number, summary)
        np.maximum.at(self._seam, rows, np.where(begun == NEVER, number, begun))

    # ---- reading

    def window(
        self, rows: IntArray, at_ms: Int64Array, range_ms: int, offset_ms: int
    ) -> tuple[Summaries, Int64Array, Int64Array]:
        """Of windows (at - offset - range, at - offset] of rows: summaries [h, k]; their edges as read, in ms int64[h].

        `mean_s` is from `at_ms`.
        """
        self.resize()
        end_ms = at_ms - offset_ms
        half = self.width_ms // 2
        begin = (end_ms - range_ms + half) // self.width_ms
        if offset_ms > EXACT_OFFSET_MS:  # the rings may have let these samples go
            end_ms = (end_ms + half) // self.width_ms * self.width_ms
        closed = self._closed[rows]
        end = end_ms // self.width_ms
        end = np.where(closed == NEVER, end, np.minimum(end, closed + 1))
        folded = self._folded(rows, begin, end, (range_ms, offset_ms))
        if "mean_s" in folded:
            folded["mean_s"] = folded["mean_s"] + ((end * self.width_ms - at_ms) / 1000)[:, None]
        begin_ms = begin * self.width_ms
        first = slots_after(self._rings, rows, np.maximum(end * self.width_ms, begin_ms))
        last = slots_after(self._rings, rows, end_ms) - 1
        if not np.count_nonzero(first <= last):
            return folded, begin_ms, end_ms
        kept = {field: value[:, None] for field, value in folded.items()}
        return merged(joined([kept, self._samples(rows, first, last, at_ms)])), begin_ms, end_ms

    def _folded(self, rows: IntArray, begin: Int64Array, end: Int64Array, window: tuple[int, int]) -> Summaries:
        """Of sub-buckets [begin, end) of rows, summaries [h, k]; `mean_s` is from where they end."""
        kept = self._merged.get(window)
        if kept is None:
            kept = self._merged[window] = Merged(len(self._closed))
        result: Summaries = {}
        for a, b, own in _alike(begin, end):
            known = rows[own]
            stale = (kept.begin[known] != a) | (kept.end[known] != b)
            if np.count_nonzero(stale):
                for some in self._portions(np.unique(known[stale]), a, b):
                    kept.put(some, a, b, merged(self._pieces(some, a, b)))
            for field, item in kept.item.items():
                if field not in result:
                    result[field] = np.empty((len(rows), item.shape[1]), dtype=item.dtype)
                result[field][own] = item[known]
        return result

    def _portions(self, rows: IntArray, begin: int, end: int) -> list[IntArray]:
        pieces = min(max(end - begin, 1), 2 * _FAN + max(end - begin, 1) // _FAN)
        each = max(1, _CELLS_AT_ONCE // (pieces * self._rings.series))
        return [rows[start : start + each] for start in range(0, len(rows), each)]

    def _pieces(self, rows: IntArray, begin: int, end: int) -> Summaries:
        """Sub-buckets [begin, end) as few summaries [h, w, k]."""
        origin_ms = np.full(len(rows), end * self.width_ms)
        inner, outer = -(-begin // _FAN), end // _FAN
        if inner >= outer:
            return self._fine.read(rows, np.arange(begin, max(end, begin + 1)), origin_ms)
        coarse = np.arange(inner, outer)
        self._fill(rows, coarse)
        parts = [self._coarse.read(rows, coarse, origin_ms)]
        if begin < inner * _FAN:
            parts.insert(0, self._fine.read(rows, np.arange(begin, inner * _FAN), origin_ms))
        if outer * _FAN < end:
            parts.append(self._fine.read(rows, np.arange(outer * _FAN, end), origin_ms))
        return joined(parts)

    def _fill(self, rows: IntArray, coarse: Int64Array) -> None:
        """Merge those sub-buckets of the second level that are not there; all of their parts are folded."""
        lacks = self._coarse.number[rows[:, None], coarse % self._coarse.capacity] != coarse
        if not np.count_nonzero(lacks):
            return
        places, which = np.nonzero(lacks)
        own, number = rows[places], coarse[which]
        each = max(1, _CELLS_AT_ONCE // (_FAN * self._rings.series))
        for start in range(0, len(own), each):
            some, of = own[start : start + each], number[start : start + each]
            items = self._fine.read(some, of[:, None] * _FAN + np.arange(_FAN), of * self._coarse.width_ms)
            self._coarse.write(some, of, merged(items))


def slots_after(rings: Rings, rows: IntArray, ms: Int64Array) -> Int64Array:
    """int64[h]: number of each ring's oldest slot that is newer than `ms`; one past the newest when there is none."""
    high: Int64Array = rings.end[rows].copy()
    low = np.maximum(high - rings.capacity, 0)
    while np.count_nonzero(low < high):
        middle = (low + high) // 2
        newer = rings.times(rings.places(rows, middle)) > ms
        open_ = low < high
        high = np.where(open_ & newer, middle, high)
        low = np.where(open_ & ~newer, middle + 1, low)
    return low


def _alike(begin: Int64Array, end: Int64Array) -> list[tuple[int, int, IntArray | slice]]:
    """The different (begin, end), each with the places that have it."""
    if not len(begin):
        return []
    if not np.count_nonzero((begin != begin[0]) | (end != end[0])):
        return [(int(begin[0]), int(end[0]), slice(None))]
    pairs, inverse = np.unique(np.stack([begin, end]), axis=1, return_inverse=True)
    inverse = inverse.reshape(-1)
    return [(int(a), int(b), np.flatnonzero(inverse == i)) for i, (a, b) in enumerate(pairs.T)]
