"""Compiled expressions: a tree of nodes that gives one vector a host, for many hosts of one layout at once.

A node's series are known when it is compiled (`labels`); which of them have a value at a tick is known only
when it runs (`Vector.present`). What PromQL answers with an error (two partners in one-to-one matching, equal
label sets) depends on the tick: the hosts concerned are noted in `Run.failed`, the others go on.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fleetpulse.frames import Int64Array
from fleetpulse.promql import kernels
from fleetpulse.promql.kernels import Vector, View
from fleetpulse.promql.layout import LabelSet
from fleetpulse.promql.long_windows import Window, long_window, of_columns, over_window
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
    views: dict[tuple[int, int], View] = field(default_factory=dict)  # by (store number, offset)
    timelines: dict[int, list[Timeline]] = field(default_factory=dict)  # by offset
    keys: dict[int, Any] = field(default_factory=dict)
    whole: dict[tuple[int, str, int, int], Vector] = field(default_factory=dict)  # by store number and what is read

    def of(self, node: "Node") -> Vector:
        """The vector of a node: float64[h, its labels]."""
        result = self.results.get(id(node))
        if result is None:
            result = self.results[id(node)] = node.run(self)
        return result

    def view(self, part: "Part", offset_ms: int = 0) -> View:
        """The hosts' rings of a part, at the ticks or as long before."""
        view = self.views.get((part.store.number, offset_ms))
        if view is None:
            rings, rows = part.store.rings, part.metric.row_of[self.hosts]
            timelines = self.timelines.setdefault(offset_ms, [])
            at_ms = timelines[0].at_ms if timelines else self.at_ms - offset_ms
            timeline = next((known for known in timelines[:_MOST_TIMELINES] if known.fits(rings, rows)), None)
            if timeline is None:
                timeline = Timeline(rings, rows, at_ms, None if offset_ms else self.newer)
                timelines.append(timeline)
            view = self.views[part.store.number, offset_ms] = View(rings, rows, at_ms, timeline)
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
    """An instant selector or a range function. `scalars` are the function's numbers at each tick.

    `times`: of an instant selector the times of the samples in seconds, not their values.
    """

    def __init__(
        self,
        expr: Instant | OverRange,
        parts: tuple[Part, ...],
        labels: tuple[LabelSet, ...],
        scalars: tuple[Node, ...] = (),
        times: bool = False,
    ) -> None:
        self.labels = labels
        self.children: tuple[Node, ...] = scalars
        self._expr = expr
        self._parts = parts
        self._times = times
        self._instant = kernels.instant_times if times else kernels.instant
        if isinstance(expr, OverRange) and not scalars:
            for part in parts:
                if isinstance(part.columns, slice):
                    part.store.read_whole.add((expr.function, expr.range_ms, expr.offset_ms))

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
        expr = self._expr
        window = long_window(expr, run.lookback_ms)
        if window is not None:
            return self._read_long(run, part, window)
        view = run.view(part, expr.offset_ms)
        if isinstance(expr, Instant):
            return self._instant(view, part.columns, run.lookback_ms)
        if self.children:
            args = tuple(run.of(child).value for child in self.children)
            return kernels.over_range(expr.function, view, part.columns, expr.range_ms, args)
        read = (expr.function, expr.range_ms, expr.offset_ms)
        if read not in part.store.read_whole:
            return kernels.over_range(expr.function, view, part.columns, expr.range_ms)
        # Some rule reads every column so: the others take theirs of what that gives.
        whole = run.whole.get((part.store.number, *read))
        if whole is None:
            whole = kernels.over_range(expr.function, view, slice(None), expr.range_ms)
            run.whole[part.store.number, *read] = whole
        if isinstance(part.columns, slice):
            return whole
        present = None if whole.present is None else whole.present[:, part.columns]
        return Vector(whole.value[:, part.columns], present)

    def _read_long(self, run: Run, part: Part, window: Window) -> Vector:
        key = (part.store.number, window.function, window.range_ms, window.offset_ms)
        whole = None if self.children or self._times else run.whole.get(key)
        if whole is None:
            rows, minutes = part.metric.row_of[run.hosts], part.store.minutes[window.width_ms]
            args = tuple(run.of(child).value for child in self.children)
            whole = over_window(window, minutes, rows, run.at_ms, args, self._times)
            if not (self.children or self._times):
                run.whole[key] = whole
        return of_columns(whole, part.columns)


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


def present_of(vector: Vector) -> BoolArray:
    """bool[h, k] also when every cell is present."""
    if vector.present is not None:
        return vector.present
    return np.ones(vector.value.shape, dtype=np.bool_)
