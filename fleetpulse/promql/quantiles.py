"""Quantiles as Prometheus has them: NaN is the smallest value, and between two values it goes in a straight line."""

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array


def quantile(phi: Float64Array, value: Float64Array, count: Int64Array) -> Float64Array:
    """The quantiles float64[h, k] of the first `count` int64[h, k] of `value` float64[h, w, k]; `phi` float64[h, 1]."""
    used = np.arange(value.shape[1])[None, :, None] < count[:, None, :]
    ordered = np.sort(np.where(used, value, np.nan), axis=1)  # NaN last
    nans = (used & np.isnan(value)).sum(axis=1)
    rank = np.clip(phi, 0.0, 1.0) * (count - 1)
    rank = np.where(np.isnan(rank), 0.0, np.maximum(rank, 0.0))
    low = np.floor(rank).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    weight = rank - low
    lower = _of(ordered, low, nans)
    between = lower * (1 - weight) + _of(ordered, high, nans) * weight
    result = np.where(weight == 0, lower, between)  # an infinity at its exact rank stays one (since Prometheus 3.16)
    result = np.where(phi < 0, -np.inf, np.where(phi > 1, np.inf, result))
    return np.where(np.isnan(phi) | (count == 0), np.nan, result)


def _of(ordered: Float64Array, number: Int64Array, nans: Int64Array) -> Float64Array:
    """The values with these numbers when the NaNs come first, which `ordered` has last."""
    place = np.maximum(number - nans, 0)[:, None, :]
    found = np.take_along_axis(ordered, place, axis=1)[:, 0]
    result: Float64Array = np.where(number < nans, np.nan, found)
    return result
