"""Nodes of functions that are not of a range: of values, of labels, of the time, and of what is absent."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fleetpulse.promql.kernels import Vector
from fleetpulse.promql.layout import LabelSet
from fleetpulse.promql.nodes import Node, Run, present_of
from fleetpulse.promql.rings import BoolArray

NO_LABELS: tuple[LabelSet, ...] = ((),)  # of a scalar, which is a vector of one series that is always there


class Constant:
    """A number."""

    labels = NO_LABELS
    children: tuple[Node, ...] = ()

    def __init__(self, value: float) -> None:
        self._value = value

    def run(self, run: Run) -> Vector:
        return Vector(np.full((len(run.hosts), 1), self._value), None)


class Now:
    """`time()`: the time of the tick in seconds."""

    labels = NO_LABELS
    children: tuple[Node, ...] = ()

    def run(self, run: Run) -> Vector:
        return Vector(run.at_ms[:, None] / 1000, None)


class Each:
    """A function of each value of a vector, and of scalars."""

    def __init__(
        self, function: Callable[..., Any], operand: Node, scalars: tuple[Node, ...], labels: tuple[LabelSet, ...]
    ) -> None:
        self.labels = labels
        self.children: tuple[Node, ...] = (operand, *scalars)
        self._function = function

    def run(self, run: Run) -> Vector:
        value, present = run.of(self.children[0])
        return Vector(self._function(value, *(run.of(scalar).value for scalar in self.children[1:])), present)


class Clamped(Each):
    """`clamp`: nothing when its bounds are the wrong way round."""

    def run(self, run: Run) -> Vector:
        vector = super().run(run)
        low, high = (run.of(scalar).value for scalar in self.children[1:])
        wrong = high < low
        return Vector(vector.value, present_of(vector) & ~wrong) if wrong.any() else vector


class Moment:
    """`timestamp` of what is not a selector: the time of the tick for every series."""

    def __init__(self, operand: Node, labels: tuple[LabelSet, ...]) -> None:
        self.labels = labels
        self.children: tuple[Node, ...] = (operand,)

    def run(self, run: Run) -> Vector:
        value, present = run.of(self.children[0])
        return Vector(np.broadcast_to(run.at_ms[:, None] / 1000, value.shape), present)


class Only:
    """`scalar`: the value of the only series, NaN when there is none or more."""

    labels = NO_LABELS

    def __init__(self, operand: Node) -> None:
        self.children: tuple[Node, ...] = (operand,)

    def run(self, run: Run) -> Vector:
        vector = run.of(self.children[0])
        present = present_of(vector)
        alone = present.sum(axis=1, keepdims=True) == 1
        if not len(self.children[0].labels):
            return Vector(np.full(alone.shape, np.nan), None)
        first = np.take_along_axis(vector.value, np.argmax(present, axis=1)[:, None], axis=1)
        return Vector(np.where(alone, first, np.nan), None)


class Absent:
    """`absent`: 1 where no series is there."""

    def __init__(self, operand: Node, labels: LabelSet) -> None:
        self.labels: tuple[LabelSet, ...] = (labels,)
        self.children: tuple[Node, ...] = (operand,)

    def run(self, run: Run) -> Vector:
        present = present_of(run.of(self.children[0]))
        found: BoolArray = np.logical_or.reduce(present, axis=1)[:, None]
        return Vector(np.ones((len(present), 1)), ~found)
