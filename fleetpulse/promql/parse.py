"""PromQL text to the expressions of `syntax.py`; what does not run on the stream is refused by name."""

import difflib
import math
import re
from datetime import timedelta
from typing import Any

import promql_parser as grammar

from fleetpulse import patterns
from fleetpulse.errors import RuleError
from fleetpulse.promql.misplaced import misplaced
from fleetpulse.promql.nesting import check_nesting
from fleetpulse.promql.relabel import check_label_function
from fleetpulse.promql.scope import placed
from fleetpulse.promql.syntax import (
    AGGREGATIONS,
    DATES,
    FUNCTIONS,
    NAME,
    RANGE_FUNCTIONS,
    Aggregate,
    Binary,
    Call,
    Expr,
    Instant,
    Matcher,
    Matching,
    Negate,
    Number,
    OverRange,
    Selector,
    is_scalar,
)

LONGEST_MS = 6 * 3_600_000  # how far back a rule may read on the stream
WAITS_FOR_RULER = frozenset({"crosses_hosts", "subquery", "at_modifier", "look_back"})  # reasons of refusals

_LONGEST_MESSAGE = 500
_SORTS = ("sort_by_label", "sort_by_label_desc")
_EXTENDED = re.compile(r"[\w\]})]\s+(anchored|smoothed)\b(?!\s*[(\[{=!])")  # selectors of Prometheus 3.16
_RENAMED = {"holt_winters": "double_exponential_smoothing"}


def parse(text: str) -> Expr:
    """The expression of a rule.

    Raises RuleError, reason ``syntax``, ``unsupported``, ``regex``, or one of WAITS_FOR_RULER.
    """
    tree = _tree(text)
    _selectors(tree)
    expr = _expr(tree)
    return placed(Call("vector", (expr,)) if is_scalar(expr) else expr)


def _tree(text: str) -> Any:
    check_nesting(text)
    try:
        return grammar.parse(text)
    except ValueError as error:
        raise RuleError("syntax", _explained(_shortened(str(error)), text)) from error


def selectors(text: str) -> tuple[Selector, ...]:
    """Every selector of an expression that `parse` takes or says to wait, each once, in order."""
    return _selectors(_tree(text))


def _selectors(tree: Any) -> tuple[Selector, ...]:
    """Also of what `_expr` refuses before it comes to them: raises RuleError, reason ``regex``."""
    found: dict[Selector, None] = {}
    ahead = [tree]
    while ahead:
        node = ahead.pop()
        match node:
            case grammar.VectorSelector():
                found[Selector(_matchers(node))] = None
            case grammar.MatrixSelector():
                ahead.append(node.vector_selector)
            case grammar.BinaryExpr():
                ahead += [node.rhs, node.lhs]
            case grammar.Call():
                ahead += reversed(node.args)
            case grammar.AggregateExpr():
                ahead += [node.expr, *([] if node.param is None else [node.param])]
            case grammar.ParenExpr() | grammar.UnaryExpr() | grammar.SubqueryExpr():
                ahead.append(node.expr)
    return tuple(found)


def _shortened(message: str) -> str:
    """Without the middle of a message that quotes a whole pattern."""
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:200]} … {message[-200:]}"


def _explained(message: str, text: str) -> str:
    if extended := _EXTENDED.search(text):
        return f"{message}: the modifier {extended[1]!r} is not supported; leave it out"
    if "inside brackets" in message:
        return f"{message}; write the duration out, as in [5m]"
    if message == "invalid promql query" and (place := misplaced(text)):
        return f"this is not PromQL: {place}"
    unknown = re.search(r"unknown function with name '(\w+)'", message)
    if not unknown:
        return message
    if unknown[1] in _RENAMED:
        return f"{message}; since Prometheus 3 it is called {_RENAMED[unknown[1]]}"
    near = difflib.get_close_matches(unknown[1], FUNCTIONS, n=1)
    return f"{message}; " + (f"did you mean {near[0]}?" if near else f"use one of {', '.join(FUNCTIONS)}")


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
            return Instant(_selector(node), _offset(node, 0))
        case grammar.Call():
            return _call(node)
        case grammar.AggregateExpr():
            return _aggregate(node)
        case grammar.BinaryExpr():
            return _binary(node)
        case grammar.MatrixSelector():
            raise RuleError("syntax", f"range vector {node.prettify()} needs a function such as rate() around it")
        case grammar.SubqueryExpr():
            raise RuleError("subquery", f"subquery {node.prettify()}: record the inner expression and read that series")
        case _:
            raise RuleError("syntax", f"{node.prettify()} is not a vector")


def _selector(node: Any) -> Selector:
    shown = node.prettify()
    if node.at is not None:
        raise RuleError("at_modifier", f"the @ modifier in {shown} reads at a fixed time, not at each sample's")
    if node.matchers.or_matchers:
        raise _unsupported(f"'or' between matchers in {shown}", "use a regular expression")
    return Selector(_matchers(node))


def _matchers(node: Any) -> tuple[Matcher, ...]:
    matchers = [] if node.name is None else [Matcher(NAME, "=", node.name)]
    for matcher in node.matchers.matchers:
        op = _MATCH_OPS[str(matcher.op)]
        if op in ("=~", "!~"):
            patterns.check(matcher.value, f"{matcher.name}{op} in {_shortened(node.prettify())}")
        matchers.append(Matcher(matcher.name, op, matcher.value))
    return tuple(matchers)


_MATCH_OPS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


def _offset(node: Any, range_ms: int) -> int:
    """The offset of a selector in ms; together with its range it must be what the stream keeps."""
    offset_ms = 0 if node.offset is None else _milliseconds(node.offset)
    if offset_ms < 0:
        raise RuleError("look_back", f"the negative offset in {node.prettify()} reads what has not come yet")
    if range_ms + offset_ms > LONGEST_MS:
        raise RuleError(
            "look_back", f"{node.prettify()} reads further back than 6 hours, which is as long as windows are"
        )
    return offset_ms


def _call(node: Any) -> Expr:
    name = node.func.name
    if name not in FUNCTIONS:
        raise _unsupported(f"function {name}()", f"use one of {', '.join(FUNCTIONS)}")
    if name in RANGE_FUNCTIONS:
        return _over_range(name, node.args)
    if name == "pi":
        return Number(math.pi)
    texts = tuple(arg.val for arg in node.args if isinstance(arg, grammar.StringLiteral))
    args = tuple(_expr(arg) for arg in node.args if not isinstance(arg, grammar.StringLiteral))
    if name in DATES and not args:
        args = (Call("vector", (Call("time"),)),)
    if name in _SORTS:  # the order of a rule's result means nothing
        texts = ()
    call = Call(name, args, texts)
    check_label_function(call)
    return call


def _over_range(name: str, arguments: list[Any]) -> Expr:
    ranges = [arg for arg in arguments if isinstance(arg, grammar.MatrixSelector)]
    if not ranges:
        return next(_expr(arg) for arg in arguments if not isinstance(arg, grammar.NumberLiteral))  # a subquery
    (matrix,) = ranges
    range_ms = _milliseconds(matrix.range)
    if range_ms <= 0:
        raise RuleError("syntax", f"the range of {matrix.prettify()} must be greater than 0")
    selector, offset_ms = _selector(matrix.vector_selector), _offset(matrix.vector_selector, range_ms)
    args = tuple(_expr(arg) for arg in arguments if arg is not matrix)
    if name == "absent_over_time":
        return Call(name, (OverRange("present_over_time", selector, range_ms, (), offset_ms),))
    if name == "double_exponential_smoothing":
        _check_factors(args)
    return OverRange(name, selector, range_ms, args, offset_ms)


def _check_factors(factors: tuple[Expr, ...]) -> None:
    for which, factor in zip(("smoothing", "trend"), factors, strict=True):
        if not isinstance(factor, Number) or not 0 < factor.value < 1:
            raise RuleError("syntax", f"the {which} factor of double_exponential_smoothing() must be between 0 and 1")


def _milliseconds(delta: timedelta) -> int:
    return delta // timedelta(milliseconds=1)


def _aggregate(node: Any) -> Expr:
    op = str(node.op)
    if op not in AGGREGATIONS:
        raise _unsupported(f"aggregation {op}()", f"use one of {', '.join(AGGREGATIONS)}")
    labels: tuple[str, ...] = tuple(node.modifier.labels) if node.modifier else ()
    by = node.modifier is None or str(node.modifier.type) == "AggModifierType.By"
    param = None if node.param is None else _expr(node.param)
    return Aggregate(op, _expr(node.expr), by, labels, param)


def _binary(node: Any) -> Expr:
    op = str(node.op)
    left, right = _expr(node.lhs), _expr(node.rhs)
    modifier = node.modifier
    if modifier is None:
        return Binary(op, left, right)
    if modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None:
        raise _unsupported(f"fill at operator {op}", "leave it out")
    cardinality = str(modifier.card).removeprefix("VectorMatchCardinality.")
    many = {"ManyToOne": "left", "OneToMany": "right"}.get(cardinality, "")
    on = modifier.matching is not None and str(modifier.matching.type) == "LabelModifierType.Include"
    labels = () if modifier.matching is None else tuple(modifier.matching.labels)
    include = tuple(modifier.group_labels) if modifier.group_labels else ()
    return Binary(op, left, right, modifier.return_bool, Matching(on, labels, many, include))
