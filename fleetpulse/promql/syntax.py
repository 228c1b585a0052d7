"""The expressions we take of PromQL, as values: equal expressions are equal, so that shared parts are found."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from fleetpulse import patterns

NAME = "__name__"
HOST_LABELS = frozenset({"host", "instance"})  # the labels from which a series' host is read

RANGE_FUNCTIONS = (
    "absent_over_time",
    "avg_over_time",
    "changes",
    "count_over_time",
    "delta",
    "deriv",
    "double_exponential_smoothing",
    "first_over_time",
    "idelta",
    "increase",
    "irate",
    "last_over_time",
    "mad_over_time",
    "max_over_time",
    "min_over_time",
    "predict_linear",
    "present_over_time",
    "quantile_over_time",
    "rate",
    "resets",
    "stddev_over_time",
    "stdvar_over_time",
    "sum_over_time",
)
KEEP_NAME = ("first_over_time", "last_over_time")  # functions of a range that leave the metric name
AGGREGATIONS = ("avg", "bottomk", "count", "group", "max", "min", "quantile", "stddev", "stdvar", "sum", "topk")
ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2")
COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")
SET_OPERATORS = ("and", "or", "unless")
DATES = ("day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year")
MATHEMATICS = (
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "clamp", "clamp_max", "clamp_min", "cos"),
    *(
        "cosh",
        "deg",
        "exp",
        "floor",
        "ln",
        "log10",
        "log2",
        "rad",
        "round",
        "sgn",
        "sin",
        "sinh",
        "sqrt",
        "tan",
        "tanh",
    ),
)
SORTS = ("sort", "sort_by_label", "sort_by_label_desc", "sort_desc")
LABEL_FUNCTIONS = ("label_join", "label_replace")
OTHER_FUNCTIONS = ("absent", "histogram_quantile", "pi", "scalar", "time", "timestamp", "vector")
FUNCTIONS = tuple(sorted((*RANGE_FUNCTIONS, *DATES, *MATHEMATICS, *SORTS, *LABEL_FUNCTIONS, *OTHER_FUNCTIONS)))


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
        return patterns.fits(self.value, value) == (self.op == "=~")


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


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """A literal. 0 and -0 are two: by one of them a number becomes Inf, by the other -Inf."""

    value: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and repr(float(self.value)) == repr(float(other.value))

    def __hash__(self) -> int:
        return hash(repr(float(self.value)))


@dataclass(frozen=True, slots=True)
class Instant:
    """The newest sample of each series within the lookback."""

    selector: Selector
    offset_ms: int = 0


@dataclass(frozen=True, slots=True)
class OverRange:
    """A function over each series' samples in (t - range, t]; `args` are scalars, as the quantile."""

    function: str
    selector: Selector
    range_ms: int
    args: tuple["Expr", ...] = ()
    offset_ms: int = 0


@dataclass(frozen=True, slots=True)
class Negate:
    """Unary minus."""

    operand: "Expr"


@dataclass(frozen=True, slots=True)
class Matching:
    """``on (labels)``, or ``ignoring (labels)``.

    `many` is the side that may have several partners (``left``: group_left), empty for one-to-one; `include` are the
    labels that it takes from the other.
    """

    on: bool
    labels: tuple[str, ...]
    many: str = ""
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, comparison or a set operation; `matching` counts when both sides are vectors."""

    op: str
    left: "Expr"
    right: "Expr"
    returns_bool: bool = False
    matching: Matching = Matching(False, ())


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation ``by (labels)``, or ``without (labels)``; `param` is the scalar of topk, bottomk and quantile."""

    op: str
    operand: "Expr"
    by: bool
    labels: tuple[str, ...]
    param: "Expr | None" = None


@dataclass(frozen=True, slots=True)
class Call:
    """Any other function: vectors and scalars in `args`, strings in `texts`, each in their order."""

    function: str
    args: tuple["Expr", ...] = ()
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Anchored:
    """What may have a result where no series is: it runs at the ticks of hosts that have one of `anchors`."""

    operand: "Expr"
    anchors: tuple[Instant, ...]


Expr: TypeAlias = Number | Instant | OverRange | Negate | Binary | Aggregate | Call | Anchored


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct sub-expressions."""
    match expr:
        case Binary():
            return (expr.left, expr.right)
        case Negate():
            return (expr.operand,)
        case Aggregate():
            return (expr.operand,) if expr.param is None else (expr.operand, expr.param)
        case Call() | OverRange():
            return expr.args
        case Anchored():
            return (expr.operand, *expr.anchors)
        case _:
            return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and every sub-expression."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def is_scalar(expr: Expr) -> bool:
    """Whether the expression is a number, perhaps another at each tick, and not a vector."""
    match expr:
        case Number():
            return True
        case Negate():
            return is_scalar(expr.operand)
        case Binary():
            return is_scalar(expr.left) and is_scalar(expr.right)
        case Call():
            return expr.function in ("scalar", "time")
        case _:
            return False


def is_constant(expr: Expr) -> bool:
    """Whether the expression is the same number at every tick."""
    return is_scalar(expr) and not any(isinstance(part, Call) for part in walk(expr))


def selections(expr: Expr) -> tuple[Instant | OverRange, ...]:
    """The leaves that read series, each once, in order."""
    return tuple(dict.fromkeys(part for part in walk(expr) if isinstance(part, Instant | OverRange)))


def reach_ms(expr: Expr, lookback_ms: int) -> int:
    """How far back the expression reads."""
    return max((span_ms(leaf, lookback_ms) for leaf in selections(expr)), default=0)


def span_ms(leaf: Instant | OverRange, lookback_ms: int) -> int:
    """How far back one leaf reads, with its offset."""
    return leaf.offset_ms + (leaf.range_ms if isinstance(leaf, OverRange) else lookback_ms)
