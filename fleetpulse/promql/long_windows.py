"""Functions over long windows, which are read from sub-buckets (`minutes.py`); semantics of Prometheus 3.

A window that reaches no more than `SAMPLES_MS` back is read from samples and exact. Of a longer one the left edge
(with a long offset also the right one) is the nearest boundary of a sub-bucket: of ten seconds when it reaches back
up to an hour, of a minute beyond. Rates are per second of what was read, and an increase is that times the range.
Functions that have no form that merges (`summaries.FIELDS_OF` lacks them) always read samples.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.promql.kernels import Vector
from fleetpulse.promql.minutes import Minutes
from fleetpulse.promql.rings import BoolArray, Columns, IntArray
from fleetpulse.promql.summaries import FIELDS_OF, Summaries
from fleetpulse.promql.syntax import Instant, OverRange, span_ms
from fleetpulse.promql.timeline import extent_of

SAMPLES_MS = 900_000  # a window that reaches further back is made of sub-buckets
FINE_MS = 10_000
FINE_REACH_MS = 3_600_000
COARSE_MS = 60_000
INSTANT = "last_over_time"  # what an instant selector with a long offset reads


class Window(NamedTuple):
    """What a selector reads from sub-buckets of `width_ms`: of the samples in (t - offset - range, t - offset]."""

    function: str
    range_ms: int
    offset_ms: int
    width_ms: int

    @property
    def reach_ms(self) -> int:
        """How far back it reads."""
        return self.range_ms + self.offset_ms


def long_window(leaf: Instant | OverRange, lookback_ms: int) -> Window | None:
    """How a leaf is read whose samples the rings let go; None: they keep them."""
    reach_ms = span_ms(leaf, lookback_ms)
    function = INSTANT if isinstance(leaf, Instant) else leaf.function
    if reach_ms <= SAMPLES_MS or function not in FIELDS_OF:
        return None
    width_ms = FINE_MS if reach_ms <= FINE_REACH_MS else COARSE_MS
    return Window(function, reach_ms - leaf.offset_ms, leaf.offset_ms, width_ms)


def over_window(
    window: Window,
    minutes: Minutes,
    rows: IntArray,
    at_ms: Int64Array,
    args: tuple[Float64Array, ...] = (),
    times: bool = False,
) -> Vector:
    """The function of every series of rows of the rings at `at_ms` int64[h]; `args` float64[h, 1] each.

    `times`: the times of the newest samples in seconds instead.
    """
    summary, begin_ms, end_ms = minutes.window(rows, at_ms, window.range_ms, window.offset_ms)
    present = summary["count"] >= (2 if window.function in _PAIRS else 1)
    if times:
        value: Float64Array = summary["last_ms"] / 1000
    else:
        value = _value(window.function, args, summary, _Bounds(begin_ms, end_ms, window.range_ms))
    return Vector(value, None if present.all() else present)


_PAIRS = frozenset({"rate", "increase", "delta", "irate", "idelta", "deriv", "predict_linear"})  # need two samples


class _Bounds(NamedTuple):
    begin_ms: Int64Array
    end_ms: Int64Array
    range_ms: int


def _value(function: str, args: tuple[Float64Array, ...], summary: Summaries, bounds: _Bounds) -> Float64Array:
    count = summary["count"]
    match function:
        case "rate" | "increase" | "delta":
            return _extrapolated(function, summary, bounds)
        case "irate" | "idelta":
            return _newest_two(function, summary)
        case "deriv":
            slope: Float64Array = summary["together"] / summary["spread_s"]
            return slope
        case "predict_linear":
            slope = summary["together"] / summary["spread_s"]
            ahead: Float64Array = summary["mean"] + slope * (args[0] - summary["mean_s"])
            return ahead
        case "avg_over_time":
            mean: Float64Array = summary["sum"] / np.maximum(count, 1)
            return mean
        case "stdvar_over_time" | "stddev_over_time":
            variance: Float64Array = summary["spread"] / np.maximum(count, 1)
            return np.sqrt(variance) if function == "stddev_over_time" else variance
        case "present_over_time":
            return np.ones(count.shape)
    field = _PLAIN[function]
    plain: Float64Array = summary[field].astype(np.float64)
    return plain


_PLAIN: Mapping[str, str] = {
    "changes": "changes",
    "count_over_time": "count",
    "first_over_time": "first",
    "last_over_time": "last",
    "max_over_time": "high",
    "min_over_time": "low",
    "resets": "resets",
    "sum_over_time": "sum",
}


def _extrapolated(function: str, summary: Summaries, bounds: _Bounds) -> Float64Array:
    """`extrapolatedRate` over what was read, by its own length."""
    first, end_ms = summary["first"], bounds.end_ms[:, None]
    gain = summary["last"] - first
    if function != "delta":
        gain = gain + summary["fallen"]
    length_ms: Int64Array = end_ms - bounds.begin_ms[:, None]
    extent = extent_of(summary["count"], summary["first_ms"], summary["last_ms"], end_ms, length_ms)
    interval, to_start, to_end = extent.interval, extent.to_start, extent.to_end
    if function != "delta":  # a counter is not extrapolated below zero
        to_zero = interval * (first / gain)
        to_start = np.where((gain > 0) & (first >= 0) & (to_zero < to_start), to_zero, to_start)
    per_second = gain * ((interval + to_start + to_end) / interval) / (length_ms / 1000)
    result: Float64Array = per_second if function == "rate" else per_second * (bounds.range_ms / 1000)
    return result


def _newest_two(function: str, summary: Summaries) -> Float64Array:
    last, previous = summary["last"], summary["previous"]
    gain = last - previous
    if function == "idelta":
        result: Float64Array = gain
        return result
    fell: BoolArray = last < previous
    seconds: npt.NDArray[np.float64] = (summary["last_ms"] - summary["previous_ms"]) / 1000
    rate: Float64Array = np.where(fell, last, gain) / seconds
    return rate


def of_columns(vector: Vector, columns: Columns) -> Vector:
    """Some series of a vector of all."""
    if isinstance(columns, slice):
        return vector
    present = None if vector.present is None else vector.present[:, columns]
    return Vector(vector.value[:, columns], present)
