"""The expressions we take of PromQL, as values: equal expressions are equal, so that shared parts are found."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from fleetpulse.errors import RuleError

NAME = "__name__"
HOST_LABELS = frozenset({"host", "instance"})  # the labels from which a series' host is read

RANGE_FUNCTIONS = ("avg_over_time", "increase", "last_over_time", "max_over_time", "min_over_time", "rate")
AGGREGATIONS = ("avg", "count", "max", "min", "sum")
ARITHMETIC = ("+", "-", "*", "/", "%", "^")
COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label matcher; `op` is ``=``, ``!=``, ``=~`` or ``!~``. An absent label is the empty string."""

    name: str
    op: str
    value: str

    def matches(self, value: str) -> bool:
        """Whether a label value passes."""
        if self.op == "=":
            return value == self.value
        if self.op == "!=":
            return value != self.value
        return (compiled(self.value).fullmatch(value) is not None) == (self.op == "=~")


@dataclass(frozen=True, slots=True)
class Selector:
    """The series that pass every matcher; the metric name is the matcher of ``__name__``."""

    matchers: tuple[Matcher, ...]

    @property
    def name(self) -> str | None:
        """The metric name when one is given by equality."""
        return next((m.value for m in self.matchers if m.name == NAME and m.op == "="), None)

    def takes_name(self, name: str) -> bool:
        """Whether series of this metric can be selected."""
        return all(m.matches(name) for m in self.matchers if m.name == NAME)


@dataclass(frozen=True, slots=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True, slots=True)
class Instant:
    """The newest sample of each series within the lookback."""

    selector: Selector


@dataclass(frozen=True, slots=True)
class OverRange:
    """A function over each series' samples in (t - range, t]."""

    function: str
    selector: Selector
    range_ms: int


@dataclass(frozen=True, slots=True)
class Negate:
    """Unary minus."""

    operand: "Expr"


@dataclass(frozen=True, slots=True)
class Matching:
    """``on (labels)``, or ``ignoring (labels)``."""

    on: bool
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic or comparison; `matching` counts when both sides are vectors."""

    op: str
    left: "Expr"
    right: "Expr"
    returns_bool: bool = False
    matching: Matching = Matching(False, ())


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation ``by (labels)``, or ``without (labels)``."""

    op: str
    operand: "Expr"
    by: bool
    labels: tuple[str, ...]


Expr: TypeAlias = Number | Instant | OverRange | Negate | Binary | Aggregate


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct sub-expressions."""
    if isinstance(expr, Binary):
        return (expr.left, expr.right)
    if isinstance(expr, Negate | Aggregate):
        return (expr.operand,)
    return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and every sub-expression."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def is_scalar(expr: Expr) -> bool:
    """Whether the expression is a number and not a vector."""
    if isinstance(expr, Number):
        return True
    if isinstance(expr, Negate):
        return is_scalar(expr.operand)
    return isinstance(expr, Binary) and is_scalar(expr.left) and is_scalar(expr.right)


def selections(expr: Expr) -> tuple[Instant | OverRange, ...]:
    """The leaves that read series, each once, in order."""
    return tuple(dict.fromkeys(part for part in walk(expr) if isinstance(part, Instant | OverRange)))


def reach_ms(expr: Expr, lookback_ms: int) -> int:
    """How far back the expression reads."""
    return max((p.range_ms if isinstance(p, OverRange) else lookback_ms for p in selections(expr)), default=0)


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """An anchored RE2 pattern as Python's; as in Prometheus 3 the dot takes newlines.

    Raises RuleError, reason ``regex``, for what the two engines read differently.
    """
    if re.search(r"\[\[:|\\[pPzCQ]", pattern):
        raise RuleError(
            "regex",
            f"regular expression {pattern!r}: character classes like [[:alpha:]], \\p, \\z, \\C "
            "and \\Q are not supported; spell the characters out",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # what a later Python may read as a set operation
            return re.compile(pattern, re.DOTALL | re.ASCII)
    except (re.error, FutureWarning) as error:
        raise RuleError("regex", f"regular expression {pattern!r}: {error}") from error
