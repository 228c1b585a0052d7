"""`histogram_quantile` over classic histograms: series with the label ``le``.

Source: promql/quantile.go of Prometheus 3.
"""

import math

import numpy as np

from fleetpulse.frames import Float64Array
from fleetpulse.promql.kernels import Vector
from fleetpulse.promql.layout import LabelSet
from fleetpulse.promql.nodes import Node, Run, present_of
from fleetpulse.promql.rings import BoolArray, IntArray
from fleetpulse.promql.syntax import NAME

_NEAR = 1e-12  # counts that differ by less, as a share of their sum, are equal: what adding up floats leaves


class Buckets:
    """The quantile `phi` of each group of buckets; series without a number as ``le`` are left out."""

    def __init__(self, phi: Node, operand: Node) -> None:
        self.children: tuple[Node, ...] = (phi, operand)
        groups: dict[LabelSet, list[tuple[float, int]]] = {}
        for column, labels in enumerate(operand.labels):
            upper = _number(dict(labels).get("le"))
            if upper is not None:
                rest = tuple(pair for pair in labels if pair[0] != "le")
                groups.setdefault(rest, []).append((upper, column))
        # Of two metrics that differ in their names only each has its quantile: that is refused as any such twins.
        self.labels = tuple(tuple(pair for pair in group if pair[0] != NAME) for group in groups)
        self._groups: list[tuple[Float64Array, IntArray]] = []
        for buckets in groups.values():
            ordered = sorted(buckets)
            uppers = np.array([upper for upper, _ in ordered])
            self._groups.append((uppers, np.array([column for _, column in ordered], dtype=np.intp)))

    def run(self, run: Run) -> Vector:
        phi = run.of(self.children[0]).value[:, 0]
        vector = run.of(self.children[1])
        hosts = len(vector.value)
        present = present_of(vector)
        result = np.full((hosts, len(self.labels)), np.nan)
        there = np.zeros(result.shape, dtype=np.bool_)
        for number, (uppers, columns) in enumerate(self._groups):
            there[:, number] = present[:, columns].any(axis=1)
            result[:, number] = _of_group(phi, uppers, vector.value[:, columns], present[:, columns])
        return Vector(result, there)


def _number(text: str | None) -> float | None:
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _of_group(phi: Float64Array, uppers: Float64Array, counts: Float64Array, present: BoolArray) -> Float64Array:
    """float64[h]: hosts that have the same buckets together."""
    result = np.full(len(counts), np.nan)
    patterns, which = np.unique(present, axis=0, return_inverse=True)
    for number, own in enumerate(patterns):
        hosts = np.flatnonzero(which.reshape(-1) == number)
        result[hosts] = bucket_quantile(phi[hosts], uppers[own], counts[np.ix_(hosts, np.flatnonzero(own))])
    return result


def bucket_quantile(phi: Float64Array, uppers: Float64Array, counts: Float64Array) -> Float64Array:
    """float64[h]: the quantiles `phi` float64[h] of cumulative `counts` float64[h, b], upper bounds ascending."""
    beyond = np.where(phi < 0, -np.inf, np.where(phi > 1, np.inf, np.nan))
    if not len(uppers) or uppers[-1] != np.inf:
        return beyond
    bounds, starts = np.unique(uppers, return_index=True)
    if len(bounds) < 2:
        return beyond
    merged = _rising(np.add.reduceat(counts, starts, axis=1))
    rank = phi * merged[:, -1]
    place = (merged[:, :-1] < rank[:, None]).sum(axis=1)
    hosts = np.arange(len(counts))
    low = np.where(place > 0, bounds[place - 1], 0.0)
    below = np.where(place > 0, merged[hosts, place - 1], 0.0)
    within = low + (bounds[place] - low) * (rank - below) / (merged[hosts, place] - below)
    within = np.where((place == 0) & (bounds[0] <= 0), bounds[0], within)
    within = np.where(place == len(bounds) - 1, bounds[-2], within)
    return np.where((phi >= 0) & (phi <= 1) & (merged[:, -1] != 0), within, beyond)


def _rising(counts: Float64Array) -> Float64Array:
    """Counts float64[h, b] that never fall along b, and rise by more than what rounding leaves."""
    result = counts.copy()
    highest = result[:, 0]
    for i in range(1, counts.shape[1]):
        count = counts[:, i]
        near = (np.abs(count - highest) < _NEAR * (np.abs(count) + np.abs(highest))) & (count != 0) & (highest != 0)
        highest = result[:, i] = np.where(near | (count < highest), highest, count)
    return result
