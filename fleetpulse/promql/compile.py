"""Expressions to nodes, for hosts whose selectors take the same columns: the label algebra is done here, once."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from fleetpulse.promql.aggregation import Aggregation, Best, Spread
from fleetpulse.promql.calls import Absent, Clamped, Constant, Each, Moment, Now, Only
from fleetpulse.promql.histograms import Buckets
from fleetpulse.promql.layout import LabelSet
from fleetpulse.promql.nodes import Leaf, Negation, Node, Part, Unique
from fleetpulse.promql.operators import ARITHMETIC, COMPARISONS, Matched, SetOperation, WithNumber, pairs_of
from fleetpulse.promql.relabel import relabelled
from fleetpulse.promql.syntax import (
    KEEP_NAME,
    LABEL_FUNCTIONS,
    NAME,
    SET_OPERATORS,
    SORTS,
    Aggregate,
    Anchored,
    Binary,
    Call,
    Expr,
    Instant,
    Matching,
    Negate,
    Number,
    OverRange,
    is_constant,
    is_scalar,
    selections,
)
from fleetpulse.promql.values import VALUE_FUNCTIONS

PartsKey: TypeAlias = tuple[tuple[int, bytes], ...]  # (store number, its columns) of each part
Parts: TypeAlias = Mapping[Instant | OverRange, tuple[tuple[Part, ...], PartsKey]]


class Compiler:
    """Compiles expressions; equal expressions over the same columns become one node."""

    def __init__(self) -> None:
        self._known: dict[tuple[Expr, tuple[PartsKey, ...]], Node] = {}

    def forget(self) -> None:
        """Drop what is known; nodes in use go on."""
        self._known.clear()

    def node(self, expr: Expr, parts: Parts) -> Node:
        """The node of an expression; `parts` has an entry for each of its selections."""
        if isinstance(expr, Anchored):
            return self.node(expr.operand, parts)
        key = (expr, tuple(parts[leaf][1] for leaf in selections(expr)))
        node = self._known.get(key)
        if node is None:
            node = self._known[key] = unique(self._compiled(expr, parts))
        return node

    def _compiled(self, expr: Expr, parts: Parts) -> Node:
        if is_constant(expr):
            return Constant(scalar(expr))
        match expr:
            case Instant():
                return _leaf(expr, parts[expr][0], ())
            case OverRange():
                return _leaf(expr, parts[expr][0], tuple(self.node(arg, parts) for arg in expr.args))
            case Negate():
                operand = self.node(expr.operand, parts)
                return Negation(operand, _nameless(operand.labels))
            case Aggregate():
                return self._aggregation(expr, parts)
            case Call():
                return self._call(expr, parts)
            case Binary():
                return self._binary(expr, parts)
            case _:
                raise AssertionError(expr)

    def _call(self, expr: Call, parts: Parts) -> Node:
        name = expr.function
        if name == "time":
            return Now()
        if name == "timestamp" and isinstance(expr.args[0], Instant):
            return _leaf(expr.args[0], parts[expr.args[0]][0], (), times=True)
        nodes = [self.node(arg, parts) for arg in expr.args]
        if name == "histogram_quantile":
            return Buckets(nodes[0], nodes[1])
        operand, *scalars = nodes
        if name in ("vector", *SORTS):  # the order of a rule's result means nothing
            return operand
        if name in LABEL_FUNCTIONS:
            return Unique(operand, relabelled(expr, operand.labels))
        if name == "scalar":
            return Only(operand)
        if name in ("absent", "absent_over_time"):
            return Absent(operand, _labels_of_absent(expr))
        labels = _nameless(operand.labels)
        if name == "timestamp":
            return Moment(operand, labels)
        each = Clamped if name == "clamp" else Each
        return each(VALUE_FUNCTIONS[name], operand, tuple(scalars), labels)

    def _aggregation(self, expr: Aggregate, parts: Parts) -> Node:
        operand = self.node(expr.operand, parts)
        of = _grouping(expr.by, expr.labels)
        numbers: dict[LabelSet, int] = {}
        group = [numbers.setdefault(of(labels), len(numbers)) for labels in operand.labels]
        param = None if expr.param is None else self.node(expr.param, parts)
        if expr.op in ("topk", "bottomk"):
            assert param is not None
            return Best(expr.op, operand, param, group, len(numbers))
        if expr.op in ("stddev", "stdvar", "quantile"):
            return Spread(expr.op, operand, group, tuple(numbers), param)
        return Aggregation(expr.op, operand, group, tuple(numbers))

    def _binary(self, expr: Binary, parts: Parts) -> Node:
        filters = expr.op in COMPARISONS and not expr.returns_bool
        for swapped, number, vector in ((True, expr.left, expr.right), (False, expr.right, expr.left)):
            if is_scalar(number):
                operand = self.node(vector, parts)
                labels = operand.labels if filters else _nameless(operand.labels)
                value = scalar(number) if is_constant(number) else self.node(number, parts)
                return WithNumber(expr.op, operand, value, swapped, expr.returns_bool, labels)
        left, right = self.node(expr.left, parts), self.node(expr.right, parts)
        of = _grouping(expr.matching.on, expr.matching.labels)
        signatures = [of(labels) for labels in left.labels], [of(labels) for labels in right.labels]
        if expr.op in SET_OPERATORS:
            return SetOperation(expr.op, left, right, signatures)
        pairs = pairs_of(signatures)
        labels = tuple(_matched(left.labels[i], right.labels[j], expr.matching) for i, j in pairs)
        return Matched(expr, left, right, signatures, pairs, labels if filters else _nameless(labels))


def scalar(expr: Expr) -> float:
    """The value of an expression of numbers only."""
    if isinstance(expr, Number):
        return expr.value
    if isinstance(expr, Negate):
        return -scalar(expr.operand)
    assert isinstance(expr, Binary)
    with np.errstate(all="ignore"):
        table = ARITHMETIC if expr.op in ARITHMETIC else COMPARISONS
        return float(table[expr.op](scalar(expr.left), scalar(expr.right)))


def unique(node: Node) -> Node:
    """The node, failing hosts for which two series have one label set where that can happen."""
    return node if len(set(node.labels)) == len(node.labels) else Unique(node, node.labels)


def without_name(node: Node) -> Node:
    """The node without ``__name__``, as a rule's result has it."""
    labels = _nameless(node.labels)
    if labels == node.labels:
        return node
    return Unique(node, labels)


def all_nodes(node: Node) -> list[Node]:
    """The node and all below it."""
    return [node, *(below for child in node.children for below in all_nodes(child))]


def _leaf(expr: Instant | OverRange, parts: tuple[Part, ...], scalars: tuple[Node, ...], times: bool = False) -> Node:
    labels = tuple(labels for part in parts for labels in part.labels)
    keeps_name = not times if isinstance(expr, Instant) else expr.function in KEEP_NAME
    return Leaf(expr, parts, labels if keeps_name else _nameless(labels), scalars, times)


def _labels_of_absent(expr: Call) -> LabelSet:
    """The labels that a selector's matchers give by equality, each once; of what is no selector none."""
    argument = expr.args[0]
    takes = Instant if expr.function == "absent" else OverRange
    if not isinstance(argument, takes):
        return ()
    assert isinstance(argument, Instant | OverRange)
    matchers = [m for m in argument.selector.matchers if m.name != NAME]
    given: dict[str, str] = {}
    for i, m in enumerate(matchers):
        first = all(other.name != m.name or other.op != "=" for other in matchers[:i])
        if m.op == "=" and first:
            given[m.name] = m.value
        else:
            given.pop(m.name, None)
    return tuple(sorted((name, value) for name, value in given.items() if value))


def _grouping(keeps: bool, names: tuple[str, ...]) -> Callable[[LabelSet], LabelSet]:
    """What of a label set counts: for ``by`` and ``on`` the names, for ``without`` and ``ignoring`` the others."""
    if keeps:
        return lambda labels: _only(labels, names.__contains__)
    dropped = {NAME, *names}
    return lambda labels: _only(labels, lambda name: name not in dropped)


def _matched(left: LabelSet, right: LabelSet, matching: Matching) -> LabelSet:
    """The labels of a pair."""
    if not matching.many:
        if matching.on:
            return _only(left, matching.labels.__contains__)
        return _only(left, lambda name: name not in matching.labels)
    own, other = (left, right) if matching.many == "left" else (right, left)
    taken = [(name, value) for name, value in other if name in matching.include]
    return tuple(sorted([*_only(own, lambda name: name not in matching.include), *taken]))


def _nameless(labels: tuple[LabelSet, ...]) -> tuple[LabelSet, ...]:
    return tuple(_only(each, lambda name: name != NAME) for each in labels)


def _only(labels: LabelSet, kept: Callable[[str], bool]) -> LabelSet:
    return tuple(pair for pair in labels if kept(pair[0]))
