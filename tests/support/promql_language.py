"""Expressions for every function, operator and aggregation that runs on the stream, over `promql_cases.fleet`."""

import math
from collections.abc import Sequence

from tests.support.promql_cases import TICKS, fleet

RANGE_CALLS = (
    *("changes", "count_over_time", "delta", "deriv", "idelta", "increase", "irate", "present_over_time", "rate"),
    *("resets", "stddev_over_time", "stdvar_over_time", "sum_over_time", "avg_over_time", "min_over_time"),
    *("max_over_time", "last_over_time"),
)
# 2.42 limits the extrapolation of a counter near zero in another order than 3: `promql_reference` tells them apart.
COUNTER_CALLS = ("increase", "rate")
SINCE_3 = ("first_over_time", "mad_over_time")
VALUE_CALLS = (
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "deg", "exp", "floor", "ln"),
    *("log10", "log2", "rad", "round", "sgn", "sin", "sinh", "sqrt", "tan", "tanh"),
)
DATE_CALLS = ("day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year")

OTHERS = (
    "quantile_over_time(0.5, gauge[1m])",
    "quantile_over_time(0.99, odd[2m])",
    "quantile_over_time(-1, odd[2m])",
    "quantile_over_time(1.1, odd[1m])",
    "quantile_over_time(time() / 1000, gauge[1m])",
    "predict_linear(gauge[1m], 600)",
    "predict_linear(odd[2m], 3600)",
    "predict_linear(total[2m], time())",
    "holt_winters(gauge[2m], 0.3, 0.1)",
    "holt_winters(odd[2m], 0.9, 0.7)",
    'absent(odd{instance="h1"})',
    'absent(nosuch{instance="h1",kind="a",n=~"b"})',
    'absent(nosuch{instance="h1",kind="a",kind="b"})',
    'absent(gauge{instance="h1"} > 1000)',
    'absent(sum(nosuch{instance="h2:9100"}))',
    'absent_over_time(odd{kind="ends",instance="h1"}[1m])',
    'absent_over_time(odd{kind="gaps",instance="h1"}[30s])',
    'absent_over_time(nosuch{instance="h1"}[1m])',
    'scalar(total{instance="h1",n="0"})',
    'gauge{instance="h1"} / scalar(total{instance="h1",n="0"})',
    'gauge{instance="h1"} / scalar(total{instance="h1"})',
    'gauge{instance="h1"} > scalar(avg(gauge{instance="h1"}))',
    'vector(scalar(gauge{instance="h1",n="1"}))',
    'sum(c{instance="h1"})',
    'sum by (mode) (rate(c{instance="h2:9100"}[1m]))',
    'gauge{instance="h1"} - on () group_left total{instance="h1",n="0"}',
    'c{instance="h1"} or vector(7)',
    'vector(7) unless on () odd{instance="h1",kind="ends"}',
    "up",
    "timestamp(gauge)",
    "timestamp(odd)",
    'timestamp(odd{kind="gaps"})',
    "timestamp(gauge + 1)",
    "timestamp(timestamp(late))",
    "time() - timestamp(late)",
    "gauge * time()",
    "time() > bool gauge",
    "gauge < time()",
    "-time() + gauge",
    "(time() + 1) ^ 2 % 7 + gauge",
    "pi() * gauge",
    "gauge + 2 > bool 3",
    "gauge and total",
    "gauge and ignoring (job) total",
    'gauge and on (instance) total{n="0"} > 1',
    "gauge > 50 and total > 50",
    'odd and on (instance) odd{kind="ends"}',
    'odd unless on (instance) odd{kind="ends"}',
    "odd unless odd > 5",
    "gauge or total",
    "gauge > 60 or gauge < 30",
    'odd{kind="ends"} or on (instance) late',
    'odd{kind="ends"} or late or up',
    "c or c",
    "gauge and on () hour() == 0",
    "gauge unless on () minute() > 3",
    "gauge and on () vector(1)",
    "up unless on (instance) late",
    "c * on (instance) group_left up",
    "c * on (instance, job) group_left gauge",
    'c / on (instance) group_left (n) gauge{n="1"}',
    'c / on (instance) group_left (kind, cpu) late{kind=""}',
    'gauge{n="1"} / on (instance) group_right c',
    'gauge{n="1"} - on (instance) group_right (n) c',
    'gauge{n="1"} < on (instance) group_right (n) c',
    'c > on (instance) group_left gauge{n="1"}',
    'c == bool on (instance) group_left gauge{n="1"}',
    "c * ignoring (cpu, mode) group_left up",
    "gauge * ignoring (n) group_left (n) late",
    "gauge * on (instance) group_left (n) up",
    "c * on () group_left vector(2)",
    "vector(2) ^ on () group_right gauge",
    "gauge atan2 total",
    "gauge atan2 3",
    "2 atan2 gauge",
    "stddev by (instance) (c)",
    "stdvar without (cpu) (c)",
    "stddev by (instance) (odd)",
    "stdvar by (instance, job) (total)",
    "group by (instance) (odd)",
    "group without (mode) (c)",
    "quantile by (instance) (0.5, c)",
    "quantile without (cpu) (0.9, c)",
    "quantile by (instance) (0.3, odd)",
    "quantile by (instance) (2, odd)",
    "quantile by (instance) (-0.1, c)",
    'topk by (instance) (2, c{cpu="0"})',
    'bottomk by (instance) (2, c{cpu="1"})',
    "topk by (instance, cpu) (1, c)",
    'topk without (kind) (2, odd{kind=~"stale|special"})',
    'bottomk without (kind) (1, odd{kind=~"stale|special"})',
    "topk by (instance) (0, c)",
    "topk by (instance) (1.9, gauge)",
    "bottomk by (instance) (100, c)",
    'topk(2, c{instance="h1",cpu="1"})',
    'sum by (instance) (topk by (instance) (2, c{cpu="0"}))',
    "clamp(gauge, 30, 60)",
    "clamp(odd, -5, 5)",
    "clamp(gauge, 60, 30)",
    "clamp_min(odd, 10)",
    "clamp_max(odd, 10)",
    'clamp_max(gauge{instance="h1"}, scalar(avg(gauge{instance="h1"})))',
    "round(gauge, 5)",
    "round(gauge / 100, 0.1)",
    "round(-gauge)",
    "round(gauge, time())",
    "sort(gauge)",
    "sort_desc(odd)",
    'label_replace(gauge, "n", "x$1y", "n", "(.)")',
    'label_replace(gauge, "new", "$1-${1}-$$", "n", "(.)")',
    'label_replace(gauge, "n", "", "n", "0")',
    'label_replace(gauge, "n", "same", "job", ".*")',
    'label_replace(gauge, "new", "${word}-$2$word", "job", "(?P<word>.).*")',
    'label_replace(up, "instance", "$1", "instance", "(.*):.*")',
    'label_replace(gauge, "where", "$1", "instance", "h(.).*")',
    'label_replace(c, "new", "v", "nosuch", "")',
    'label_replace(c, "new", "v", "nosuch", ".+")',
    'label_replace(up, "__name__", "x", "", "")',
    'label_join(c, "both", "-", "mode", "cpu")',
    'label_join(c, "both", "-", "nosuch", "cpu")',
    'label_join(c, "cpu", "", "nosuch")',
    'label_join(up, "at", "@", "job", "instance")',
    'sum by (instance, both) (label_join(c, "both", "/", "mode", "cpu"))',
    'c * on (instance, cpu) group_left (core) label_replace(c{mode="idle"}, "core", "n$1", "cpu", "(.*)")',
    "histogram_quantile(0.9, sum by (instance, le) (rate(lat_bucket[1m])))",
    "histogram_quantile(0.5, lat_bucket)",
    "histogram_quantile(0, lat_bucket)",
    "histogram_quantile(1, rate(lat_bucket[2m]))",
    "histogram_quantile(1.1, lat_bucket)",
    "histogram_quantile(0.2, c)",
    'histogram_quantile(0.9, lat_bucket{le!="+Inf"})',
    "gauge offset 1m",
    "odd offset 45s",
    "rate(c[1m] offset 2m)",
    "c - c offset 1m",
    "timestamp(gauge offset 1m)",
    "max_over_time(odd[1m] offset 1m)",
    "sum by (instance) (c) - sum by (instance) (c offset 30s)",
    "(gauge > 50) * 2 + 1",
    "-(-gauge)",
    "+gauge",
    "abs(-gauge) + sum without (n) (abs(gauge)) * 0 or gauge",
    "clamp_max(sum by (instance) (increase(c[1m])) > bool 10, 0.5)",
    "max by (instance) (abs(delta(gauge[1m])) > 10) or min by (instance) (gauge)",
    '1 - avg without (cpu, mode) (rate(c{mode="idle"}[1m])) / 2 > 0.1 and up == 1',
)

DIFFERENT_IN_2 = (
    'odd > on (instance) odd{kind="ends"}',
    "gauge > on (instance) up * 1000",
    "gauge < on (instance, job) late",
    'odd{kind="special"} >= on (instance) odd',
    "c > on (instance) group_left (n) gauge",
    "up > on (instance) group_right () (c * 1e9)",
    "quantile by (instance) (1, max_over_time(odd[2m]))",
    "quantile by (instance) (0, min_over_time(odd[3m]))",
    "quantile_over_time(1, odd[2m])",
    "quantile_over_time(0, odd[2m])",
    "quantile_over_time(0.5, odd[30s])",
    "stddev by (instance) (max_over_time(odd[1m]))",
    "stdvar by (instance, kind) (max_over_time(odd[1m]))",
    "1 / (0 * gauge)",
    "1 / (-0 * gauge)",
    "topk by (instance) (Inf, gauge)",
    "bottomk by (instance) (-Inf, gauge)",
    "topk by (instance) (1e300, gauge)",
    "bottomk by (instance) (NaN, gauge)",
    'label_replace(up, "x", "$$1|${1}|$1x|${1}x|$2|$", "job", "(n)(.)?(zz)?.*")',
    'label_replace(up, "x", "${n}_$n$0", "job", "(?P<n>no)(?:de)")',
    'label_replace(up, "x", "$1", "job", "([[:alpha:]]+)")',
    'label_replace(up, "x", "$1", "job", "(\\\\pL).*")',
    'absent(nosuch{instance="h1",a!="b",c="d"})',
    'absent(sum by (instance) (nosuch{instance="h1",x="y"}))',
    "(gauge or up) unless on (instance) late",
    "gauge or on (instance) up or late",
    "odd offset 2m and odd",
    "increase(odd[1m] offset 1m)",
    'rate({__name__=~"c|odd"}[1m])',
    'timestamp({__name__=~"gauge|total"})',
    "gauge == NaN",
    "NaN == bool gauge",
    "round(odd, 0)",
    "clamp(odd, NaN, 3)",
    "avg by (instance) (odd * 1e307 * 1e1)",
    "sum by (instance) (c * 1e308)",
    "topk by (instance) (-1, gauge)",
    "mad_over_time(odd[3m])",
    "first_over_time(odd[1m] offset 30s)",
    "count_over_time(gauge[10s])",
    "rate(c[20s] offset 10s)",
    "rad(odd * 1e307)",
    "deg(odd * 1e307)",
    'histogram_quantile(0.9, lat_bucket{le!="0.5"} or label_replace(lat_bucket{le="1"}, "le", "NaN", "le", "1"))',
    "histogram_quantile(0.7, clamp_max(lat_bucket, 20) - lat_bucket * 1e-14)",
    "histogram_quantile(1, clamp_max(lat_bucket, 20) + lat_bucket * 1e-14)",
    "histogram_quantile(0.9, clamp_max(lat_bucket, 20) + lat_bucket * 1e-10)",
    "histogram_quantile(0.9, -lat_bucket)",
    'histogram_quantile(0.9, lat_bucket / (lat_bucket{le="1"} * NaN or lat_bucket))',
    'histogram_quantile(0.5, {__name__=~"lat_bucket|other_bucket"})',
    'label_replace(gauge, "new", "$1", "kind", "(?i)A.*")',
    'odd{kind=~"(?i)GAPS|St.*"}',
)


def expressions(version: int = 2) -> list[str]:
    """Every expression that a Prometheus of this version reads as 3 does, beside a tick (3: also at one)."""
    ranges = [
        f"{call}({metric}[{length}])"
        for call in (RANGE_CALLS if version == 2 else (*RANGE_CALLS, *SINCE_3))
        for metric, length in _READ
        if metric != "odd" or call not in COUNTER_CALLS or version > 2
    ]
    values = [f"{call}({argument})" for call in VALUE_CALLS for argument in ("gauge / 60 - 0.5", "odd", "-gauge")]
    dates = [f"{call}({argument})" for call in DATE_CALLS for argument in _MOMENTS]
    if version == 2:
        return [*ranges, *values, *dates, *OTHERS]
    return [for_engine(expr) for expr in (*ranges, *values, *dates, *OTHERS, *DIFFERENT_IN_2)]


_READ = (("c", "1m"), ("odd", "1m"), ("odd", "2m"), ("gauge", "20s"), ("late", "5m"), ("total", "1m"), ("c", "10s"))
_MOMENTS = ("gauge * 1e7", "-gauge * 1e6", "timestamp(gauge) * 86400 * 31", "total", "c * 12345678")


def language_fleet() -> dict[str, list[str]]:
    """`fleet`, with `up` and a histogram."""
    series = fleet()
    for h, host in enumerate(("h1", "h2:9100", "h3:9100")):
        series[f'up{{instance="{host}",job="node"}}'] = ["1"] * TICKS
        for b, le in enumerate(("0.1", "0.5", "1", "+Inf")):
            counts = [math.floor((b + 1) * k * (1.5 + h) + b) for k in range(TICKS)]
            series[f'lat_bucket{{instance="{host}",job="node",le="{le}"}}'] = [repr(float(n)) for n in counts]
    series['other_bucket{instance="h1",job="node",le="2"}'] = ["5"] * TICKS
    return series


def for_engine(expr: str) -> str:
    """The expression as Prometheus 3 spells it."""
    return expr.replace("holt_winters(", "double_exponential_smoothing(")


TIMES: Sequence[int] = tuple(10 * tick + 5 for tick in (0, 1, 5, 9, 13, 16, 23, 31, 34, TICKS - 1))
AT_TICKS: Sequence[int] = (0, 60, 130, 160, 165, 230, 310, 440)
