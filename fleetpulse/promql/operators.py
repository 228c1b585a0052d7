"""Binary operators between a vector and a number, and between two vectors whose series are matched by labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fleetpulse.frames import Float64Array
from fleetpulse.promql.kernels import Vector
from fleetpulse.promql.layout import LabelSet
from fleetpulse.promql.nodes import Node, Run, present_of
from fleetpulse.promql.rings import BoolArray
from fleetpulse.promql.syntax import Binary

# As in Go: float division by zero is an infinity or NaN, % is math.Mod (C's fmod), ^ is math.Pow.
ARITHMETIC: Mapping[str, Any] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.float_power,
    "atan2": np.arctan2,
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
_MANY_TWINS = "multiple matches for labels: grouping labels must ensure unique matches"
_TWINS = "found duplicate series for the match group on the {} hand-side of operator {}"


class WithNumber:
    """``vector op number``, or ``number op vector`` when `swapped`; the number may be another at each tick."""

    def __init__(
        self,
        op: str,
        vector: Node,
        number: float | Node,
        swapped: bool,
        returns_bool: bool,
        labels: tuple[LabelSet, ...],
    ) -> None:
        self.labels = labels
        self.children: tuple[Node, ...] = (vector,) if isinstance(number, float) else (vector, number)
        self._number = number if isinstance(number, float) else None
        self._op, self._swapped, self._returns_bool = op, swapped, returns_bool

    def run(self, run: Run) -> Vector:
        value, present = run.of(self.children[0])
        number = run.of(self.children[1]).value if self._number is None else self._number
        if self._swapped:
            return _applied(self._op, number, value, self._returns_bool, value, present)
        return _applied(self._op, value, number, self._returns_bool, value, present)


Pairs = Sequence[tuple[int, int]]  # (column on the left, column on the right)


def pairs_of(signatures: tuple[list[LabelSet], list[LabelSet]]) -> Pairs:
    """The columns of both sides that have the same signature."""
    by_signature: dict[LabelSet, list[int]] = {}
    for j, signature in enumerate(signatures[1]):
        by_signature.setdefault(signature, []).append(j)
    return [(i, j) for i, signature in enumerate(signatures[0]) for j in by_signature.get(signature, ())]


class Matched:
    """``vector op vector``: series with equal signatures are partners, and each pair of them has its label set.

    `many`: the side of which several may have the same partner, empty for one-to-one.
    """

    def __init__(
        self,
        expr: Binary,
        left: Node,
        right: Node,
        signatures: tuple[list[LabelSet], list[LabelSet]],
        pairs: Pairs,
        labels: tuple[LabelSet, ...],
    ) -> None:
        self.labels = labels
        self.children: tuple[Node, ...] = (left, right)
        self._op, self._returns_bool = expr.op, expr.returns_bool
        self._left = np.array([i for i, _ in pairs], dtype=np.intp)
        self._right = np.array([j for _, j in pairs], dtype=np.intp)
        many = expr.matching.many
        one = 0 if many == "right" else 1
        self._one = one
        self._twins = _groups_of(signatures[one])
        # Results of which a host may have one only.
        signature = [signatures[0][i] for i, _ in pairs]
        self._rivals = _groups_of(list(zip(signature, labels, strict=True)) if many else signature)
        self._sentence = _MANY_TWINS if many else _MANY
        self._twins_sentence = _TWINS.format("left" if one == 0 else "right", expr.op)

    def run(self, run: Run) -> Vector:
        left, right = (run.of(child) for child in self.children)
        present: BoolArray | None = None
        if left.present is not None or right.present is not None:
            present = present_of(left)[:, self._left] & present_of(right)[:, self._right]
        value = left.value[:, self._left]
        result = _applied(self._op, value, right.value[:, self._right], self._returns_bool, value, present)
        if self._twins or self._rivals:
            # Partners count, not results: a comparison that is false hides no ambiguity (since Prometheus 3.9).
            self._check(run, (left, right), present_of(Vector(value, present)))
        return result

    def _check(self, run: Run, sides: tuple[Vector, Vector], partners: BoolArray) -> None:
        failed = _several(partners, self._rivals)
        run.fail(self, failed, self._sentence)
        one, other = sides[self._one], sides[1 - self._one]
        twins = _several(present_of(one), self._twins)
        twins &= present_of(other).any(axis=1)
        if twins.any():
            run.fail(self, failed | twins, self._twins_sentence)


class SetOperation:
    """``and``, ``or`` and ``unless``: series of the left side with or without one of equal signature on the right."""

    def __init__(self, op: str, left: Node, right: Node, signatures: tuple[list[LabelSet], list[LabelSet]]) -> None:
        self.labels = left.labels + right.labels if op == "or" else left.labels
        self.children: tuple[Node, ...] = (left, right)
        self._op = op
        self._equal: BoolArray = np.array(
            [[one == other for other in signatures[1]] for one in signatures[0]], dtype=np.bool_
        ).reshape(len(signatures[0]), len(signatures[1]))

    def run(self, run: Run) -> Vector:
        left, right = (run.of(child) for child in self.children)
        if self._op == "or":
            alone = present_of(right) & ~_meets(present_of(left), self._equal)
            value = np.concatenate([left.value, right.value], axis=1)
            return Vector(value, np.concatenate([present_of(left), alone], axis=1))
        met = _meets(present_of(right), self._equal.T)
        return Vector(left.value, present_of(left) & (met if self._op == "and" else ~met))


def _meets(present: BoolArray, equal: BoolArray) -> BoolArray:
    """bool[h, m]: whether any of the k series that are present is equal (bool[k, m]) to each of m others."""
    met: BoolArray = present @ equal
    return met


def _groups_of(each: Sequence[object]) -> list[list[int]]:
    """The places of what is there more than once."""
    groups: dict[object, list[int]] = {}
    for place, one in enumerate(each):
        groups.setdefault(one, []).append(place)
    return [places for places in groups.values() if len(places) > 1]


def _several(present: BoolArray, groups: list[list[int]]) -> BoolArray:
    """bool[h]: hosts of which two series of a group are present."""
    several = np.zeros(len(present), dtype=np.bool_)
    for columns in groups:
        several |= present[:, columns].sum(axis=1) > 1
    return several


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
