"""Selectors and range functions over rings, for many hosts at once; semantics of Prometheus 3.

Windows are left-open, (t - range, t]. A stale marker ends a series for an instant selector and is left out of a
range. Sources: promql/engine.go and promql/functions.go (`extrapolatedRate`) of Prometheus 3.
"""

from typing import NamedTuple

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.metric import STALE_NAN_BITS
from fleetpulse.promql.ranges import Asked, over_samples, packed
from fleetpulse.promql.rings import BoolArray, Columns, IntArray, Rings, is_gap
from fleetpulse.promql.timeline import Extent, Timeline, extent_of


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
    """The rings `rows` at h times `at_ms` int64[h]; `timeline` is theirs."""

    __slots__ = ("at_ms", "rings", "rows", "timeline")

    def __init__(self, rings: Rings, rows: IntArray, at_ms: Int64Array, timeline: Timeline | None = None) -> None:
        self.rings = rings
        self.rows = rows
        self.at_ms = at_ms
        self.timeline = timeline or Timeline(rings, rows, at_ms, None)

    @property
    def last(self) -> Int64Array:
        """int64[h]: number of each ring's newest slot in time."""
        return self.timeline.last

    def first(self, range_ms: int) -> Int64Array:
        """int64[h]: number of each ring's oldest slot in the range."""
        return self.timeline.first(range_ms)

    def of(self, places: IntArray) -> "View":
        """The view of some of the rings and times, by their places."""
        rows, at_ms = self.rows[places], self.at_ms[places]
        return View(self.rings, rows, at_ms, self.timeline.of(places))


def instant(view: View, columns: Columns, lookback_ms: int) -> Vector:
    """The newest sample of each series in (at_ms - lookback_ms, at_ms], unless it is a stale marker."""
    rings, rows, last = view.rings, view.rows, view.last
    places = rings.places(rows, last)
    ts = rings.times(places)
    in_time = (ts > view.at_ms - lookback_ms) & (last >= 0) & (ts <= view.at_ms)
    value = rings.values(places, columns)
    clean = (rings.gap_ms[rows] < ts) & in_time
    if np.count_nonzero(clean) == len(clean):
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


def instant_times(view: View, columns: Columns, lookback_ms: int) -> Vector:
    """`instant`, with the times of the samples in seconds as values."""
    present = instant(view, columns, lookback_ms).present
    rings = view.rings
    if present is None:
        ts = rings.times(rings.places(view.rows, view.last))
        width = rings.series if isinstance(columns, slice) else len(columns)
        return Vector(np.repeat(ts[:, None] / 1000, width, axis=1), None)
    window = _window(view, columns, lookback_ms)
    sampled = window.valid | (window.inside[:, :, None] & ~is_gap(window.value))
    ts = rings.times(_places(view, lookback_ms, window.value.shape[1]))
    newest, _ = _newest(np.broadcast_to(ts[:, :, None] / 1000, window.value.shape), sampled)
    return Vector(newest, present)


def over_range(
    function: str, view: View, columns: Columns, range_ms: int, args: tuple[Float64Array, ...] = ()
) -> Vector:
    """A range function of each series; `args` float64[h, 1] each."""
    if function in ("rate", "increase"):
        return _rate(view, columns, range_ms, per_second=function == "rate")
    if function not in _PLAIN:
        return _over_samples(function, view, columns, range_ms, args)
    slots = None if function == "last_over_time" else view.timeline.even(range_ms)
    if slots is not None and not np.count_nonzero(view.rings.gap_ms[view.rows] > view.at_ms - range_ms):
        samples = view.rings.values(view.rings.places(view.rows, slots.T), columns)
        if function == "avg_over_time":
            return Vector(_mean(samples, len(samples)), None)
        return Vector((np.fmin if function == "min_over_time" else np.fmax).reduce(samples, axis=0), None)
    window = _window(view, columns, range_ms)
    if function == "last_over_time":
        newest, found = _newest(window.value, window.valid)
        return Vector(newest, found)
    count = window.valid.sum(axis=1)
    if function == "avg_over_time":
        samples = np.where(window.valid, window.value, 0.0).swapaxes(0, 1)
        value = _mean(samples, np.maximum(count, 1))
    else:
        samples = np.where(window.valid, window.value, np.nan)
        extreme = np.fmin if function == "min_over_time" else np.fmax
        value = extreme.reduce(samples, axis=1, initial=np.nan)
    return Vector(value, None if count.all() else count > 0)


_PLAIN = ("avg_over_time", "last_over_time", "max_over_time", "min_over_time")


def _over_samples(function: str, view: View, columns: Columns, range_ms: int, args: tuple[Float64Array, ...]) -> Vector:
    window = _window(view, columns, range_ms)
    ts = view.rings.times(_places(view, range_ms, window.value.shape[1]))
    asked = Asked(view.at_ms, range_ms, args)
    value, present = over_samples(function, packed(window.value, ts, window.valid), asked)
    return Vector(value, None if present.all() else present)


def _places(view: View, range_ms: int, width: int) -> Int64Array:
    """int64[h, width]: the places of the slots from each window's first one on."""
    return view.rings.places(view.rows[:, None], view.first(range_ms)[:, None] + np.arange(width))


def _mean(samples: Float64Array, count: Int64Array | int) -> Float64Array:
    """The mean float64[h, k] of samples [w, h, k]; where a sum goes past the largest number, of their shares."""
    mean = _sum(samples) / count
    if not np.count_nonzero(np.isinf(mean)):
        return mean
    overflown = np.isinf(mean) & ~np.isinf(samples).any(axis=0)
    return np.where(overflown, _sum(samples / count), mean)


def _sum(samples: Float64Array) -> Float64Array:
    """The sum float64[h, k] of samples [w, h, k], added one after another: zeros among them change no bit of it."""
    flat = np.ascontiguousarray(samples).reshape(len(samples), -1)
    # Of one column numpy would add in pairs.
    total: Float64Array = flat.cumsum(axis=0)[-1] if flat.shape[1] == 1 else flat.sum(axis=0)
    return total.reshape(samples.shape[1:])


def _rate(view: View, columns: Columns, range_ms: int, per_second: bool) -> Vector:
    """Rate and increase. Rings without a gap or a fall inside the window need only its two ends."""
    rings, rows, at_ms = view.rings, view.rows, view.at_ms
    first, last = view.first(range_ms), view.last
    start = at_ms - range_ms
    plain = (rings.gap_ms[rows] <= start) & (rings.fall_ms[rows] <= start)
    first_value = rings.values(rings.places(rows, first), columns)
    gain = rings.values(rings.places(rows, last), columns) - first_value
    extent = view.timeline.extent(range_ms)
    value = _extrapolated(gain, first_value, extent, range_ms, per_second)
    if np.count_nonzero(plain) == len(plain):
        return Vector(value, None if extent.all_enough else np.broadcast_to(extent.enough, value.shape))
    present = np.broadcast_to(extent.enough, value.shape).copy()
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
    extent = extent_of(
        count,
        np.take_along_axis(ts, oldest, axis=1),
        np.take_along_axis(ts, newest, axis=1),
        view.at_ms[:, None],
        range_ms,
    )
    return _extrapolated(gain, first_value, extent, range_ms, per_second), extent.enough


def _extrapolated(
    gain: Float64Array, first_value: Float64Array, extent: Extent, range_ms: int, per_second: bool
) -> Float64Array:
    """`extrapolatedRate` for counters: gain and first_value float64[h, k]; the extent broadcasts to that."""
    interval, to_start, to_end, factor, *_ = extent
    # A counter is not extrapolated below zero.
    to_zero = interval * (first_value / gain)
    near = to_zero < to_start
    if np.count_nonzero(near):  # else the factor is one for all series of a host
        clamped = near & (gain > 0) & (first_value >= 0)
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
