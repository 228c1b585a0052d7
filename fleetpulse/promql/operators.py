"""Binary operators between a vector and a number, and between two vectors matched one to one."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fleetpulse.frames import Float64Array
from fleetpulse.promql.kernels import Vector
from fleetpulse.promql.layout import LabelSet
from fleetpulse.promql.nodes import Node, Run, present_of
from fleetpulse.promql.rings import BoolArray

# As in Go: float division by zero is an infinity or NaN, % is math.Mod (C's fmod), ^ is math.Pow.
ARITHMETIC: Mapping[str, Any] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.float_power,
}
COMPARISONS: Mapping[str, Any] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
_MANY = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
_TWINS = "found duplicate series for the match group on the right hand-side of operator {}"


class WithNumber:
    """``vector op number``, or ``number op vector`` when `swapped`."""

    def __init__(
        self, op: str, vector: Node, number: float, swapped: bool, returns_bool: bool, labels: tuple[LabelSet, ...]
    ) -> None:
        self.labels = labels
        self.children: tuple[Node, ...] = (vector,)
        self._op, self._number, self._swapped, self._returns_bool = op, number, swapped, returns_bool

    def run(self, run: Run) -> Vector:
        value, present = run.of(self.children[0])
        if self._swapped:
            return _applied(self._op, self._number, value, self._returns_bool, value, present)
        return _applied(self._op, value, self._number, self._returns_bool, value, present)


class OneToOne:
    """``vector op vector``: series with equal signatures, `left_group` and `right_group`, are partners."""

    def __init__(
        self,
        op: str,
        left: Node,
        right: Node,
        signatures: tuple[list[LabelSet], list[LabelSet]],
        returns_bool: bool,
        labels: list[LabelSet],
    ) -> None:
        self.children: tuple[Node, ...] = (left, right)
        self._op, self._returns_bool = op, returns_bool
        by_signature: dict[LabelSet, list[int]] = {}
        for j, signature in enumerate(signatures[1]):
            by_signature.setdefault(signature, []).append(j)
        pairs = [(i, j) for i, signature in enumerate(signatures[0]) for j in by_signature.get(signature, ())]
        self._left = np.array([i for i, _ in pairs], dtype=np.intp)
        self._right = np.array([j for _, j in pairs], dtype=np.intp)
        self.labels = tuple(labels[i] for i in self._left)
        self._right_twins = [columns for columns in by_signature.values() if len(columns) > 1]
        rivals: dict[LabelSet, list[int]] = {}
        for k, (i, _) in enumerate(pairs):
            rivals.setdefault(signatures[0][i], []).append(k)
        self._rivals = [ks for ks in rivals.values() if len(ks) > 1]

    def run(self, run: Run) -> Vector:
        left, right = (run.of(child) for child in self.children)
        present: BoolArray | None = None
        if left.present is not None or right.present is not None:
            present = present_of(left)[:, self._left] & present_of(right)[:, self._right]
        value = left.value[:, self._left]
        result = _applied(self._op, value, right.value[:, self._right], self._returns_bool, value, present)
        if self._right_twins or self._rivals:
            self._check(run, left, right, result)
        return result

    def _check(self, run: Run, left: Vector, right: Vector, result: Vector) -> None:
        failed = np.zeros(len(result.value), dtype=np.bool_)
        for columns in self._rivals:
            failed |= present_of(result)[:, columns].sum(axis=1) > 1
        run.fail(self, failed, _MANY)
        twins = np.zeros(len(result.value), dtype=np.bool_)
        for columns in self._right_twins:
            twins |= present_of(right)[:, columns].sum(axis=1) > 1
        twins &= present_of(left).any(axis=1)
        if twins.any():
            run.fail(self, failed | twins, _TWINS.format(self._op))


def _applied(
    op: str,
    left: Float64Array | float,
    right: Float64Array | float,
    returns_bool: bool,
    kept: Float64Array,
    present: BoolArray | None,
) -> Vector:
    """The operator's vector; a comparison that filters gives the values of `kept`."""
    if op in ARITHMETIC:
        return Vector(ARITHMETIC[op](left, right), present)
    holds: BoolArray = COMPARISONS[op](left, right)
    if returns_bool:
        return Vector(holds.astype(np.float64), present)
    return Vector(kept, holds if present is None else holds & present)
