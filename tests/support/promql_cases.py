"""A small fleet with everything that makes PromQL hard, as promtool's values and as wire blocks."""

import math
from collections.abc import Iterator, Mapping, Sequence

from fleetpulse.metric import STALE_NAN, canonical_key, parse_key
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.model import Rule, RuleKind, RuleSet, rule_set
from fleetpulse.wire import Block, join_keys, make_block
from tests.support.promql_reference import Labels, Points

INTERVAL_S = 10
TICKS = 45

EXPRESSIONS = (
    "c",
    "gauge",
    'c{mode="user"}',
    'c{mode!="user"}',
    'c{mode=~"us.*|idle"}',
    'c{mode!~"us.*",cpu="0"}',
    'gauge{nosuch=""}',
    'gauge{job="nosuch"}',
    "rate(c[1m])",
    "rate(c[20s])",
    "rate(c[5m])",
    "increase(c[1m])",
    "increase(c[10s])",
    "increase(odd[1m])",
    "rate(odd[2m])",
    "rate(gauge[1m])",
    "odd",
    "late",
    "rate(late[1m])",
    "avg_over_time(gauge[1m])",
    "min_over_time(gauge[1m])",
    "max_over_time(gauge[1m])",
    "last_over_time(gauge[1m])",
    "avg_over_time(odd[1m])",
    "min_over_time(odd[1m])",
    "max_over_time(odd[1m])",
    "last_over_time(odd[1m])",
    "max_over_time(odd[5m])",
    "-gauge",
    "-gauge ^ 2",
    "gauge + 1",
    "2 ^ 3 ^ 2 - gauge",
    "1 / (gauge - gauge)",
    "gauge % 7",
    "-7 % gauge",
    "gauge ^ 0.5",
    "gauge > 50",
    "50 < gauge",
    "gauge > bool 50",
    "gauge != gauge",
    "gauge == bool gauge",
    "odd != odd",
    "total - gauge",
    "gauge / total",
    "gauge > total / 2",
    "gauge >= bool total / 2",
    "gauge * on (instance, n) total",
    "gauge > on (instance, n) total / 2",
    "gauge - ignoring (job) total",
    "sum by (instance) (c)",
    "sum without (cpu, mode) (rate(c[1m]))",
    "avg without (cpu) (c)",
    "min by (instance, mode) (c)",
    "max without (mode) (odd)",
    "count by (instance) (odd)",
    "avg by (instance) (odd)",
    "sum without (n) (gauge)",
    'count without (cpu, mode) (c{mode="idle"})',
    '1 - sum without (cpu, mode) (rate(c{mode="idle"}[1m])) / sum without (cpu, mode) (rate(c[1m]))',
    'gauge{n="1"} / on (instance) count by (instance) (c)',
    "sum by (instance) (gauge > 50) / on (instance) sum by (instance) (total)",
    "c + on (instance) gauge",
    "gauge + on (instance) c",
    'gauge == on (instance) gauge{n="1"}',
    'rate({__name__=~"c|gauge"}[1m])',
    'rate({__name__=~"c|total"}[1m])',
    'sum by (instance, __name__) ({__name__=~"c|total"})',
    'max by (instance) ({__name__=~"c|late",instance="h1"})',
)


def fleet() -> dict[str, list[str]]:
    """promtool's values of each series, TICKS of them."""
    series: dict[str, list[str]] = {}
    for h, host in enumerate(("h1", "h2", "h3")):
        own = f'instance="{host}:9100",job="node"' if h else f'instance="{host}",job="node"'
        for cpu in range(2):
            for m, mode in enumerate(("user", "system", "idle")):
                values = [1000.0 * (m + 1) + k * (m + 1.25) * (cpu + 1) + h for k in range(TICKS)]
                if h == 1 and cpu == 1:  # a reset in the middle, another soon after
                    values = [
                        v if k < 20 else v - values[20] if k < 23 else v - values[22] for k, v in enumerate(values)
                    ]
                series[f'c{{cpu="{cpu}",{own},mode="{mode}"}}'] = [repr(v) for v in values]
        for n in range(2):
            series[f'gauge{{{own},n="{n}"}}'] = [repr(50 + 40 * math.sin(k / 3 + n + h)) for k in range(TICKS)]
            series[f'total{{{own},n="{n}"}}'] = ["100"] * TICKS
        series[f'odd{{{own},kind="gaps"}}'] = ["_" if k % 7 in (2, 3, 4) else repr(k * 1.5) for k in range(TICKS)]
        series[f'odd{{{own},kind="stale"}}'] = ["stale" if k in (12, 30 + h) else repr(100 - k) for k in range(TICKS)]
        series[f'odd{{{own},kind="ends"}}'] = [repr(float(k)) if k < 9 else "_" for k in range(TICKS)]
        special = {5: "NaN", 6: "NaN", 15: "Inf", 22: "-Inf", 23: "-Inf", 33: "NaN"}
        series[f'odd{{{own},kind="special"}}'] = [special.get(k, repr(float(k))) for k in range(TICKS)]
        series[f"late{{{own}}}"] = ["_"] * (15 + 3 * h) + [repr(3.0 * k) for k in range(TICKS - 15 - 3 * h)]
    return series


def points(series: Mapping[str, Sequence[str]], start_ms: int = 0) -> dict[Labels, Points]:
    """The same samples for the reference."""
    data: dict[Labels, Points] = {}
    for key, values in series.items():
        name, labels = parse_key(key)
        data[frozenset({**labels, "__name__": name}.items())] = [
            (start_ms + 1000 * INTERVAL_S * k, number(text)) for k, text in enumerate(values) if text != "_"
        ]
    return data


def number(text: str) -> float:
    """The value of promtool's text."""
    return STALE_NAN if text == "stale" else float(text)


def blocks_at(series: Mapping[str, Sequence[str]], tick: int, start_ms: int = 0) -> Iterator[Block]:
    """The blocks of one tick, one a host, without the series that have no sample."""
    for host in ("h1", "h2", "h3"):
        found = [(parse_key(key), values[tick]) for key, values in series.items() if f'instance="{host}' in key]
        found = [(key, text) for key, text in found if text != "_"]
        common = {"instance": found[0][0][1]["instance"], "job": "node"}
        keys = [canonical_key(n, {k: v for k, v in labels.items() if k not in common}) for (n, labels), _ in found]
        values = [number(text) for _, text in found]
        yield make_block(host, common, join_keys(keys), start_ms + 1000 * INTERVAL_S * tick, values)


def recordings(expressions: Sequence[str]) -> RuleSet:
    """One recording rule for each expression, named r0, r1, …"""
    return rule_set(
        [Rule(f"r{i}", RuleKind.RECORD, expr, "cases.yaml", i + 1, "cases") for i, expr in enumerate(expressions)]
    )


def results(evaluator: StreamEvaluator, at_ms: int) -> dict[str, dict[Labels, float] | None]:
    """Rule → its samples at a time; None when it failed for a host."""
    found: dict[str, dict[Labels, float] | None] = {}
    for evaluation in evaluator.evaluate_at(at_ms):
        samples = {
            frozenset(evaluator.labels_of(int(key)).items()): float(value)
            for key, value in zip(evaluation.key, evaluation.value, strict=True)
        }
        assert len(samples) == len(evaluation.value)
        found[evaluation.rule.name] = None if evaluation.errors else samples
    return found


def same(left: Mapping[Labels, float], right: Mapping[Labels, float]) -> bool:
    """Whether two vectors have the same series with the same values, to 12 digits."""
    return left.keys() == right.keys() and all(
        value == right[labels]
        or (math.isnan(value) and math.isnan(right[labels]))
        or math.isclose(value, right[labels], rel_tol=1e-12, abs_tol=1e-12)
        for labels, value in left.items()
    )
