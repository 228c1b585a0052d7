"""How long samples of what a rule selects are kept, and what of older ones."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fleetpulse.promql.long_windows import long_window
from fleetpulse.promql.metric_windows import Need, combined
from fleetpulse.promql.minutes import LATE_MS
from fleetpulse.promql.summaries import fields_for
from fleetpulse.promql.syntax import Expr, Selector, selections, span_ms

SPAN_MS = 220_000  # of one host's time: ticks that are evaluated together, after all of them are in the windows


class Needs(NamedTuple):
    """Of each selector: how long its samples are needed in ms, and the sub-buckets that its longer windows read."""

    samples_ms: Mapping[Selector, int]
    minutes: Mapping[Selector, tuple[Need, ...]]


def reread_ms(expr: Expr, lookback_ms: int) -> int:
    """How far back the expression reads samples, and not sub-buckets: what is read again after a start."""
    spans = (
        span_ms(leaf, lookback_ms) if long_window(leaf, lookback_ms) is None else LATE_MS for leaf in selections(expr)
    )
    return max(spans, default=0)


def long_reaches(expr: Expr, lookback_ms: int) -> Mapping[Selector, int]:
    """How far back sub-buckets are read of each selector of the expression, in ms."""
    reaches: dict[Selector, int] = {}
    for leaf in selections(expr):
        window = long_window(leaf, lookback_ms)
        if window is not None:
            reaches[leaf.selector] = max(window.reach_ms, reaches.get(leaf.selector, 0))
    return reaches


def needs_of(exprs: Iterable[Expr], lookback_ms: int, ahead_ms: int | None = None) -> Needs:
    """What the expressions read; `ahead_ms` (`SPAN_MS`) more, as ticks are evaluated when newer samples are in."""
    ahead_ms = SPAN_MS if ahead_ms is None else ahead_ms
    samples_ms: dict[Selector, int] = {}
    minutes: dict[Selector, tuple[Need, ...]] = {}
    for leaf in (leaf for expr in exprs for leaf in selections(expr)):
        window = long_window(leaf, lookback_ms)
        needed_ms = span_ms(leaf, lookback_ms) if window is None else LATE_MS
        samples_ms[leaf.selector] = max(needed_ms + ahead_ms, samples_ms.get(leaf.selector, 0))
        if window is not None:
            need = Need(window.width_ms, window.reach_ms + ahead_ms, fields_for([window.function]))
            minutes[leaf.selector] = combined([*minutes.get(leaf.selector, ()), need])
    return Needs(samples_ms, minutes)
