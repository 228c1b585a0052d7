"""Functions over the samples of a range, for many hosts and series at once; semantics of Prometheus 3.

A window is `Samples`: the samples of each cell come first, in order of time, and what follows counts nothing.
Source: promql/functions.go of Prometheus 3.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.promql.quantiles import quantile
from fleetpulse.promql.rings import BoolArray
from fleetpulse.promql.timeline import extent_of


class Samples(NamedTuple):
    """`value` float64[h, w, k] at `ts` int64[h, w, k or 1] in ms; of a cell the first `number` int64[h, k] count."""

    value: Float64Array
    ts: Int64Array
    number: Int64Array

    @property
    def valid(self) -> BoolArray:
        """bool[h, w, k]"""
        result: BoolArray = np.arange(self.value.shape[1])[None, :, None] < self.number[:, None, :]
        return result

    def at(self, number: Int64Array) -> tuple[Float64Array, Int64Array]:
        """(values, times), each [h, k], of the samples with these numbers int64[h, k]; for a negative one the first."""
        place = np.maximum(number, 0)[:, None, :]
        value = np.take_along_axis(self.value, place, axis=1)[:, 0]
        ts = np.broadcast_to(self.ts, self.value.shape)
        return value, np.take_along_axis(ts, place, axis=1)[:, 0]


def packed(value: Float64Array, ts: Int64Array, valid: BoolArray) -> Samples:
    """The samples [h, w, k] with `valid`, at times int64[h, w]; None is valid outside of a first part of the window."""
    count = valid.sum(axis=1)
    width = np.arange(value.shape[1])[None, :, None]
    if (valid == (width < count[:, None, :])).all():
        return Samples(value, ts[:, :, None], count)
    order = np.argsort(~valid, axis=1, kind="stable")
    times = np.take_along_axis(np.broadcast_to(ts[:, :, None], value.shape), order, axis=1)
    return Samples(np.take_along_axis(value, order, axis=1), times, count)


class Asked(NamedTuple):
    """What a function is told: the end int64[h] and length of the range in ms, and its scalars (float64[h, 1] each)."""

    at_ms: Int64Array
    range_ms: int
    args: tuple[Float64Array, ...]


Answer = tuple[Float64Array, BoolArray]  # values [h, k], and which are present


def over_samples(function: str, samples: Samples, asked: Asked) -> Answer:
    """The function for each cell: values float64[h, k], and bool[h, k] where there is one."""
    return _FUNCTIONS[function](samples, asked)


def _count(samples: Samples, asked: Asked) -> Answer:
    return samples.number.astype(np.float64), samples.number > 0


def _present(samples: Samples, asked: Asked) -> Answer:
    return np.ones(samples.number.shape), samples.number > 0


def _first(samples: Samples, asked: Asked) -> Answer:
    return samples.at(np.zeros_like(samples.number))[0], samples.number > 0


def _sum(samples: Samples, asked: Asked) -> Answer:
    return compensated_sum(np.where(samples.valid, samples.value, 0.0)), samples.number > 0


def compensated_sum(value: Float64Array) -> Float64Array:
    """The sums float64[h, k] of [h, w, k], by Kahan and Neumaier as Prometheus sums."""
    total = np.zeros((value.shape[0], value.shape[2]))
    lost = np.zeros_like(total)
    for i in range(value.shape[1]):
        each = value[:, i]
        new = total + each
        lost += np.where(np.abs(total) >= np.abs(each), (total - new) + each, (each - new) + total)
        total = new
    return np.where(np.isinf(total), total, total + lost)


def _variance(samples: Samples, asked: Asked) -> Answer:
    """By Welford: of equal values it is exactly 0."""
    valid = samples.valid
    mean = np.zeros(samples.number.shape)
    square = np.zeros(samples.number.shape)
    for i in range(samples.value.shape[1]):
        value = samples.value[:, i]
        step = mean + (value - mean) / (i + 1)
        square = np.where(valid[:, i], square + (value - mean) * (value - step), square)
        mean = np.where(valid[:, i], step, mean)
    return square / samples.number, samples.number > 0


def _deviation(samples: Samples, asked: Asked) -> Answer:
    value, present = _variance(samples, asked)
    return np.sqrt(value), present


def _quantile(samples: Samples, asked: Asked) -> Answer:
    return quantile(asked.args[0], samples.value, samples.number), samples.number > 0


def _absolute_deviation(samples: Samples, asked: Asked) -> Answer:
    half = np.full((len(samples.value), 1), 0.5)
    median = quantile(half, samples.value, samples.number)
    deviation = quantile(half, np.abs(samples.value - median[:, None]), samples.number)
    unknown = (samples.valid & np.isnan(samples.value)).any(axis=1)
    return np.where(unknown, np.nan, deviation), samples.number > 0


def _pairs(samples: Samples) -> tuple[Float64Array, Float64Array, BoolArray]:
    """(before, after, whether both are samples), each [h, w - 1, k]."""
    return samples.value[:, :-1], samples.value[:, 1:], samples.valid[:, 1:]


def _changes(samples: Samples, asked: Asked) -> Answer:
    before, after, both = _pairs(samples)
    changed = both & (before != after) & ~(np.isnan(before) & np.isnan(after))
    return changed.sum(axis=1).astype(np.float64), samples.number > 0


def _resets(samples: Samples, asked: Asked) -> Answer:
    before, after, both = _pairs(samples)
    return (both & (after < before)).sum(axis=1).astype(np.float64), samples.number > 0


def _delta(samples: Samples, asked: Asked) -> Answer:
    first, first_ts = samples.at(np.zeros_like(samples.number))
    last, last_ts = samples.at(samples.number - 1)
    extent = extent_of(samples.number, first_ts, last_ts, asked.at_ms[:, None], asked.range_ms)
    return (last - first) * extent.factor, extent.enough


def _last_two(samples: Samples) -> tuple[Float64Array, Float64Array, Float64Array, BoolArray]:
    """(the value before the last, the last, seconds between, whether there are two), each [h, k]."""
    before, before_ts = samples.at(samples.number - 2)
    last, last_ts = samples.at(samples.number - 1)
    return before, last, (last_ts - before_ts) / 1000, samples.number > 1


def _instant_rate(samples: Samples, asked: Asked) -> Answer:
    before, last, seconds, enough = _last_two(samples)
    return np.where(last < before, last, last - before) / seconds, enough


def _instant_delta(samples: Samples, asked: Asked) -> Answer:
    before, last, _, enough = _last_two(samples)
    return last - before, enough


def _line(samples: Samples, from_ms: Int64Array) -> tuple[Float64Array, Float64Array]:
    """(slope a second, value at `from_ms` int64[h, k or 1]) of the least squares' line; a constant has slope 0."""
    valid, count = samples.valid, np.maximum(samples.number, 1)
    x = np.where(valid, (samples.ts - from_ms[:, None]) / 1000, 0.0)
    y = np.where(valid, samples.value, 0.0)
    first = samples.value[:, :1]
    constant = ~(valid & (samples.value != first)).any(axis=1)
    # About the means and the first value: large values at large times lose no digits.
    rise = y - np.where(valid, first, 0.0)
    mean_x, mean_rise = x.sum(axis=1) / count, rise.sum(axis=1) / count
    apart = np.where(valid, x - mean_x[:, None], 0.0)
    slope = (apart * (rise - mean_rise[:, None])).sum(axis=1) / (apart * apart).sum(axis=1)
    start = first[:, 0]
    no_slope = np.where(np.isinf(start), np.nan, 0.0)
    intercept = start + mean_rise - slope * mean_x
    level = np.where(np.isinf(start), np.nan, start)
    return np.where(constant, no_slope, slope), np.where(constant, level, intercept)


def _slope(samples: Samples, asked: Asked) -> Answer:
    _, first_ts = samples.at(np.zeros_like(samples.number))
    return _line(samples, first_ts)[0], samples.number > 1


def _prediction(samples: Samples, asked: Asked) -> Answer:
    slope, intercept = _line(samples, asked.at_ms[:, None])
    return slope * asked.args[0] + intercept, samples.number > 1


def _smoothed(samples: Samples, asked: Asked) -> Answer:
    """Holt and Winters' double exponential smoothing: `args` are the smoothing and the trend factor."""
    smoothing, trend_factor = asked.args
    level = samples.value[:, 0]
    previous = np.zeros_like(level)
    trend = samples.value[:, min(1, samples.value.shape[1] - 1)] - level
    for i in range(1, samples.value.shape[1]):
        valid = i < samples.number
        slope = trend if i == 1 else trend_factor * (level - previous) + (1 - trend_factor) * trend
        new = smoothing * samples.value[:, i] + (1 - smoothing) * (level + slope)
        previous, level = np.where(valid, level, previous), np.where(valid, new, level)
        trend = np.where(valid, slope, trend)
    return level, samples.number > 1


_FUNCTIONS: Mapping[str, Callable[[Samples, Asked], Answer]] = {
    "changes": _changes,
    "count_over_time": _count,
    "delta": _delta,
    "deriv": _slope,
    "double_exponential_smoothing": _smoothed,
    "first_over_time": _first,
    "idelta": _instant_delta,
    "irate": _instant_rate,
    "mad_over_time": _absolute_deviation,
    "predict_linear": _prediction,
    "present_over_time": _present,
    "quantile_over_time": _quantile,
    "resets": _resets,
    "stddev_over_time": _deviation,
    "stdvar_over_time": _variance,
    "sum_over_time": _sum,
}
