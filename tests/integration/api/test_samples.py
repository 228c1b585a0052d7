"""`samples` against the same aggregates computed in Python from the same samples, from both tiers."""

import math
import time
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from api import models
from fleetpulse.clock import Clock, ManualClock
from fleetpulse.settings import ApiSettings
from fleetpulse.storage.pool import ClientPool
from fleetpulse.storage.sampling import LOOKBACK_MS, Aggregate
from tests.support.databases import Database
from tests.support.stored import Stored, roll_up, store

pytestmark = pytest.mark.servers

SAMPLES = "/api/fleet/v1/samples"
MINUTE_MS = 60_000
NOW_MS = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS
START_MS = NOW_MS - 60 * MINUTE_MS
INTERVAL_MS = 10_000


def ticks(minutes: int = 60) -> list[int]:
    return [START_MS + number * INTERVAL_MS for number in range(minutes * 6)]


def counter() -> list[tuple[int, float]]:
    """Grows by 3 a tick; restarts at tick 100; nothing in five of the minutes."""
    samples = []
    for number, at in enumerate(ticks()):
        if not 198 <= number < 228:
            samples.append((at, 3.0 * (number if number < 100 else number - 100)))
    return samples


def gauge() -> list[tuple[int, float]]:
    """Bounded and uneven, with a NaN here and there, one minute of NaN alone and an infinity."""
    samples = []
    for number, at in enumerate(ticks()):
        value = math.sin(number) * 10
        if number % 17 == 0 or 120 <= number < 126:
            value = math.nan
        if number == 60:
            value = math.inf
        samples.append((at, value))
    return samples


LABELS = {"instance": "web-1", "job": "node"}
ROWS: list[Stored] = [
    ("gauge", {**LABELS, "mode": "idle"}, gauge()),
    ("counter_total", LABELS, counter()),
    ("gauge", {**LABELS, "mode": 'it\'s "odd" \\ {a:String} %s'}, [(START_MS, 1.0)]),
    ("gauge", {"instance": "db-1", "mode": "user"}, [(START_MS, 2.0)]),
    ("counter_total", {"instance": "db-1"}, [(START_MS - 10 * MINUTE_MS, 1.0), (START_MS, 5.0), (NOW_MS - 5000, 7.0)]),
]


@pytest.fixture(scope="module")
def clock() -> Clock:
    """Stands still: a long session comes here minutes after these times were chosen."""
    return ManualClock(NOW_MS + 30_000)


@pytest.fixture(scope="module", autouse=True)
def _stored(database: Database) -> None:
    store(database.url, ROWS)
    store(database.url, ROWS[:2])  # everything once more, as a redelivery: seen once
    roll_up(database.url, NOW_MS - 5 * MINUTE_MS)


@pytest.fixture(scope="module")
def limits() -> ApiSettings:
    return ApiSettings(max_samples=20_000, max_range_days=30)


def ask(client: httpx.Client, **parameters: Any) -> models.Samples:
    answer = client.get(SAMPLES, params=parameters)
    assert answer.status_code == 200, answer.text
    return models.Samples.model_validate(answer.json())


def expected(samples: Sequence[tuple[int, float]], step_ms: int, aggregate: Aggregate) -> list[tuple[int, Any]]:
    """The definition in words of `fleetpulse/storage/sampling.py`, one step after the other."""
    start_ms = START_MS // step_ms * step_ms
    points: list[tuple[int, Any]] = []
    for begin in range(start_ms, NOW_MS, step_ms):
        inside = [(at, value) for at, value in samples if begin <= at < begin + step_ms]
        numbers = [value for _, value in inside if not math.isnan(value)]
        points.append((begin, of_step(samples, inside, numbers, start_ms, aggregate)))
    return points


def of_step(
    samples: Sequence[tuple[int, float]],
    inside: Sequence[tuple[int, float]],
    numbers: Sequence[float],
    start_ms: int,
    aggregate: Aggregate,
) -> Any:
    if not inside:
        return None
    if aggregate in (Aggregate.INCREASE, Aggregate.RATE):
        increase = seconds = 0.0
        for at, value in inside:
            before = [(t, v) for t, v in samples if start_ms - LOOKBACK_MS <= t < at]
            if before:
                increase += value if value < before[-1][1] else value - before[-1][1]
                seconds += (at - before[-1][0]) / 1000
        if not seconds:
            return None
        return increase if aggregate is Aggregate.INCREASE else increase / seconds
    if aggregate is Aggregate.COUNT:
        return len(numbers)
    if not numbers:
        return math.nan
    if aggregate.level:
        return sorted(numbers)[math.ceil(float(aggregate.level) * len(numbers)) - 1]
    values = {
        Aggregate.AVG: sum(numbers) / len(numbers),
        Aggregate.MIN: min(numbers),
        Aggregate.MAX: max(numbers),
        Aggregate.FIRST: numbers[0],
        Aggregate.LAST: numbers[-1],
        Aggregate.SUM: sum(numbers),
    }
    return values[aggregate]


def number_of(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


@pytest.mark.parametrize("step", ["10", "15s", "1m", "90", "5m", "10m"])
@pytest.mark.parametrize("aggregate", list(Aggregate))
def test_every_aggregate_in_both_tiers(client: httpx.Client, step: str, aggregate: Aggregate) -> None:
    is_counter = aggregate in (Aggregate.INCREASE, Aggregate.RATE)
    metric, samples = ("counter_total", counter()) if is_counter else ("gauge", gauge())
    match = [] if is_counter else ['mode="idle"']

    found = ask(
        client, metric=metric, match=match, host="web-1", start=START_MS / 1000, end=NOW_MS / 1000, step=step,
        aggregate=aggregate.value,
    )  # fmt: skip

    assert found.tier == ("1m" if step in ("1m", "5m", "10m") and not aggregate.level else "raw")
    [series] = found.series
    wanted = expected(samples, found.step_ms, aggregate)
    assert [at for at, _ in series.points] == [at for at, _ in wanted]
    for (at, value), (_, right) in zip(series.points, wanted, strict=True):
        assert number_of(value) == pytest.approx(right, nan_ok=True), (at - START_MS) / found.step_ms


def test_the_newest_minutes_come_from_raw_samples(client: httpx.Client) -> None:
    """Rollups end five minutes ago here, and the answer has all minutes."""
    found = ask(client, metric="gauge", match='mode="idle"', step="1m", start=START_MS / 1000, end=NOW_MS / 1000)

    assert found.tier == "1m"
    assert None not in [value for _, value in found.series[0].points]


def test_a_range_that_is_not_aligned_is_answered_in_whole_steps(client: httpx.Client) -> None:
    found = ask(client, metric="gauge", start=START_MS / 1000 + 61, end=START_MS / 1000 + 119, step="1m")

    assert (found.start_ms, found.end_ms) == (START_MS + MINUTE_MS, START_MS + 2 * MINUTE_MS)
    assert all(len(series.points) == 1 for series in found.series)


def test_defaults_are_the_last_hour_in_at_most_300_points(client: httpx.Client) -> None:
    found = ask(client, metric="gauge", match='mode="idle"')

    assert found.step_ms == 15_000
    assert 240 <= len(found.series[0].points) <= 241
    assert found.aggregate == "avg"


def test_rfc_3339_times(client: httpx.Client) -> None:
    found = ask(client, metric="gauge", start="2026-01-02T03:00:00+01:00", end="2026-01-02T03:00:00Z", step="1h")

    assert found.end_ms - found.start_ms == 60 * MINUTE_MS


@pytest.mark.parametrize(
    ("match", "count"),
    [
        (['mode="idle"'], 1),
        (['mode!="idle"'], 2),
        (['mode=~"id.*|user"'], 2),
        (['mode=~"dl"'], 0),  # a pattern matches the whole value
        (['mode!~"id.*"'], 2),
        (['mode=~".+"', 'instance="db-1"'], 1),
        (['absent=""'], 3),
        (['absent!=""'], 0),
        ([r'mode="it\'s \"odd\" \\ {a:String} %s"'], 0),
        ([r'mode="it' + "'" + r's \"odd\" \\ {a:String} %s"'], 1),
        (['mode="\' OR 1=1 --"'], 0),
        (['mode=~"(it.*)"'], 1),
    ],
)
def test_matchers(client: httpx.Client, match: list[str], count: int) -> None:
    assert len(ask(client, metric="gauge", match=match).series) == count


def test_hosts_limit_the_series(client: httpx.Client) -> None:
    assert len(ask(client, metric="gauge", host="db-1").series) == 1
    assert len(ask(client, metric="gauge", host=["db-1", "web-1"]).series) == 3


def test_many_hosts_are_one_query_and_too_many_are_refused(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    query = ClientPool.query

    def counted(pool: ClientPool, text: str, *arguments: Any, **more: Any) -> Any:
        asked.append(text)
        return query(pool, text, *arguments, **more)

    monkeypatch.setattr(ClientPool, "query", counted)
    hosts = ["web-1", "db-1"] * 250
    answer = client.get(SAMPLES, params={"metric": "gauge", "host": hosts})
    assert (answer.status_code, len(answer.json()["series"])) == (200, 3)
    assert len(asked) < 10
    asked.clear()
    answer = client.get(SAMPLES, params={"metric": "gauge", "host": [f"h{number}" for number in range(1001)]})
    assert answer.status_code == 422
    assert "1001 hosts: at most 1000 are allowed" in answer.text
    assert asked == []


def test_an_unknown_metric_has_no_series_and_an_unknown_host_is_404(client: httpx.Client) -> None:
    assert ask(client, metric="nothing").series == []
    answer = client.get(SAMPLES, params={"metric": "gauge", "host": "web-2"})
    assert answer.status_code == 404
    assert answer.json()["nearest"] == ["web-1"]


@pytest.mark.parametrize(
    ("parameters", "parameter", "words"),
    [
        ({}, "metric", "required"),
        ({"metric": "no-metric"}, "metric", "not valid"),
        ({"metric": "gauge", "start": 200, "end": 100}, "start", "exchange them"),
        ({"metric": "gauge", "start": 100, "end": 100}, "start", "exchange them"),
        ({"metric": "gauge", "start": 0}, "start", "at most 30 are allowed"),
        ({"metric": "gauge", "start": "noon"}, "start", "RFC 3339"),
        ({"metric": "gauge", "end": "1e400"}, "end", "RFC 3339"),
        ({"metric": "gauge", "end": -5}, "end", "RFC 3339"),
        ({"metric": "gauge", "end": 99_999_999_999}, "end", "2100"),
        ({"metric": "gauge", "step": "0"}, "step", "least"),
        ({"metric": "gauge", "step": "10ms"}, "step", "least"),
        ({"metric": "gauge", "step": "5 apples"}, "step", "not a duration"),
        ({"metric": "gauge", "step": "999999999999d"}, "step", "longer than"),
        ({"metric": "gauge", "step": "1s", "start": NOW_MS / 1000 - 86_400}, "step", "a step of 8s or more"),
        ({"metric": "gauge", "step": "1s", "start": NOW_MS / 1000 - 9000}, "match", "more than 2 series match"),
        ({"metric": "gauge", "aggregate": "median"}, "aggregate", "'rate'"),
        ({"metric": "gauge", "match": "mode=idle"}, "match", "not a matcher"),
        ({"metric": "gauge", "match": 'mode=~"("'}, "match", "RE2"),
        (
            {"metric": "gauge", "match": ['mode=~".*"', 'mode!~"("']},
            "match",
            "match: label mode: '(' is not a regular expression of RE2's syntax (missing ))",
        ),
        (
            {"metric": "gauge", "match": 'mode=~"*"'},
            "match",
            "match: label mode: '*' is not a regular expression of RE2's syntax (no argument for repetition operator",
        ),
        ({"metric": "gauge", "match": ['a="b"'] * 65}, "match", "at most 64"),
    ],
)
def test_a_wrong_parameter_is_422_and_says_what_to_do(
    client: httpx.Client, parameters: dict[str, Any], parameter: str, words: str
) -> None:
    answer = client.get(SAMPLES, params={"end": str(NOW_MS / 1000)} | parameters if parameters else {})

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = models.Problem.model_validate(answer.json())
    assert [error.parameter for error in problem.errors or []] == [parameter]
    assert words in problem.detail
    assert "DB::Exception" not in problem.detail
