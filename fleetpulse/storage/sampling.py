"""Samples of many series brought to a common step, from raw samples or from one-minute rollups.

A step holds the samples with start <= timestamp < start + step. NaN samples are left out; a step with nothing but NaN
is NaN, one without any sample is absent. The rollups are complete only after a bucket's lateness, so their newest
minutes are made from the raw samples. A rollup does not say when in its minute a sample was: beside a gap that does not
fill whole minutes, the time that a rate divides by is right to a minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from fleetpulse.storage.pool import ClientPool

MINUTE_MS = 60_000
# A counter's first sample in the range is compared with its predecessor, when that is not older than this.
LOOKBACK_MS = 5 * MINUTE_MS
Tier = Literal["raw", "1m"]


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


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps: `start_ms` and `end_ms` (not included) are multiples of `step_ms`."""

    start_ms: int
    end_ms: int
    step_ms: int

    @classmethod
    def around(cls, start_ms: int, end_ms: int, step_ms: int) -> "Grid":
        """The least grid that covers the range."""
        return cls(start_ms // step_ms * step_ms, -(-end_ms // step_ms) * step_ms, step_ms)

    def __len__(self) -> int:
        return (self.end_ms - self.start_ms) // self.step_ms

    @property
    def tier(self) -> Tier:
        """Rollups for steps of whole minutes, raw samples for all else."""
        return "raw" if self.step_ms % MINUTE_MS else "1m"


# Per step: (positions int[], values float[]) of the steps that have a value.
Filled = tuple[Sequence[int], Sequence[float]]


def sample(
    pool: ClientPool, ids: Sequence[int], grid: Grid, aggregate: Aggregate, settled_ms: int
) -> dict[int, Filled]:
    """By series id, the steps that have a value. `settled_ms`: rollups of minutes before it are complete."""
    counter = aggregate in (Aggregate.INCREASE, Aggregate.RATE)
    settled_ms = settled_ms // MINUTE_MS * MINUTE_MS
    rolled = grid.tier == "1m"
    parameters: dict[str, Any] = {
        "ids": list(ids),
        "start": grid.start_ms,
        "from": grid.start_ms - LOOKBACK_MS if counter else grid.start_ms,
        "end": grid.end_ms,
        "step": grid.step_ms,
        "settled": min(max(settled_ms, grid.start_ms - LOOKBACK_MS), grid.end_ms),
    }
    steps = _counter_steps(rolled) if counter else _gauge_steps(rolled)
    sql = f"SELECT id, groupArray(position), groupArray({_VALUES[aggregate]})\nFROM\n(\n{steps}\n)\nGROUP BY id"
    return {series: (positions, values) for series, positions, values in pool.query(sql, parameters)}


_TIME = "toUnixTimestamp64Milli(toDateTime64(timestamp, 3))"
_POSITION = f"intDiv({_TIME} - {{start:Int64}}, {{step:Int64}})"


def _between(low: str, high: str) -> str:
    return (
        f"id IN {{ids:Array(UInt64)}} AND timestamp >= fromUnixTimestamp64Milli({{{low}:Int64}}) "
        f"AND timestamp < fromUnixTimestamp64Milli({{{high}:Int64}})"
    )


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
    WHERE {_between("settled", "end")}
)
GROUP BY id, minute"""

_MINUTES = f"""
SELECT id, toDateTime64(timestamp, 3) AS timestamp, count, sum, min, max, first, last, increase
FROM samples_1m FINAL
WHERE {_between("from", "settled")}
UNION ALL
SELECT id, toDateTime64(minute, 3) AS timestamp, count, sum, min, max, first, last, increase
FROM ({_MINUTES_OF_RAW})"""


def _gauge_steps(rolled: bool) -> str:
    """Per series and step: how many samples count, and what the aggregates need."""
    if rolled:
        return f"""
SELECT id, {_POSITION} AS position, sum(m.count) AS number, sum(m.sum) AS total, minIf(m.min, m.count > 0) AS least,
       maxIf(m.max, m.count > 0) AS most, argMinIf(m.first, timestamp, m.count > 0) AS earliest,
       argMaxIf(m.last, timestamp, m.count > 0) AS latest
FROM ({_MINUTES}) AS m
GROUP BY id, position ORDER BY id, position"""
    return f"""
SELECT id, {_POSITION} AS position, countIf(NOT isNaN(value)) AS number, sumIf(value, NOT isNaN(value)) AS total,
       minIf(value, NOT isNaN(value)) AS least, maxIf(value, NOT isNaN(value)) AS most,
       argMinIf(value, timestamp, NOT isNaN(value)) AS earliest, argMaxIf(value, timestamp, NOT isNaN(value)) AS latest
FROM samples FINAL
WHERE {_between("start", "end")}
GROUP BY id, position ORDER BY id, position"""


def _counter_steps(rolled: bool) -> str:
    """Per series and step: the reset-aware increase, from the sample before the step, and the seconds it took."""
    window = "(PARTITION BY id ORDER BY timestamp ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
    if rolled:
        rows = f"""
    SELECT id, timestamp, first, increase, m.count AS count, lagInFrame(last) OVER {window} AS previous,
           lagInFrame(timestamp) OVER {window} AS before, count() OVER {window} AS number
    FROM ({_MINUTES}) AS m
    WHERE m.count > 0"""
        # A minute's own samples span (count - 1) / count of it; with the one before, all the time since that.
        increase = "increase + multiIf(number = 1, 0, first < previous, first, first - previous)"
        seconds = "if(number = 1, 60 * (count - 1) / count, (timestamp - before))"
        known = "number > 1 OR count > 1"
    else:
        rows = f"""
    SELECT id, timestamp, value, lagInFrame(value) OVER {window} AS previous,
           lagInFrame(timestamp) OVER {window} AS before, count() OVER {window} AS number
    FROM samples FINAL
    WHERE {_between("from", "end")} AND NOT isNaN(value)"""
        increase = "if(value < previous, value, value - previous)"
        seconds = "(timestamp - before)"
        known = "number > 1"
    return f"""
SELECT id, {_POSITION} AS position, sum({increase}) AS total, sum(toFloat64({seconds})) AS seconds
FROM ({rows}
)
WHERE timestamp >= fromUnixTimestamp64Milli({{start:Int64}}) AND ({known})
GROUP BY id, position ORDER BY id, position"""


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
