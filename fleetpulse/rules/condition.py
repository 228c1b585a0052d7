"""The comparison in a rule's expression, taken apart: so a value is shown also where the condition does not hold."""

from dataclasses import dataclass
from typing import Any

import promql_parser as grammar

from fleetpulse.promql.syntax import COMPARISONS
from fleetpulse.rules.model import Rule, Threshold

_FLIPPED = {">": "<", "<": ">", ">=": "<=", "<=": ">="}


@dataclass(frozen=True, slots=True)
class Condition:
    """`value` is PromQL without the comparison; `text` is what it is compared with, ``> 0.8``; empty: nothing.

    `threshold` is None where the other side is no number.
    """

    value: str
    text: str = ""
    threshold: Threshold | None = None


def condition_of(rule: Rule) -> Condition:
    """The condition of an alerting rule that can be parsed; of several that must hold together, the first."""
    return Condition(rule.expr) if rule.has_thresholds else _condition(grammar.parse(rule.expr))


def _condition(node: Any) -> Condition:
    if isinstance(node, grammar.ParenExpr):
        return _condition(node.expr)
    if not isinstance(node, grammar.BinaryExpr):
        return Condition(node.prettify())
    op = str(node.op)
    if op in ("and", "unless"):
        left = _condition(node.lhs)
        return left if left.text or op == "unless" else _condition(node.rhs)
    if op not in COMPARISONS or (node.modifier is not None and node.modifier.return_bool):
        return Condition(node.prettify())
    left_number, right_number = _number(node.lhs), _number(node.rhs)
    if left_number is not None:
        threshold = Threshold(_FLIPPED.get(op, op), left_number)
        return Condition(node.rhs.prettify(), str(threshold), threshold)
    if right_number is not None:
        threshold = Threshold(op, right_number)
        return Condition(node.lhs.prettify(), str(threshold), threshold)
    return Condition(node.lhs.prettify(), f"{op} {node.rhs.prettify()}")


def _number(node: Any) -> float | None:
    """The value of a number as rules write it: ``0.8``, ``-(5)``, ``24 * 3600``."""
    match node:
        case grammar.NumberLiteral():
            return float(node.val)
        case grammar.ParenExpr():
            return _number(node.expr)
        case grammar.UnaryExpr():
            value = _number(node.expr)
            return None if value is None else -value
        case grammar.BinaryExpr():
            left, right = _number(node.lhs), _number(node.rhs)
            if left is None or right is None:
                return None
            op = str(node.op)
            known = {"+": left + right, "-": left - right, "*": left * right, "/": left / right if right else None}
            return known.get(op)
        case _:
            return None
