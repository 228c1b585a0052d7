"""Functions of one value: mathematics and dates, for arrays of any shape. As Go's math package and time.UTC.

Dates of values that are not finite are NaN.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array

_DAY_S = 86_400
_FARTHEST_S = 2.0**53


def _rounded(value: Float64Array, to: Float64Array | float = 1.0) -> Float64Array:
    inverse = 1.0 / to
    result: Float64Array = np.floor(value * inverse + 0.5) / inverse
    return result


def _larger(left: Any, right: Any) -> Float64Array:
    """Go's math.Max: NaN above all but +Inf."""
    return np.where(np.isposinf(left) | np.isposinf(right), np.inf, np.maximum(left, right))


def _smaller(left: Any, right: Any) -> Float64Array:
    """Go's math.Min: NaN below all but -Inf."""
    return np.where(np.isneginf(left) | np.isneginf(right), -np.inf, np.minimum(left, right))


def _clamped(value: Float64Array, low: Any, high: Any) -> Float64Array:
    return _larger(low, _smaller(high, value))


def _sign(value: Float64Array) -> Float64Array:
    return np.where(value < 0, -1.0, np.where(value > 0, 1.0, value))


def _days(value: Float64Array) -> "np.ndarray[Any, np.dtype[np.datetime64]]":
    return np.floor_divide(_seconds(value), _DAY_S).astype("datetime64[D]")


def _seconds(value: Float64Array) -> Int64Array:
    known = np.abs(value) < _FARTHEST_S
    return np.where(known, np.trunc(value), 0.0).astype(np.int64)


def _months(value: Float64Array) -> Int64Array:
    """Months since January 1970."""
    return _days(value).astype("datetime64[M]").astype(np.int64)


def _start_of_month(months: Int64Array) -> Int64Array:
    """The days since 1970 at which months begin."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _day_of_month(value: Float64Array) -> Int64Array:
    return _days(value).astype(np.int64) - _start_of_month(_months(value)) + 1


def _day_of_week(value: Float64Array) -> Int64Array:
    return (_days(value).astype(np.int64) + 4) % 7


def _day_of_year(value: Float64Array) -> Int64Array:
    months = _months(value)
    return _days(value).astype(np.int64) - _start_of_month(months - months % 12) + 1


def _days_in_month(value: Float64Array) -> Int64Array:
    months = _months(value)
    return _start_of_month(months + 1) - _start_of_month(months)


def _date(part: Callable[[Float64Array], Int64Array]) -> Callable[[Float64Array], Float64Array]:
    def of(value: Float64Array) -> Float64Array:
        result: Float64Array = np.where(np.isfinite(value), part(value), np.nan)
        return result

    return of


# Each takes the values of a vector, then its scalars (float64[h, 1] or a number).
VALUE_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "clamp": _clamped,
    "clamp_max": _smaller,
    "clamp_min": _larger,
    "cos": np.cos,
    "cosh": np.cosh,
    "day_of_month": _date(_day_of_month),
    "day_of_week": _date(_day_of_week),
    "day_of_year": _date(_day_of_year),
    "days_in_month": _date(_days_in_month),
    "deg": lambda value: value * (180 / np.pi),
    "exp": np.exp,
    "floor": np.floor,
    "hour": _date(lambda value: _seconds(value) % _DAY_S // 3600),
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "minute": _date(lambda value: _seconds(value) % 3600 // 60),
    "month": _date(lambda value: _months(value) % 12 + 1),
    "rad": lambda value: value * (np.pi / 180),
    "round": _rounded,
    "sgn": _sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
    "year": _date(lambda value: 1970 + _months(value) // 12),
}
