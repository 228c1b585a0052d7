"""PromQL text to the expressions of `syntax.py`; what does not run on the stream is refused by name."""

import difflib
import re
from datetime import timedelta
from typing import Any

import promql_parser as grammar

from fleetpulse.errors import RuleError
from fleetpulse.promql.syntax import (
    AGGREGATIONS,
    ARITHMETIC,
    COMPARISONS,
    HOST_LABELS,
    NAME,
    RANGE_FUNCTIONS,
    Aggregate,
    Binary,
    Expr,
    Instant,
    Matcher,
    Matching,
    Negate,
    Number,
    OverRange,
    Selector,
    compiled,
    selections,
)


def parse(text: str) -> Expr:
    """The expression of a rule.

    Raises RuleError, reason ``syntax``, ``unsupported``, ``crosses_hosts``, ``regex`` or ``no_series``.
    """
    try:
        tree = grammar.parse(text)
    except ValueError as error:
        raise RuleError("syntax", _explained(str(error))) from error
    expr = _expr(tree)
    if not selections(expr):
        raise RuleError("no_series", "the expression selects no series: on the stream a rule runs when samples arrive")
    return expr


def _explained(message: str) -> str:
    unknown = re.search(r"unknown function with name '(\w+)'", message)
    if not unknown:
        return message
    near = difflib.get_close_matches(unknown[1], RANGE_FUNCTIONS, n=1)
    return f"{message}; " + (f"did you mean {near[0]}?" if near else f"use one of {', '.join(RANGE_FUNCTIONS)}")


def _unsupported(what: str, remedy: str) -> RuleError:
    return RuleError("unsupported", f"{what} is not supported on the stream yet; {remedy}")


def _expr(node: Any) -> Expr:
    match node:
        case grammar.NumberLiteral():
            return Number(node.val)
        case grammar.ParenExpr():
            return _expr(node.expr)
        case grammar.UnaryExpr():
            return Negate(_expr(node.expr))
        case grammar.VectorSelector():
            return Instant(_selector(node))
        case grammar.Call():
            return _call(node)
        case grammar.AggregateExpr():
            return _aggregate(node)
        case grammar.BinaryExpr():
            return _binary(node)
        case grammar.MatrixSelector():
            raise RuleError("syntax", f"range vector {node.prettify()} needs a function such as rate() around it")
        case grammar.SubqueryExpr():
            raise _unsupported(f"subquery {node.prettify()}", "record the inner expression and read that series")
        case _:
            raise RuleError("syntax", f"{node.prettify()} is not a vector")


def _selector(node: Any) -> Selector:
    shown = node.prettify()
    if node.offset:
        raise _unsupported(f"offset in {shown}", "leave it out")
    if node.at is not None:
        raise _unsupported(f"the @ modifier in {shown}", "leave it out")
    if node.matchers.or_matchers:
        raise _unsupported(f"'or' between matchers in {shown}", "use a regular expression")
    matchers = [] if node.name is None else [Matcher(NAME, "=", node.name)]
    for matcher in node.matchers.matchers:
        op = _MATCH_OPS[str(matcher.op)]
        if op in ("=~", "!~"):
            compiled(matcher.value)
        matchers.append(Matcher(matcher.name, op, matcher.value))
    return Selector(tuple(matchers))


_MATCH_OPS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


def _call(node: Any) -> Expr:
    name = node.func.name
    if name not in RANGE_FUNCTIONS:
        raise _unsupported(f"function {name}()", f"use one of {', '.join(RANGE_FUNCTIONS)}")
    (argument,) = node.args
    if not isinstance(argument, grammar.MatrixSelector):
        return _expr(argument)  # a subquery: refused there by name
    range_ms = _milliseconds(argument.range)
    if range_ms <= 0:
        raise RuleError("syntax", f"the range of {argument.prettify()} must be greater than 0")
    return OverRange(name, _selector(argument.vector_selector), range_ms)


def _milliseconds(delta: timedelta) -> int:
    return delta // timedelta(milliseconds=1)


def _aggregate(node: Any) -> Expr:
    op = str(node.op)
    if op not in AGGREGATIONS:
        raise _unsupported(f"aggregation {op}()", f"use one of {', '.join(AGGREGATIONS)}")
    labels: tuple[str, ...] = tuple(node.modifier.labels) if node.modifier else ()
    by = node.modifier is None or str(node.modifier.type) == "AggModifierType.By"
    _keep_host(f"{op}()", by, labels, ("by", "without"))
    return Aggregate(op, _expr(node.expr), by, labels)


def _binary(node: Any) -> Expr:
    op = str(node.op)
    if op not in ARITHMETIC and op not in COMPARISONS:
        raise _unsupported(f"operator {op}", f"use one of {' '.join(ARITHMETIC + COMPARISONS)}")
    left, right = _expr(node.lhs), _expr(node.rhs)
    modifier = node.modifier
    if modifier is None:
        return Binary(op, left, right)
    cardinality = str(modifier.card).removeprefix("VectorMatchCardinality.")
    if cardinality != "OneToOne":
        word = {"ManyToOne": "group_left", "OneToMany": "group_right"}.get(cardinality, cardinality)
        raise _unsupported(f"{word} at operator {op}", "aggregate one side so that the match is one-to-one")
    if modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None:
        raise _unsupported(f"fill at operator {op}", "leave it out")
    if modifier.matching is None:
        return Binary(op, left, right, modifier.return_bool)
    on = str(modifier.matching.type) == "LabelModifierType.Include"
    labels = tuple(modifier.matching.labels)
    _keep_host(f"operator {op}", on, labels, ("on", "ignoring"))
    return Binary(op, left, right, modifier.return_bool, Matching(on, labels))


def _keep_host(what: str, keeps: bool, labels: tuple[str, ...], words: tuple[str, str]) -> None:
    """Refuse grouping or matching labels that would put series of several hosts together."""
    if keeps and HOST_LABELS.isdisjoint(labels):
        shown = f"{words[0]} ({', '.join(labels)})" if labels else f"without '{words[0]}'"
        raise RuleError(
            "crosses_hosts",
            f"{what} {shown} loses the host: what crosses hosts does not run on the stream; "
            f"add instance (or host) to '{words[0]}'",
        )
    if not keeps and not HOST_LABELS.isdisjoint(labels):
        lost = ", ".join(sorted(HOST_LABELS.intersection(labels)))
        raise RuleError(
            "crosses_hosts",
            f"{what} {words[1]} ({', '.join(labels)}) loses the host: what crosses hosts does not run on the stream; "
            f"take {lost} out of '{words[1]}'",
        )
