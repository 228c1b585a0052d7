"""Expressions to nodes, for hosts whose selectors take the same columns: the label algebra is done here, once."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from fleetpulse.promql.layout import LabelSet
from fleetpulse.promql.nodes import Aggregation, Leaf, Negation, Node, Part, Unique
from fleetpulse.promql.operators import ARITHMETIC, COMPARISONS, OneToOne, WithNumber
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
    is_scalar,
    selections,
)

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
        """The node of a vector expression; `parts` has an entry for each of its selections."""
        key = (expr, tuple(parts[leaf][1] for leaf in selections(expr)))
        node = self._known.get(key)
        if node is None:
            node = self._known[key] = unique(self._compiled(expr, parts))
        return node

    def _compiled(self, expr: Expr, parts: Parts) -> Node:
        if isinstance(expr, Instant | OverRange):
            return _leaf(expr, parts[expr][0])
        if isinstance(expr, Negate):
            operand = self.node(expr.operand, parts)
            return Negation(operand, _nameless(operand.labels))
        if isinstance(expr, Aggregate):
            return _aggregation(expr, self.node(expr.operand, parts))
        assert isinstance(expr, Binary)
        return self._binary(expr, parts)

    def _binary(self, expr: Binary, parts: Parts) -> Node:
        filters = expr.op in COMPARISONS and not expr.returns_bool
        for swapped, number, vector in ((True, expr.left, expr.right), (False, expr.right, expr.left)):
            if is_scalar(number):
                operand = self.node(vector, parts)
                labels = operand.labels if filters else _nameless(operand.labels)
                return WithNumber(expr.op, operand, scalar(number), swapped, expr.returns_bool, labels)
        left, right = self.node(expr.left, parts), self.node(expr.right, parts)
        of = _grouping(expr.matching.on, expr.matching.labels)
        signatures = [of(labels) for labels in left.labels], [of(labels) for labels in right.labels]
        names = left.labels if filters else _nameless(left.labels)
        return OneToOne(expr.op, left, right, signatures, expr.returns_bool, _matched(names, expr.matching))


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


def _leaf(expr: Instant | OverRange, parts: tuple[Part, ...]) -> Node:
    labels = tuple(labels for part in parts for labels in part.labels)
    keeps_name = isinstance(expr, Instant) or expr.function == "last_over_time"
    return Leaf(expr, parts, labels if keeps_name else _nameless(labels))


def _aggregation(expr: Aggregate, operand: Node) -> Node:
    of = _grouping(expr.by, expr.labels)
    numbers: dict[LabelSet, int] = {}
    group = [numbers.setdefault(of(labels), len(numbers)) for labels in operand.labels]
    return Aggregation(expr.op, operand, group, tuple(numbers))


def _grouping(keeps: bool, names: tuple[str, ...]) -> Callable[[LabelSet], LabelSet]:
    """What of a label set counts: for ``by`` and ``on`` the names, for ``without`` and ``ignoring`` the others."""
    if keeps:
        return lambda labels: _only(labels, names.__contains__)
    dropped = {NAME, *names}
    return lambda labels: _only(labels, lambda name: name not in dropped)


def _matched(labels: tuple[LabelSet, ...], matching: Matching) -> list[LabelSet]:
    """The labels that one-to-one matching leaves of the left side."""
    if matching.on:
        return [_only(each, matching.labels.__contains__) for each in labels]
    return [_only(each, lambda name: name not in matching.labels) for each in labels]


def _nameless(labels: tuple[LabelSet, ...]) -> tuple[LabelSet, ...]:
    return tuple(_only(each, lambda name: name != NAME) for each in labels)


def _only(labels: LabelSet, kept: Callable[[str], bool]) -> LabelSet:
    return tuple(pair for pair in labels if kept(pair[0]))
