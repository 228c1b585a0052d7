"""The bounds of windows: which slots of each ring are in a range. Metrics that always come together share them.

Nearly all metrics of a host come in one block, so their rings have the same times. `Rings.line` tells: rings with the
same capacity, end and line hold the same times in the same slots.
"""

from typing import NamedTuple

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.promql.rings import BoolArray, IntArray, Rings


class Extent(NamedTuple):
    """Of a range, for `extrapolatedRate`: all [h, 1]; in seconds `interval` between the first and the last sample.

    `to_start` and `to_end` are how far they are extrapolated, `factor` is what that multiplies a gain by. `enough`
    bool[h, 1]: windows with two samples; `all_enough` whether all have.
    """

    interval: Float64Array
    to_start: Float64Array
    to_end: Float64Array
    factor: Float64Array
    enough: BoolArray
    all_enough: bool


class Timeline:
    """The slots of rings in ranges that end at `at_ms` int64[h]; each bound is found once.

    `newer` int64[h] guesses how many slots of each ring are newer than its time; None: none.
    """

    __slots__ = ("_at_ms", "_end", "_extents", "_firsts", "_last", "_line", "_newer", "_rings", "_rows", "_windows")

    def __init__(self, rings: Rings, rows: IntArray, at_ms: Int64Array, newer: Int64Array | None) -> None:
        self._rings = rings
        self._rows = rows
        self._at_ms = at_ms
        self._newer = newer
        self._end = rings.end[rows]
        self._line = rings.line[rows]
        self._last: Int64Array | None = None
        self._firsts: dict[int, Int64Array] = {}
        self._windows: dict[int, Int64Array | None] = {}
        self._extents: dict[int, Extent] = {}

    def fits(self, rings: Rings, rows: IntArray) -> bool:
        """Whether other rings hold the same times in the same slots."""
        return rings.capacity == self._rings.capacity and not np.count_nonzero(
            (rings.end[rows] != self._end) | (rings.line[rows] != self._line)
        )

    def of(self, places: IntArray) -> "Timeline":
        """That of some of the rings and times, by their places."""
        newer = None if self._newer is None else self._newer[places]
        return Timeline(self._rings, self._rows[places], self._at_ms[places], newer)

    @property
    def at_ms(self) -> Int64Array:
        """int64[h]: where the ranges end."""
        return self._at_ms

    @property
    def last(self) -> Int64Array:
        """int64[h]: number of each ring's newest slot in time."""
        if self._last is None:
            self._last = self._rings.last_slots(self._rows, self._at_ms, self._newer)
        return self._last

    def first(self, range_ms: int) -> Int64Array:
        """int64[h]: number of each ring's oldest slot in the range."""
        first = self._firsts.get(range_ms)
        if first is None:
            first = self._firsts[range_ms] = self._rings.first_slots(self._rows, self._at_ms, range_ms, self.last)
        return first

    def even(self, range_ms: int) -> Int64Array | None:
        """int64[h, w]: the numbers of the slots in the range when they are as many in each ring, else None."""
        if range_ms not in self._windows:
            first = self.first(range_ms)
            width = self.last - first + 1
            even = width[0] > 0 and not np.count_nonzero(width != width[0])
            self._windows[range_ms] = first[:, None] + np.arange(width[0]) if even else None
        return self._windows[range_ms]

    def extent(self, range_ms: int) -> Extent:
        """What a rate over the range needs of the times of its samples."""
        extent = self._extents.get(range_ms)
        if extent is None:
            first, last = self.first(range_ms), self.last
            times = self._rings.times(self._rings.places(self._rows, np.stack([first, last])))
            count = (last - first + 1)[:, None]
            extent = extent_of(count, times[0][:, None], times[1][:, None], self._at_ms[:, None], range_ms)
            self._extents[range_ms] = extent
        return extent


def extent_of(
    count: Int64Array, first_ts: Int64Array, last_ts: Int64Array, at_ms: Int64Array, range_ms: int | Int64Array
) -> Extent:
    """The extent of samples, as many as `count`, from `first_ts` to `last_ts`."""
    interval = (last_ts - first_ts) / 1000
    average = interval / np.maximum(count - 1, 1)
    threshold = average * 1.1
    to_start = (first_ts - (at_ms - range_ms)) / 1000
    to_end = (at_ms - last_ts) / 1000
    to_start = np.where(to_start >= threshold, average / 2, to_start)
    to_end = np.where(to_end >= threshold, average / 2, to_end)
    enough = count > 1
    factor = (interval + to_start + to_end) / interval
    return Extent(interval, to_start, to_end, factor, enough, bool(enough.all()))
