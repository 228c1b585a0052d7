"""PromQL written the slow and plain way, one series at a time: what the engine is compared with.

Prometheus 3's semantics; `version=2` takes 2.x's order of the two limits of a counter's extrapolation, and refuses many
partners of one-to-one only where the comparison holds (windows stay left-open: between two samples both agree on them).
"""

import math
import operator
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from fleetpulse.metric import STALE_NAN_BITS
from fleetpulse.promql.syntax import (
    NAME,
    Aggregate,
    Binary,
    Expr,
    Instant,
    Matching,
    Negate,
    Number,
    OverRange,
    Selector,
)

Labels = frozenset[tuple[str, str]]
Points = Sequence[tuple[int, float]]
Vector = dict[Labels, float]


class EvaluationError(Exception):
    """Prometheus would refuse to evaluate this."""


def is_stale(value: float) -> bool:
    return bool(struct.unpack("<Q", struct.pack("<d", value))[0] == STALE_NAN_BITS)


class Reference:
    """Evaluates expressions over `data`: label sets (with ``__name__``) to points ordered by time in ms."""

    def __init__(self, data: Mapping[Labels, Points], lookback_ms: int = 300_000, version: int = 3) -> None:
        self._data = data
        self._lookback_ms = lookback_ms
        self._version = version

    def vector(self, expr: Expr, at_ms: int) -> Vector:
        match expr:
            case Instant():
                return self._instant(expr.selector, at_ms)
            case OverRange():
                return self._over_range(expr, at_ms)
            case Negate():
                return _unique((_without_name(k), -v) for k, v in self.vector(expr.operand, at_ms).items())
            case Aggregate():
                return _aggregate(expr, self.vector(expr.operand, at_ms))
            case Binary():
                return self._binary(expr, at_ms)
            case _:
                raise AssertionError(f"the reference does not know {expr}")

    def _selected(self, selector: Selector) -> list[Labels]:
        return [
            labels for labels in self._data if all(m.matches(dict(labels).get(m.name, "")) for m in selector.matchers)
        ]

    def _window(self, labels: Labels, at_ms: int, range_ms: int) -> list[tuple[int, float]]:
        return [(ts, value) for ts, value in self._data[labels] if at_ms - range_ms < ts <= at_ms]

    def _instant(self, selector: Selector, at_ms: int) -> Vector:
        found = {labels: self._window(labels, at_ms, self._lookback_ms) for labels in self._selected(selector)}
        return {labels: points[-1][1] for labels, points in found.items() if points and not is_stale(points[-1][1])}

    def _over_range(self, expr: OverRange, at_ms: int) -> Vector:
        results = []
        for labels in self._selected(expr.selector):
            points = [p for p in self._window(labels, at_ms, expr.range_ms) if not is_stale(p[1])]
            value = self._function(expr, points, at_ms)
            if value is not None:
                results.append((labels if expr.function == "last_over_time" else _without_name(labels), value))
        return _unique(results)

    def _function(self, expr: OverRange, points: Points, at_ms: int) -> float | None:
        values = [value for _, value in points]
        if expr.function in ("rate", "increase"):
            return self._rate(expr, points, at_ms) if len(points) > 1 else None
        if not values:
            return None
        if expr.function == "avg_over_time":
            return _mean(values)
        if expr.function == "last_over_time":
            return values[-1]
        return _extreme(values, operator.lt if expr.function == "min_over_time" else operator.gt)

    def _rate(self, expr: OverRange, points: Points, at_ms: int) -> float:
        (first_ts, first), (last_ts, last) = points[0], points[-1]
        gain = last - first
        for (_, before), (_, after) in pairwise(points):
            if after < before:
                gain += before
        interval = (last_ts - first_ts) / 1000
        average = interval / (len(points) - 1)
        to_start = (first_ts - (at_ms - expr.range_ms)) / 1000
        to_end = (at_ms - last_ts) / 1000
        zero = interval * (first / gain) if gain > 0 and first >= 0 else math.inf
        if self._version == 2:
            to_start = min(to_start, zero) if zero == zero else to_start
        to_start = to_start if to_start < average * 1.1 else average / 2
        if self._version == 3:
            to_start = zero if zero < to_start else to_start
        to_end = to_end if to_end < average * 1.1 else average / 2
        factor = (interval + to_start + to_end) / interval
        return gain * (factor / (expr.range_ms / 1000) if expr.function == "rate" else factor)

    def _binary(self, expr: Binary, at_ms: int) -> Vector:
        sides = [self._scalar(expr.left), self._scalar(expr.right)]
        if sides[0] is None and sides[1] is None:
            both = self.vector(expr.left, at_ms), self.vector(expr.right, at_ms)
            return _matched(expr, *both, self._version)
        vector = self.vector(expr.right if sides[1] is None else expr.left, at_ms)
        results = []
        for labels, value in vector.items():
            left, right = (sides[0], value) if sides[0] is not None else (value, sides[1])
            assert left is not None
            assert right is not None
            result = _applied(expr, left, right, value)
            if result is not None:
                keeps = expr.op in _COMPARISONS and not expr.returns_bool
                results.append((labels if keeps else _without_name(labels), result))
        return _unique(results)

    def _scalar(self, expr: Expr) -> float | None:
        match expr:
            case Number():
                return expr.value
            case Negate():
                value = self._scalar(expr.operand)
                return None if value is None else -value
            case Binary():
                left, right = self._scalar(expr.left), self._scalar(expr.right)
                return None if left is None or right is None else _applied(expr, left, right, left)
            case _:
                return None


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    return math.nan if not left or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1, right)


def _mod(left: float, right: float) -> float:
    return math.nan if not right or math.isinf(left) else math.fmod(left, right)


def _power(left: float, right: float) -> float:
    try:
        return math.pow(left, right)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.inf if left == 0 else math.nan


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _mod,
    "^": _power,
}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _applied(expr: Binary, left: float, right: float, kept: float) -> float | None:
    if expr.op in _ARITHMETIC:
        return _ARITHMETIC[expr.op](left, right)
    holds = _COMPARISONS[expr.op](left, right)
    if expr.returns_bool:
        return float(holds)
    return kept if holds else None


def _matched(expr: Binary, left: Vector, right: Vector, version: int) -> Vector:
    if not left or not right:
        return {}
    partners: dict[Labels, float] = {}
    for labels, value in right.items():
        signature = _signature(labels, expr.matching)
        if signature in partners:
            raise EvaluationError("duplicate series on the right")
        partners[signature] = value
    results: Vector = {}
    taken = set()
    for labels, value in left.items():
        signature = _signature(labels, expr.matching)
        if signature not in partners:
            continue
        result = _applied(expr, value, partners[signature], value)
        if result is None and version == 2:
            continue
        if signature in taken:
            raise EvaluationError("many-to-one")
        taken.add(signature)
        if result is None:
            continue
        filters = expr.op in _COMPARISONS and not expr.returns_bool
        names = expr.matching.labels
        kept = {(n, v) for n, v in labels if (n in names) == expr.matching.on}
        results[frozenset(kept if filters else {(n, v) for n, v in kept if n != NAME})] = result
    return results


def _signature(labels: Labels, matching: Matching) -> Labels:
    if matching.on:
        return frozenset((n, v) for n, v in labels if n in matching.labels)
    return frozenset((n, v) for n, v in labels if n != NAME and n not in matching.labels)


def _aggregate(expr: Aggregate, vector: Vector) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        kept = frozenset((n, v) for n, v in labels if (n in expr.labels) == expr.by and (expr.by or n != NAME))
        groups.setdefault(kept, []).append(value)
    functions: Mapping[str, Callable[[list[float]], float]] = {
        "sum": math.fsum if all(map(math.isfinite, vector.values())) else sum,
        "avg": _mean,
        "count": len,
        "min": lambda values: _extreme(values, operator.lt),
        "max": lambda values: _extreme(values, operator.gt),
    }
    return {labels: float(functions[expr.op](values)) for labels, values in groups.items()}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _extreme(values: list[float], better: Callable[[float, float], bool]) -> float:
    best = values[0]
    for value in values[1:]:
        if better(value, best) or math.isnan(best):
            best = value
    return best


def _without_name(labels: Labels) -> Labels:
    return frozenset(pair for pair in labels if pair[0] != NAME)


def _unique(results: object) -> Vector:
    vector: Vector = {}
    for labels, value in results:  # type: ignore[attr-defined]
        if labels in vector:
            raise EvaluationError("same labelset")
        vector[labels] = value
    return vector
