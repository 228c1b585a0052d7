"""`samples`: the parameters checked against the limits, and the answer as JSON.

The answer is encoded here, by msgspec: half a million points through pydantic would take seconds.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from api.errors import ParameterError
from api.times import parse_duration, parse_time, show_duration
from fleetpulse.errors import MetricError, RejectedError
from fleetpulse.metric import check_name
from fleetpulse.settings import ApiSettings, IngestSettings
from fleetpulse.storage.matchers import Matcher, parse_matcher
from fleetpulse.storage.pool import QueryError
from fleetpulse.storage.reader import Reader, SeriesRow
from fleetpulse.storage.sampling import Aggregate, Filled, sample
from fleetpulse.storage.tiers import DAY_MS, HOUR_MS, MINUTE_MS, Grid, Plan, plan

DEFAULT_RANGE_MS = HOUR_MS
DEFAULT_POINTS = 300
MOST_POINTS = 11_000  # a series, as Prometheus
MOST_MATCHERS = 64
MOST_HOSTS = 1000
LEAST_STEP_MS = 1000
# Rollups of minutes newer than this are not read: bucket end, lateness and flush, with room.
SETTLED_AFTER_MS = 10 * MINUTE_MS
_STEPS_MS = [seconds * 1000 for seconds in (1, 2, 5, 10, 15, 30)] + [
    minutes * MINUTE_MS for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440)
]

_RE2_CAUSE = re.compile(r"[a-z][a-z ]*[a-z](?: [^a-zA-Z0-9\s.:]{1,2})?")

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class SampleQuery:
    """The parameters as they came."""

    metric: str
    match: Sequence[str]
    hosts: Sequence[str]
    start: str | None
    end: str | None
    step: str | None
    aggregate: Aggregate


def answer(query: SampleQuery, reader: Reader, limits: ApiSettings, retention: IngestSettings, now_ms: int) -> bytes:
    """The JSON of `models.Samples`. Raises ParameterError for what is wrong or too much."""
    try:
        check_name(query.metric)
    except MetricError as error:
        raise ParameterError("metric", str(error)) from error
    matchers = _matchers(query.match)
    wanted = grid_of(query, limits, now_ms)
    chosen = plan(wanted, now_ms, retention, histogram=bool(query.aggregate.level))
    grid = chosen.grid
    most_series = max(1, limits.max_samples // len(grid))
    series = _matching(reader, query, matchers, most_series + 1)
    if len(series) > most_series:
        raise ParameterError(
            "match",
            f"more than {most_series} series match, which at {len(grid)} points each is above the limit of "
            f"{limits.max_samples} samples an answer (FLEETPULSE_API_MAX_SAMPLES): add a matcher, shorten the range or "
            "take a larger step",
        )
    ids = [row.id for row in series]
    settled_ms = now_ms - SETTLED_AFTER_MS
    filled = sample(reader.pool, ids, grid, query.aggregate, settled_ms, chosen.tier) if ids else {}
    return _encode(query, chosen, series, filled)


def check_hosts(query: SampleQuery) -> None:
    """Raise ParameterError when the query names too many hosts."""
    if len(query.hosts) > MOST_HOSTS:
        raise ParameterError(
            "host",
            f"{len(query.hosts)} hosts: at most {MOST_HOSTS} are allowed; leave the parameter out for all hosts, or "
            "choose by a label with `match`",
        )


def grid_of(query: SampleQuery, limits: ApiSettings, now_ms: int) -> Grid:
    """The steps that are asked for; raises ParameterError when the range or the step is out of bounds."""
    end_ms = now_ms if query.end is None else parse_time("end", query.end)
    start_ms = end_ms - DEFAULT_RANGE_MS if query.start is None else parse_time("start", query.start)
    range_ms = end_ms - start_ms
    if range_ms <= 0:
        raise ParameterError("start", "the start is not before the end: exchange them")
    if range_ms > limits.max_range_days * DAY_MS:
        raise ParameterError(
            "start",
            f"the range is {range_ms / DAY_MS:.1f} days: at most {limits.max_range_days} are allowed "
            "(FLEETPULSE_API_MAX_RANGE_DAYS)",
        )
    if query.step is None:
        step_ms = next((step for step in _STEPS_MS if range_ms / step <= DEFAULT_POINTS), 2 * DAY_MS)
    else:
        step_ms = parse_duration("step", query.step)
    if step_ms < LEAST_STEP_MS:
        raise ParameterError("step", f"the step is {step_ms} ms: the least is {LEAST_STEP_MS} ms")
    if step_ms > limits.max_range_days * DAY_MS:
        raise ParameterError("step", f"the step is longer than the longest range of {limits.max_range_days} days")
    if range_ms / step_ms > MOST_POINTS:
        least = show_duration(math.ceil(range_ms / MOST_POINTS / 1000) * 1000)
        raise ParameterError(
            "step",
            f"the range has {range_ms // step_ms} steps of {show_duration(step_ms)}: at most {MOST_POINTS} are "
            f"allowed, that is a step of {least} or more",
        )
    return Grid.around(start_ms, end_ms, step_ms)


def _matchers(texts: Sequence[str]) -> list[Matcher]:
    if len(texts) > MOST_MATCHERS:
        raise ParameterError("match", f"{len(texts)} matchers: at most {MOST_MATCHERS} are allowed")
    try:
        return [parse_matcher(text) for text in texts]
    except RejectedError as error:
        raise ParameterError("match", str(error)) from error


def _matching(reader: Reader, query: SampleQuery, matchers: Sequence[Matcher], limit: int) -> list[SeriesRow]:
    try:
        return reader.matching(query.metric, matchers, query.hosts, limit)
    except QueryError as error:
        if error.reason == "pattern":
            raise ParameterError("match", _bad_pattern(str(error), matchers)) from error
        raise


def _bad_pattern(refusal: str, matchers: Sequence[Matcher]) -> str:
    """Which matcher the server's refusal is about, and what is wrong with it: the refusal repeats the pattern first."""
    patterns = [matcher for matcher in matchers if matcher.pattern is not None]
    for matcher in patterns:
        _, _, rest = refusal.partition(f"compile re2: {matcher.pattern}, error: ")
        if rest:
            cause = _RE2_CAUSE.match(rest)
            return _not_re2([matcher]) + (f" ({cause[0]})" if cause else "")
    return _not_re2(patterns)


def _not_re2(matchers: Sequence[Matcher]) -> str:
    names = " or ".join(f"label {matcher.label}: {matcher.value[:100]!r}" for matcher in matchers)
    return f"{names} is not a regular expression of RE2's syntax"


def _encode(query: SampleQuery, chosen: Plan, series: Sequence[SeriesRow], filled: dict[int, Filled]) -> bytes:
    grid = chosen.grid
    times = range(grid.start_ms, grid.end_ms, grid.step_ms)
    return _encoder.encode(
        {
            "metric": query.metric,
            "aggregate": query.aggregate,
            "tier": chosen.tier,
            "step_ms": grid.step_ms,
            "start_ms": grid.start_ms,
            "end_ms": grid.end_ms,
            "series": [
                {"labels": {"__name__": row.metric, **row.labels}, "points": _points(times, filled.get(row.id))}
                for row in series
            ],
        }
    )


def _points(times: Sequence[int], filled: Filled | None) -> list[tuple[int, Any]]:
    values: list[Any] = [None] * len(times)
    if filled:
        for position, value in zip(*filled, strict=True):
            values[position] = value if math.isfinite(value) else _spelled(value)
    return list(zip(times, values, strict=True))


def _spelled(value: float) -> str:
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
