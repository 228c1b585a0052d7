"""Aggregations: groups of the series of a host, many hosts at once; semantics of Prometheus 3."""

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.promql.kernels import Vector
from fleetpulse.promql.layout import LabelSet
from fleetpulse.promql.nodes import Node, Run, present_of
from fleetpulse.promql.quantiles import quantile
from fleetpulse.promql.rings import BoolArray, Columns, IntArray

_PAST_COUNTING = 2.0**63


class Aggregation:
    """sum, avg, min, max, count or group of groups of series. `group` int[k] numbers each operand series' group."""

    def __init__(self, op: str, operand: Node, group: list[int], labels: tuple[LabelSet, ...]) -> None:
        self.labels = labels
        self.children: tuple[Node, ...] = (operand,)
        self._op = op
        order = np.argsort(group, kind="stable")
        self._order: Columns = slice(None) if (order == np.arange(len(order))).all() else order
        self._size = np.bincount(group, minlength=len(labels)).astype(np.float64) if group else np.zeros(0)
        self._start = np.concatenate([[0], np.cumsum(self._size[:-1])]).astype(np.intp)

    def run(self, run: Run) -> Vector:
        value, present = run.of(self.children[0])
        if not self.labels:
            return Vector(np.zeros((len(value), 0)), None)
        value = value[:, self._order]
        count = self._size  # of every host; sum, min and max need none
        if self._op in ("count", "avg", "group"):
            count = np.broadcast_to(self._size, (len(value), len(self.labels)))
        if present is not None:
            present = present[:, self._order]
            count = np.add.reduceat(present, self._start, axis=1, dtype=np.float64)
        result = self._aggregate(value, present, count)
        return Vector(result, None if present is None else count > 0)

    def _aggregate(self, value: Float64Array, present: BoolArray | None, count: Float64Array) -> Float64Array:
        if self._op == "count":
            return count
        if self._op == "group":
            return np.ones(count.shape)
        if self._op in ("min", "max"):
            samples = value if present is None else np.where(present, value, np.nan)
            extreme = np.fmin if self._op == "min" else np.fmax
            chosen: Float64Array = extreme.reduceat(samples, self._start, axis=1)
            return chosen
        samples = value if present is None else np.where(present, value, 0.0)
        total: Float64Array = np.add.reduceat(samples, self._start, axis=1)
        if self._op == "sum":
            return total
        mean = total / count
        if np.isinf(mean).any():  # a sum past the largest number: add the shares instead
            shares = samples / np.repeat(count, self._size.astype(np.intp), axis=1)
            mean = np.where(np.isinf(mean), np.add.reduceat(shares, self._start, axis=1), mean)
        return mean


class _Groups:
    """Groups of unequal sizes as one array [h, place in the group, group]."""

    def __init__(self, group: list[int], groups: int) -> None:
        members = [[i for i, own in enumerate(group) if own == number] for number in range(groups)]
        width = max(map(len, members), default=0)
        self.place: IntArray = np.array([each + [-1] * (width - len(each)) for each in members], dtype=np.intp)
        self.place = self.place.reshape(groups, width).T

    def of(self, vector: Vector) -> tuple[Float64Array, BoolArray]:
        """(values, whether they are there), each [h, place, group]."""
        return vector.value[:, self.place], present_of(vector)[:, self.place] & (self.place >= 0)


class Spread:
    """stddev and stdvar of groups of series, and with `phi` their quantile."""

    def __init__(
        self, op: str, operand: Node, group: list[int], labels: tuple[LabelSet, ...], phi: Node | None = None
    ) -> None:
        self.labels = labels
        self.children: tuple[Node, ...] = (operand,) if phi is None else (operand, phi)
        self._op = op
        self._groups = _Groups(group, len(labels))

    def run(self, run: Run) -> Vector:
        vector = run.of(self.children[0])
        if not self.labels:
            return Vector(np.zeros((len(vector.value), 0)), None)
        value, present = self._groups.of(vector)
        count: Int64Array = present.sum(axis=1)
        if self._op == "quantile":
            order = np.argsort(~present, axis=1, kind="stable")
            result = quantile(run.of(self.children[1]).value, np.take_along_axis(value, order, axis=1), count)
        else:
            result = self._spread(value, present, count)
        return Vector(result, None if vector.present is None else count > 0)

    def _spread(self, value: Float64Array, present: BoolArray, count: Int64Array) -> Float64Array:
        # Less one of them: of equal values the result is exactly 0.
        one = np.take_along_axis(value, np.argmax(present, axis=1)[:, None], axis=1)
        apart = np.where(present, value - one, 0.0)
        mean = apart.sum(axis=1) / count
        from_mean = np.where(present, apart - mean[:, None], 0.0)
        variance: Float64Array = (from_mean * from_mean).sum(axis=1) / count
        return np.sqrt(variance) if self._op == "stddev" else variance


class Best:
    """topk and bottomk: of each group the k series with the largest or smallest values, NaN only after all others."""

    def __init__(self, op: str, operand: Node, k: Node, group: list[int], groups: int) -> None:
        self.labels = operand.labels
        self.children: tuple[Node, ...] = (operand, k)
        self._sign = -1.0 if op == "topk" else 1.0
        self._groups = _Groups(group, groups)

    def run(self, run: Run) -> Vector:
        vector = run.of(self.children[0])
        k = run.of(self.children[1]).value
        if not self.labels:
            return vector
        run.fail(self, ~(k[:, 0] < _PAST_COUNTING), "the parameter of topk() or bottomk() is NaN or too large")
        value, present = self._groups.of(vector)
        order = np.lexsort((self._sign * value, np.isnan(value), ~present), axis=1)
        rank = np.argsort(order, axis=1)
        best = present & (rank < np.trunc(k)[:, :, None])
        kept = np.zeros(vector.value.shape, dtype=np.bool_)
        used = self._groups.place >= 0
        kept[:, self._groups.place[used]] = best[:, used]
        return Vector(vector.value, kept)
