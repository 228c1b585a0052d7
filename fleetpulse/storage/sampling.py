"""Samples of many series brought to a common step, from raw samples or from rollups.

A step holds the samples with start <= timestamp < start + step. NaN samples are left out; a step with nothing but NaN
is NaN, one without any sample is absent. Rollups are complete only up to a time (`tiers.py`), so the newest ones are
made from the finer tier. A one-minute rollup does not say when in its minute a sample was: beside a gap that does not
fill whole minutes, the time that a rate divides by is right to a minute.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from fleetpulse.storage.histogram import exact_quantile, quantile
from fleetpulse.storage.pool import ClientPool
from fleetpulse.storage.recompute import HOURS, recompute
from fleetpulse.storage.tiers import HOUR_MS, MINUTE_MS, Complete, Grid, Tier, complete

# A counter's first sample in the range is compared with its predecessor, when that is not older than this.
LOOKBACK_MS = 5 * MINUTE_MS


class Aggregate(StrEnum):
    """How the samples of a step become one value."""

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    FIRST = "first"
    LAST = "last"
    SUM = "sum"
    COUNT = "count"
    INCREASE = "increase"
    RATE = "rate"
    P50 = "p50"
    P95 = "p95"
    P99 = "p99"

    @property
    def is_counter(self) -> bool:
        """It follows a counter from one sample to the next."""
        return self in (Aggregate.INCREASE, Aggregate.RATE)

    @property
    def level(self) -> str:
        """The level of a quantile; empty for what is none."""
        return _LEVELS.get(self, "")


_LEVELS = {Aggregate.P50: "0.5", Aggregate.P95: "0.95", Aggregate.P99: "0.99"}

# Per step: (positions int[], values float[]) of the steps that have a value.
Filled = tuple[Sequence[int], Sequence[float]]


def sample(
    pool: ClientPool, ids: Sequence[int], grid: Grid, aggregate: Aggregate, settled_ms: int, tier: Tier | None = None
) -> dict[int, Filled]:
    """By series id, the steps that have a value; from `tier`, by default the grid's own.

    `settled_ms`: no rollup that ends later is taken for complete.
    """
    tier = tier or grid.tier
    counter = aggregate.is_counter
    known = Complete(None, None) if tier == "raw" else complete(pool)
    begin = grid.start_ms - LOOKBACK_MS if counter else grid.start_ms
    settled = settled_ms if known.minutes_ms is None else min(settled_ms, known.minutes_ms)
    settled = min(max(settled // MINUTE_MS * MINUTE_MS, begin), grid.end_ms)
    hours = min(grid.start_ms if known.hours_ms is None else known.hours_ms, settled)
    hours = max(grid.start_ms, hours // HOUR_MS * HOUR_MS) if tier == "1h" else grid.start_ms
    parameters: dict[str, Any] = {
        "ids": list(ids),
        "start": grid.start_ms,
        "from": begin,
        "end": grid.end_ms,
        "step": grid.step_ms,
        "settled": settled,
        "since": min(max(grid.start_ms, known.hours_from_ms or 0), hours),
        "hours": hours,
    }
    steps = _counter_steps(tier) if counter else _quantile_steps(tier) if aggregate.level else _gauge_steps(tier)
    value = _quantile_value(tier, aggregate.level) if aggregate.level else _VALUES[aggregate]
    sql = f"SELECT id, groupArray(position), groupArray({value})\nFROM\n(\n{steps}\n)\nGROUP BY id"
    return {series: (positions, values) for series, positions, values in pool.query(sql, parameters)}


_TIME = "toUnixTimestamp64Milli(toDateTime64(timestamp, 3))"
_POSITION = f"intDiv({_TIME} - {{start:Int64}}, {{step:Int64}})"


def _between(low: str, high: str) -> str:
    return (
        f"timestamp >= fromUnixTimestamp64Milli({{{low}:Int64}}) AND timestamp < fromUnixTimestamp64Milli("
        f"{{{high}:Int64}})"
    )


_OF_IDS = "id IN {ids:Array(UInt64)}"

# One row a series and minute, in the rollups' shape, from raw samples; a reset counts from zero, as in Prometheus.
_MINUTES_OF_RAW = f"""
SELECT id, toStartOfMinute(timestamp) AS minute,
       countIf(NOT isNaN(value)) AS count, sumIf(value, NOT isNaN(value)) AS sum,
       minIf(value, NOT isNaN(value)) AS min, maxIf(value, NOT isNaN(value)) AS max,
       argMinIf(value, timestamp, NOT isNaN(value)) AS first, argMaxIf(value, timestamp, NOT isNaN(value)) AS last,
       sumIf(if(value < previous, value, value - previous), NOT isNaN(value)) AS increase
FROM
(
    SELECT id, timestamp, value, lagInFrame(value, 1, value) OVER
           (PARTITION BY id, toStartOfMinute(timestamp), isNaN(value) ORDER BY timestamp
            ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS previous
    FROM samples FINAL
    WHERE {_OF_IDS} AND {_between("settled", "end")}
)
GROUP BY id, minute"""

_COLUMNS = "count, sum, min, max, first, last, increase"
# `began` and `ended`: times of the first and last sample, in seconds. Of a minute they are not known: its samples are
# taken to be spread evenly from its start on.
_OF_MINUTE = "toFloat64(toUnixTimestamp(at)) AS began, began + 60 * (count - 1) / count AS ended"

_MINUTES = f"""
SELECT id, toDateTime64(at, 3) AS timestamp, {_COLUMNS}, {_OF_MINUTE}
FROM
(
    SELECT id, timestamp AS at, {_COLUMNS} FROM samples_1m FINAL
    WHERE {_OF_IDS} AND {_between("from", "settled")} AND NOT ({_between("since", "hours")})
)
UNION ALL
SELECT id, toDateTime64(at, 3) AS timestamp, {_COLUMNS}, {_OF_MINUTE}
FROM (SELECT * EXCEPT (minute), minute AS at FROM ({_MINUTES_OF_RAW}))"""

_HOURS = f"""
SELECT id, toDateTime64(timestamp, 3) AS timestamp, {_COLUMNS}, toUnixTimestamp(timestamp) + first_ms / 1000 AS began,
       toUnixTimestamp(timestamp) + last_ms / 1000 AS ended
FROM samples_1h FINAL
WHERE {_OF_IDS} AND {_between("since", "hours")}
UNION ALL{_MINUTES}"""


def _rollups(tier: Tier) -> str:
    return _HOURS if tier == "1h" else _MINUTES


def _gauge_steps(tier: Tier) -> str:
    """Per series and step: how many samples count, and what the aggregates need."""
    if tier != "raw":
        return f"""
SELECT id, {_POSITION} AS position, sum(m.count) AS number, sumIf(m.sum, m.count > 0) AS total,
       minIf(m.min, m.count > 0) AS least, maxIf(m.max, m.count > 0) AS most,
       argMinIf(m.first, timestamp, m.count > 0) AS earliest, argMaxIf(m.last, timestamp, m.count > 0) AS latest
FROM ({_rollups(tier)}) AS m
GROUP BY id, position ORDER BY id, position"""
    return f"""
SELECT id, {_POSITION} AS position, countIf(NOT isNaN(value)) AS number, sumIf(value, NOT isNaN(value)) AS total,
       minIf(value, NOT isNaN(value)) AS least, maxIf(value, NOT isNaN(value)) AS most,
       argMinIf(value, timestamp, NOT isNaN(value)) AS earliest, argMaxIf(value, timestamp, NOT isNaN(value)) AS latest
FROM samples FINAL
WHERE {_OF_IDS} AND {_between("start", "end")}
GROUP BY id, position ORDER BY id, position"""


def _counter_steps(tier: Tier) -> str:
    """Per series and step: the reset-aware increase, from the sample before the step, and the seconds it took."""
    window = "(PARTITION BY id ORDER BY timestamp ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
    if tier != "raw":
        rows = f"""
    SELECT id, timestamp, first, increase, began, ended, m.count AS count, lagInFrame(last) OVER {window} AS previous,
           lagInFrame(ended) OVER {window} AS before, count() OVER {window} AS number
    FROM ({_rollups(tier)}) AS m
    WHERE m.count > 0"""
        increase = "increase + multiIf(number = 1, 0, first < previous, first, first - previous)"
        seconds = "(ended - if(number = 1, began, before))"
        known = "number > 1 OR count > 1"
    else:
        rows = f"""
    SELECT id, timestamp, value, lagInFrame(value) OVER {window} AS previous,
           lagInFrame(timestamp) OVER {window} AS before, count() OVER {window} AS number
    FROM samples FINAL
    WHERE {_OF_IDS} AND {_between("from", "end")} AND NOT isNaN(value)"""
        increase = "if(value < previous, value, value - previous)"
        seconds = "(timestamp - before)"
        known = "number > 1"
    return f"""
SELECT id, {_POSITION} AS position, sum({increase}) AS total, sum(toFloat64({seconds})) AS seconds
FROM ({rows}
)
WHERE timestamp >= fromUnixTimestamp64Milli({{start:Int64}}) AND ({known})
GROUP BY id, position ORDER BY id, position"""


def _quantile_steps(tier: Tier) -> str:
    """Per series and step: the numbers, or from rollups the merged histogram with its bounds."""
    if tier == "1h":
        columns = "id, toDateTime64(timestamp, 3) AS timestamp, count, min, max, histogram"
        of_raw = recompute(HOURS, f"{_OF_IDS} AND {_between('hours', 'end')}")
        return f"""
SELECT id, {_POSITION} AS position, sum(m.count) AS number, minIf(m.min, m.count > 0) AS least,
       maxIf(m.max, m.count > 0) AS most, sumMap(m.histogram) AS histogram
FROM
(
    SELECT {columns} FROM samples_1h FINAL WHERE {_OF_IDS} AND {_between("start", "hours")}
    UNION ALL
    SELECT {columns} FROM ({of_raw})
) AS m
GROUP BY id, position ORDER BY id, position"""
    return f"""
SELECT id, {_POSITION} AS position, groupArrayIf(value, NOT isNaN(value)) AS numbers
FROM samples FINAL
WHERE {_OF_IDS} AND {_between("start", "end")}
GROUP BY id, position ORDER BY id, position"""


def _quantile_value(tier: Tier, level: str) -> str:
    if tier == "1h":
        return f"if(number = 0, nan, {quantile(level, 'histogram', 'number', 'least', 'most')})"
    return f"if(empty(numbers), nan, {exact_quantile(level, 'numbers')})"


_VALUES = {
    Aggregate.AVG: "total / number",
    Aggregate.MIN: "if(number = 0, nan, least)",
    Aggregate.MAX: "if(number = 0, nan, most)",
    Aggregate.FIRST: "if(number = 0, nan, earliest)",
    Aggregate.LAST: "if(number = 0, nan, latest)",
    Aggregate.SUM: "if(number = 0, nan, total)",
    Aggregate.COUNT: "toFloat64(number)",
    Aggregate.INCREASE: "total",
    Aggregate.RATE: "total / seconds",
}
