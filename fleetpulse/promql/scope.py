"""Whether an expression can be evaluated for each host by itself, as the stream does, with what Prometheus would give.

A part of an expression is of one of three kinds:

- of **every host**: its series keep the label by which the host is known, so grouping and matching by that label
  never put two hosts together;
- of **one host** that all its selectors name (``instance="web-1:9100"``, ``host="web-1"``): then anything goes,
  also ``sum(...)``, ``on()``, ``scalar()`` and ``absent()``;
- of **no series** (``vector(1)``, ``hour()``, ``time()``).

Everything else is over several hosts: RuleError, reason ``crosses_hosts``, says why.
"""

from typing import NamedTuple

from fleetpulse.errors import RuleError
from fleetpulse.metric import host_of
from fleetpulse.promql.syntax import (
    DATES,
    HOST_LABELS,
    NAME,
    SET_OPERATORS,
    Aggregate,
    Anchored,
    Binary,
    Call,
    Expr,
    Instant,
    Matcher,
    Negate,
    Number,
    OverRange,
    Selector,
    is_scalar,
    walk,
)

# A rule without series runs where the rules worker's own metrics come: once for each host with a rules worker.
WORKER_METRIC = "fleetpulse_process_start_time_seconds"
_WORKER = Instant(
    Selector(
        (
            Matcher(NAME, "=", WORKER_METRIC),
            Matcher("job", "=", "fleetpulse"),
            Matcher("instance", "=~", ".+/rules"),
        )
    )
)


class Scope(NamedTuple):
    """`keyed`: the result's series have the label that names their host. `host`: the one that every selector names."""

    keyed: bool
    host: str | None = None
    has_series: bool = True


_NO_SERIES = Scope(keyed=False, has_series=False)


def placed(expr: Expr) -> Expr:
    """The expression, with an anchor where it may have a result when none of its own series is there.

    Raises RuleError, reason ``crosses_hosts``.
    """
    scope = scope_of(expr)
    if not scope.has_series:
        return Anchored(expr, (_WORKER,))
    if scope.host is not None and any(isinstance(part, Call) and part.function in _FROM_NOTHING for part in walk(expr)):
        return Anchored(expr, _signs_of(scope.host))
    return expr


_FROM_NOTHING = frozenset({"absent", "absent_over_time", "vector", "scalar"})


def _signs_of(host: str) -> tuple[Instant, ...]:
    """The series by which a host that sends anything is known: agents and scraped targets send ``up`` each tick."""
    up = Matcher(NAME, "=", "up")
    named = "".join(f"[{letter}]" if letter in ".+*?()|{}" else letter for letter in host)
    return (
        Instant(Selector((up, Matcher("host", "=", host)))),
        Instant(Selector((up, Matcher("host", "=", ""), Matcher("instance", "=~", f"{named}(:[0-9]+)?")))),
    )


def named_host(selector: Selector) -> str | None:
    """The host that a selector names by equality, as by ``host="web-1"`` or ``instance="web-1:9100"``."""
    named = {m.name: m.value for m in selector.matchers if m.op == "=" and m.name in HOST_LABELS and m.value}
    return host_of(named) or None if named else None


def scope_of(expr: Expr) -> Scope:
    """The scope of an expression, worked out from its parts."""
    match expr:
        case Number():
            return _NO_SERIES
        case Instant():
            return Scope(keyed=True, host=named_host(expr.selector))
        case OverRange():
            own = Scope(keyed=True, host=named_host(expr.selector))
            return _with_scalars(f"{expr.function}()", own, expr.args)
        case Negate():
            return scope_of(expr.operand)
        case Aggregate():
            return _of_aggregate(expr)
        case Call():
            return _of_call(expr)
        case Anchored():
            return scope_of(expr.operand)
        case Binary():
            return _of_binary(expr)


def _crossing(sentence: str) -> RuleError:
    return RuleError("crosses_hosts", f"{sentence}: what crosses hosts does not run on the stream")


def _within_one(*scopes: Scope) -> bool:
    """Whether all that the parts read is of one host, or of none."""
    hosts = {scope.host for scope in scopes if scope.has_series}
    return len(hosts) <= 1 and None not in hosts


def _with_scalars(what: str, vector: Scope, scalars: tuple[Expr, ...]) -> Scope:
    """The scope of a vector together with scalars that change it."""
    for scalar in map(scope_of, scalars):
        if scalar.has_series and not _within_one(vector, scalar):
            raise _crossing(f"{what} takes a number from another host's series")
        if not vector.has_series:
            vector = scalar._replace(keyed=False)
    return vector


def _of_call(expr: Call) -> Scope:
    name = expr.function
    if name == "time":
        return _NO_SERIES
    if name in ("absent", "absent_over_time", "scalar"):
        scope = scope_of(expr.args[0])
        if not _within_one(scope):
            raise RuleError(
                "crosses_hosts",
                f"{name}() looks at the series of all hosts together: what crosses hosts does not run on the stream; "
                'name the host (instance="...")'
                + ("" if name == "scalar" else ", or write 'up unless on (instance) ...' for every host by itself"),
            )
        return scope._replace(keyed=False)
    if name == "vector":
        return scope_of(expr.args[0])._replace(keyed=False)
    vectors = [arg for arg in expr.args if not is_scalar(arg)]
    scope = _with_scalars(f"{name}()", scope_of(vectors[0]), tuple(arg for arg in expr.args if is_scalar(arg)))
    if name in ("label_join", "label_replace") and expr.texts[0] in HOST_LABELS:
        return scope._replace(keyed=False)
    return scope._replace(keyed=False) if name in DATES and not scope.has_series else scope


def _of_aggregate(expr: Aggregate) -> Scope:
    params = () if expr.param is None else (expr.param,)
    scope = _with_scalars(f"{expr.op}()", scope_of(expr.operand), params)
    keeps_labels = expr.op in ("topk", "bottomk")
    if _within_one(scope):
        kept = scope.keyed and (keeps_labels or _keeps_host(expr.by, expr.labels))
        return scope._replace(keyed=kept)
    _check_labels(f"{expr.op}()", expr.by, expr.labels, ("by", "without"))
    if not scope.keyed:
        raise _crossing(f"{expr.op}() groups series by a label that the expression itself has set")
    return scope


def _keeps_host(keeps: bool, labels: tuple[str, ...]) -> bool:
    return HOST_LABELS.isdisjoint(labels) != keeps


def _of_binary(expr: Binary) -> Scope:
    left, right = scope_of(expr.left), scope_of(expr.right)
    if is_scalar(expr.left) or is_scalar(expr.right):
        vector, number = (right, expr.left) if is_scalar(expr.left) else (left, expr.right)
        return _with_scalars(f"operator {expr.op}", vector, (number,))
    matching, one = expr.matching, Scope(keyed=left.keyed or right.keyed, host=left.host or right.host)
    if not left.has_series and not right.has_series:
        return _NO_SERIES
    if _within_one(left, right):
        if expr.op == "or":
            return one._replace(keyed=left.keyed and right.keyed)
        kept = expr.op in SET_OPERATORS or bool(matching.many) or _keeps_host(matching.on, matching.labels)
        own = right if matching.many == "right" else left
        return one._replace(keyed=own.keyed and kept)
    for side, other, may in (
        (left, right, expr.op in ("and", "unless") or matching.many == "left"),
        (right, left, matching.many == "right"),
    ):
        if not other.has_series:
            if may:  # the same for every host
                return side
            raise _crossing(f"operator {expr.op} joins series of many hosts with a vector of no host")
    if left.host is not None and right.host is not None:
        raise _crossing(f"operator {expr.op} joins series of hosts {left.host} and {right.host}")
    _check_labels(f"operator {expr.op}", matching.on, matching.labels, ("on", "ignoring"))
    if not left.keyed or not right.keyed:
        raise _crossing(f"operator {expr.op} matches series by a label that the expression itself has set or dropped")
    return Scope(keyed=True)


def _check_labels(what: str, keeps: bool, labels: tuple[str, ...], words: tuple[str, str]) -> None:
    """Refuse grouping or matching labels that would put series of several hosts together."""
    if keeps and HOST_LABELS.isdisjoint(labels):
        shown = f"{words[0]} ({', '.join(labels)})" if labels or words[0] == "on" else f"without '{words[0]}'"
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
