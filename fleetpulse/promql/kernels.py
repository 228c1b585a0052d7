"""Selectors and range functions over rings, for many hosts at once; semantics of Prometheus 3.

Windows are left-open, (t - range, t]. A stale marker ends a series for an instant selector and is left out of a
range. Sources: promql/engine.go and promql/functions.go (`extrapolatedRate`) of Prometheus 3.
"""

from typing import NamedTuple

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.metric import STALE_NAN_BITS
from fleetpulse.promql.rings import BoolArray, Columns, IntArray, Rings, is_gap


class Vector(NamedTuple):
    """`value` float64[h, k] for h hosts and k series; `present` bool[h, k], or None when every cell is."""

    value: Float64Array
    present: BoolArray | None


class _Window(NamedTuple):
    """The samples of a range: `inside` [h, w]; `value` and `valid` [h, w, k], valid False also in gaps."""

    inside: BoolArray
    value: Float64Array
    valid: BoolArray


class View:
    """The rings `rows` at h times `at_ms` int64[h]; the bounds of windows are found once a range.

    `newer` int64[h] guesses how many slots of each ring are newer than its time; None: none.
    """

    __slots__ = ("_firsts", "_last", "_newer", "at_ms", "rings", "rows")

    def __init__(self, rings: Rings, rows: IntArray, at_ms: Int64Array, newer: Int64Array | None = None) -> None:
        self.rings = rings
        self.rows = rows
        self.at_ms = at_ms
        self._newer = newer
        self._last: Int64Array | None = None
        self._firsts: dict[int, Int64Array] = {}

    @property
    def last(self) -> Int64Array:
        """int64[h]: number of each ring's newest slot in time."""
        if self._last is None:
            self._last = self.rings.last_slots(self.rows, self.at_ms, self._newer)
        return self._last

    def first(self, range_ms: int) -> Int64Array:
        """int64[h]: number of each ring's oldest slot in the range."""
        first = self._firsts.get(range_ms)
        if first is None:
            first = self._firsts[range_ms] = self.rings.first_slots(self.rows, self.at_ms, range_ms, self.last)
        return first

    def of(self, places: IntArray) -> "View":
        """The view of some of the rings and times, by their places."""
        newer = None if self._newer is None else self._newer[places]
        return View(self.rings, self.rows[places], self.at_ms[places], newer)


def instant(view: View, columns: Columns, lookback_ms: int) -> Vector:
    """The newest sample of each series in (at_ms - lookback_ms, at_ms], unless it is a stale marker."""
    rings, rows, last = view.rings, view.rows, view.last
    places = rings.places(rows, last)
    ts = rings.times(places)
    in_time = (ts > view.at_ms - lookback_ms) & (last >= 0) & (ts <= view.at_ms)
    value = rings.values(places, columns)
    clean = (rings.gap_ms[rows] < ts) & in_time
    if clean.all():
        return Vector(value, None)
    present = np.broadcast_to(clean[:, None], value.shape).copy()
    slow = np.flatnonzero(~clean)
    window = _window(view.of(slow), columns, lookback_ms)
    stale = window.inside[:, :, None] & (window.value.view(np.uint64) == STALE_NAN_BITS)
    sampled = window.valid | stale
    newest, found = _newest(window.value, sampled)
    value[slow] = newest
    present[slow] = found & ~is_gap(newest)
    return Vector(value, present)


def over_range(function: str, view: View, columns: Columns, range_ms: int) -> Vector:
    """A range function of each series."""
    if function in ("rate", "increase"):
        return _rate(view, columns, range_ms, per_second=function == "rate")
    width = _even_width(view, range_ms)
    if width and function != "last_over_time":
        samples = view.rings.runs(_places(view, range_ms, width), columns)
        if function == "avg_over_time":
            return Vector(_finite(samples.sum(axis=2) / width, samples, np.full(samples.shape[:2], width)), None)
        return Vector((np.fmin if function == "min_over_time" else np.fmax).reduce(samples, axis=2), None)
    window = _window(view, columns, range_ms)
    if function == "last_over_time":
        newest, found = _newest(window.value, window.valid)
        return Vector(newest, found)
    count = window.valid.sum(axis=1)
    if function == "avg_over_time":
        samples = np.where(window.valid, window.value, 0.0).swapaxes(1, 2)
        value = _finite(samples.sum(axis=2) / np.maximum(count, 1), samples, np.maximum(count, 1))
    else:
        samples = np.where(window.valid, window.value, np.nan)
        extreme = np.fmin if function == "min_over_time" else np.fmax
        value = extreme.reduce(samples, axis=1, initial=np.nan)
    return Vector(value, None if count.all() else count > 0)


def _even_width(view: View, range_ms: int) -> int:
    """How many slots every window has, when they are as many in each and without a gap; else 0."""
    width = view.last - view.first(range_ms) + 1
    if (width != width[0]).any() or (view.rings.gap_ms[view.rows] > view.at_ms - range_ms).any():
        return 0
    return int(width[0])


def _places(view: View, range_ms: int, width: int) -> Int64Array:
    """int64[h, width]: the places of the slots from each window's first one on."""
    return view.rings.places(view.rows[:, None], view.first(range_ms)[:, None] + np.arange(width))


def _finite(mean: Float64Array, samples: Float64Array, count: Int64Array) -> Float64Array:
    """The mean float64[h, k] of samples [h, k, w]; where a sum went past the largest number, of their shares."""
    if not np.isinf(mean).any():
        return mean
    overflown = np.isinf(mean) & ~np.isinf(samples).any(axis=2)
    return np.where(overflown, (samples / count[:, :, None]).sum(axis=2), mean)


def _rate(view: View, columns: Columns, range_ms: int, per_second: bool) -> Vector:
    """Rate and increase. Rings without a gap or a fall inside the window need only its two ends."""
    rings, rows, at_ms = view.rings, view.rows, view.at_ms
    first, last = view.first(range_ms), view.last
    start = at_ms - range_ms
    plain = (rings.gap_ms[rows] <= start) & (rings.fall_ms[rows] <= start)
    head, tail = rings.places(rows, first), rings.places(rows, last)
    first_value = rings.values(head, columns)
    gain = rings.values(tail, columns) - first_value
    value = _extrapolated(
        gain,
        first_value,
        (last - first + 1)[:, None],
        rings.times(head)[:, None],
        rings.times(tail)[:, None],
        at_ms[:, None],
        range_ms,
        per_second,
    )
    enough = last > first
    if plain.all():
        return Vector(value, None if enough.all() else np.broadcast_to(enough[:, None], value.shape))
    present = np.broadcast_to(enough[:, None], value.shape).copy()
    slow = np.flatnonzero(~plain)
    value[slow], present[slow] = _exact_rate(view.of(slow), columns, range_ms, per_second)
    return Vector(value, present)


def _exact_rate(view: View, columns: Columns, range_ms: int, per_second: bool) -> tuple[Float64Array, BoolArray]:
    window = _window(view, columns, range_ms)
    h, w, k = window.value.shape
    ts = view.rings.times(_places(view, range_ms, w))
    order = np.arange(w)[None, :, None]
    count = window.valid.sum(axis=1)
    # Number of the newest valid sample up to each slot; -1 before the first.
    upto = np.maximum.accumulate(np.where(window.valid, order, -1), axis=1)
    before = np.concatenate([np.full((h, 1, k), -1), upto[:, :-1]], axis=1)
    previous = np.take_along_axis(window.value, np.maximum(before, 0), axis=1)
    fell = window.valid & (before >= 0) & (window.value < previous)
    newest = np.maximum(upto[:, -1], 0)
    oldest = np.argmax(window.valid, axis=1)
    last_value = np.take_along_axis(window.value, newest[:, None], axis=1)[:, 0]
    first_value = np.take_along_axis(window.value, oldest[:, None], axis=1)[:, 0]
    gain = last_value - first_value + np.where(fell, previous, 0.0).sum(axis=1)
    value = _extrapolated(
        gain,
        first_value,
        count,
        np.take_along_axis(ts, oldest, axis=1),
        np.take_along_axis(ts, newest, axis=1),
        view.at_ms[:, None],
        range_ms,
        per_second,
    )
    enough: BoolArray = count > 1
    return value, enough


def _extrapolated(
    gain: Float64Array,
    first_value: Float64Array,
    count: Int64Array,
    first_ts: Int64Array,
    last_ts: Int64Array,
    at_ms: Int64Array,
    range_ms: int,
    per_second: bool,
) -> Float64Array:
    """`extrapolatedRate` for counters: gain and first_value float64[h, k]; the others broadcast to that."""
    interval = (last_ts - first_ts) / 1000
    average = interval / np.maximum(count - 1, 1)
    threshold = average * 1.1
    to_start = (first_ts - (at_ms - range_ms)) / 1000
    to_end = (at_ms - last_ts) / 1000
    to_start = np.where(to_start >= threshold, average / 2, to_start)
    to_end = np.where(to_end >= threshold, average / 2, to_end)
    # A counter is not extrapolated below zero.
    to_zero = interval * (first_value / gain)
    clamped = (gain > 0) & (first_value >= 0) & (to_zero < to_start)
    if np.count_nonzero(clamped):  # else the factor is one for all series of a host
        to_start = np.where(clamped, to_zero, to_start)
    factor = (interval + to_start + to_end) / interval
    if per_second:
        factor = factor / (range_ms / 1000)
    result: Float64Array = gain * factor
    return result


def _window(view: View, columns: Columns, range_ms: int) -> _Window:
    rings, rows = view.rings, view.rows
    first, last = view.first(range_ms), view.last
    width = max(1, int((last - first).max(initial=0)) + 1)
    value = rings.values(_places(view, range_ms, width), columns)
    inside = first[:, None] + np.arange(width) <= last[:, None]
    valid = np.broadcast_to(inside[:, :, None], value.shape)
    if (rings.gap_ms[rows] > view.at_ms - range_ms).any():
        valid = valid & ~is_gap(value)
    return _Window(inside, value, valid)


def _newest(value: Float64Array, valid: BoolArray) -> tuple[Float64Array, BoolArray]:
    width = value.shape[1]
    newest = width - 1 - np.argmax(valid[:, ::-1], axis=1)
    return np.take_along_axis(value, newest[:, None], axis=1)[:, 0], np.logical_or.reduce(valid, axis=1)
