"""Compiled expressions: a tree of nodes that gives one vector a host, for many hosts of one layout at once.

A node's series are known when it is compiled (`labels`); which of them have a value at a tick is known only
when it runs (`Vector.present`). What PromQL answers with an error (two partners in one-to-one matching, equal
label sets) depends on the tick: the hosts concerned are noted in `Run.failed`, the others go on.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.promql import kernels
from fleetpulse.promql.kernels import Vector, View
from fleetpulse.promql.layout import LabelSet
from fleetpulse.promql.metric_windows import MetricWindows, Store
from fleetpulse.promql.rings import BoolArray, Columns, IntArray
from fleetpulse.promql.syntax import Instant, OverRange
from fleetpulse.promql.timeline import Timeline

_MOST_TIMELINES = 4  # that are looked at whether another metric's is the same


@dataclass(eq=False, slots=True)
class Run:
    """One evaluation of hosts at h ticks; results are kept so that equal parts of rules run once.

    A host may have several ticks, ascending. `newer` int64[h] guesses how many samples of its host are newer than a
    tick; None: none. `appended_ms` int64[2, h] and `keys` are the owner's: nothing here reads them.
    """

    hosts: IntArray
    at_ms: Int64Array
    lookback_ms: int
    newer: Int64Array | None = None
    appended_ms: Int64Array | None = None
    results: dict[int, Vector] = field(default_factory=dict)
    failed: dict[int, tuple[BoolArray, str]] = field(default_factory=dict)
    views: dict[int, View] = field(default_factory=dict)
    timelines: list[Timeline] = field(default_factory=list)
    keys: dict[int, Any] = field(default_factory=dict)
    whole: dict[tuple[int, str, int], Vector] = field(default_factory=dict)  # (store number, function, range)

    def of(self, node: "Node") -> Vector:
        """The vector of a node: float64[h, its labels]."""
        result = self.results.get(id(node))
        if result is None:
            result = self.results[id(node)] = node.run(self)
        return result

    def view(self, part: "Part") -> View:
        """The hosts' rings of a part."""
        view = self.views.get(part.store.number)
        if view is None:
            rings, rows = part.store.rings, part.metric.row_of[self.hosts]
            timeline = next((known for known in self.timelines[:_MOST_TIMELINES] if known.fits(rings, rows)), None)
            if timeline is None:
                timeline = Timeline(rings, rows, self.at_ms, self.newer)
                self.timelines.append(timeline)
            view = self.views[part.store.number] = View(rings, rows, self.at_ms, timeline)
        return view

    def fail(self, node: "Node", hosts: BoolArray, sentence: str) -> None:
        """Note hosts (bool[h]) for which the node has no right answer."""
        if hosts.any():
            self.failed[id(node)] = (hosts, sentence)


class Node(Protocol):
    """A compiled expression; `children` are the nodes it reads."""

    labels: tuple[LabelSet, ...]
    children: tuple["Node", ...]

    def run(self, run: Run) -> Vector:
        """The node's vector."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Series of one metric that a selector takes: `columns` of a store."""

    metric: MetricWindows
    store: Store
    columns: Columns
    labels: tuple[LabelSet, ...]


class Leaf:
    """An instant selector or a range function."""

    children: tuple[Node, ...] = ()

    def __init__(self, expr: Instant | OverRange, parts: tuple[Part, ...], labels: tuple[LabelSet, ...]) -> None:
        self.labels = labels
        self._expr = expr
        self._parts = parts
        if isinstance(expr, OverRange):
            for part in parts:
                if isinstance(part.columns, slice):
                    part.store.read_whole.add((expr.function, expr.range_ms))

    def run(self, run: Run) -> Vector:
        vectors = [self._read(run, part) for part in self._parts]
        if len(vectors) == 1:
            return vectors[0]
        if not vectors:
            return Vector(np.zeros((len(run.hosts), 0)), None)
        value = np.concatenate([vector.value for vector in vectors], axis=1)
        if all(vector.present is None for vector in vectors):
            return Vector(value, None)
        return Vector(value, np.concatenate([present_of(vector) for vector in vectors], axis=1))

    def _read(self, run: Run, part: Part) -> Vector:
        if isinstance(self._expr, Instant):
            return kernels.instant(run.view(part), part.columns, run.lookback_ms)
        read = (self._expr.function, self._expr.range_ms)
        if read not in part.store.read_whole:
            return kernels.over_range(read[0], run.view(part), part.columns, read[1])
        # Some rule reads every column so: the others take theirs of what that gives.
        whole = run.whole.get((part.store.number, *read))
        if whole is None:
            whole = kernels.over_range(read[0], run.view(part), slice(None), read[1])
            run.whole[(part.store.number, *read)] = whole
        if isinstance(part.columns, slice):
            return whole
        present = None if whole.present is None else whole.present[:, part.columns]
        return Vector(whole.value[:, part.columns], present)


class Negation:
    """Unary minus."""

    def __init__(self, operand: Node, labels: tuple[LabelSet, ...]) -> None:
        self.labels = labels
        self.children: tuple[Node, ...] = (operand,)

    def run(self, run: Run) -> Vector:
        value, present = run.of(self.children[0])
        return Vector(-value, present)


class Unique:
    """Passes a vector on as `labels`, failing the hosts for which two of its series have one label set."""

    def __init__(self, operand: Node, labels: tuple[LabelSet, ...]) -> None:
        self.labels = labels
        self.children: tuple[Node, ...] = (operand,)
        groups: dict[LabelSet, list[int]] = {}
        for i, each in enumerate(labels):
            groups.setdefault(each, []).append(i)
        self._twins = [columns for columns in groups.values() if len(columns) > 1]

    def run(self, run: Run) -> Vector:
        vector = run.of(self.children[0])
        if not self._twins:
            return vector
        present = present_of(vector)
        failed = np.zeros(len(present), dtype=np.bool_)
        for columns in self._twins:
            failed |= present[:, columns].sum(axis=1) > 1
        run.fail(self, failed, "vector cannot contain metrics with the same labelset")
        return vector


class Aggregation:
    """sum, avg, min, max or count of groups of series. `group` int[k] numbers each operand series' group."""

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
        if self._op in ("count", "avg"):
            count = np.broadcast_to(self._size, (len(value), len(self.labels)))
        if present is not None:
            present = present[:, self._order]
            count = np.add.reduceat(present, self._start, axis=1, dtype=np.float64)
        result = self._aggregate(value, present, count)
        return Vector(result, None if present is None else count > 0)

    def _aggregate(self, value: Float64Array, present: BoolArray | None, count: Float64Array) -> Float64Array:
        if self._op == "count":
            return count
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


def present_of(vector: Vector) -> BoolArray:
    """bool[h, k] also when every cell is present."""
    if vector.present is not None:
        return vector.present
    return np.ones(vector.value.shape, dtype=np.bool_)
