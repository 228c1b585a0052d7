"""The same question answered from raw samples, one-minute and one-hour rollups, and which of them is taken."""

import math
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from clickhouse_driver import Client

from fleetpulse.clock import Clock, ManualClock
from fleetpulse.identity import series_id
from fleetpulse.metric import canonical_key
from fleetpulse.settings import ApiSettings, IngestSettings
from fleetpulse.storage import tables
from fleetpulse.storage.client import connect
from fleetpulse.storage.histogram import RELATIVE_ERROR
from fleetpulse.storage.pool import ClientPool
from fleetpulse.storage.recompute import HOURS, MINUTES, Rollup, between, recompute, version
from fleetpulse.storage.sampling import Aggregate, sample
from fleetpulse.storage.tiers import DAY_MS, HOUR_MS, MINUTE_MS, Grid, Tier, plan
from tests.support.databases import Database
from tests.support.stored import Stored, store

pytestmark = pytest.mark.servers

END_MS = int(time.time() * 1000) // HOUR_MS * HOUR_MS
START_MS = END_MS - 6 * HOUR_MS
HOURS_TO, MINUTES_TO = END_MS - 2 * HOUR_MS, END_MS - 40 * MINUTE_MS  # complete before these
INTERVAL_MS = 20_000
NEVER = 1 << 50


def series() -> list[Stored]:
    chance = np.random.default_rng(8)
    at = list(range(START_MS, END_MS, INTERVAL_MS))
    skewed = np.exp(chance.normal(0, 4, len(at))) * chance.choice([-1, 1], len(at))
    with_nan = np.where(chance.random(len(at)) < 0.2, math.nan, chance.normal(5, 1, len(at)))
    infinite = np.where(chance.random(len(at)) < 0.01, chance.choice([math.inf, -math.inf], len(at)), 1.5)
    rising = np.cumsum(chance.integers(0, 50, len(at))) % 70_000
    whole = {"skewed": skewed, "with_nan": with_nan, "infinite": infinite, "rising_total": rising}
    rows: list[Stored] = [
        (name, {"instance": "web-1"}, [(ms, float(value)) for ms, value in zip(at, values, strict=True)])
        for name, values in whole.items()
    ]
    away = [ms for ms in at if not 100 <= (ms - START_MS) // MINUTE_MS < 190]  # for more than an hour
    rows.append(("rising_total", {"instance": "web-2"}, [(ms, float(n)) for n, ms in enumerate(away)]))
    rows.append(("zeros", {"instance": "web-2"}, [(ms, 0.0) for ms in at]))
    return rows


ROWS = series()
IDS = {series_id(canonical_key(name, labels)): (name, samples) for name, labels, samples in ROWS}


@pytest.fixture(scope="module")
def clock() -> Clock:
    return ManualClock(END_MS)


@pytest.fixture(scope="module")
def limits() -> ApiSettings:
    return ApiSettings()


@pytest.fixture(scope="module", autouse=True)
def _stored(database: Database) -> None:
    """Rollups up to where they are complete, and nothing of them after that."""
    store(database.url, ROWS)
    client = connect(database.url)
    for rollup, end_ms in ((MINUTES, MINUTES_TO), (HOURS, HOURS_TO)):
        columns = ", ".join(rollup.columns)
        rows = recompute(rollup, between(START_MS // 1000, end_ms // 1000), f"{version(1)} AS version", merging=False)
        client.execute(f"INSERT INTO {rollup.table} ({columns}) {rows}")
    complete(client, MINUTES, MINUTES_TO)
    complete(client, HOURS, HOURS_TO)
    client.disconnect()


def complete(client: Client, rollup: Rollup, before_ms: int, partition: int = 0) -> None:
    row = ("t.metrics", partition, rollup.name, before_ms // 1000, 1)
    client.execute(f"INSERT INTO {tables.ROLLED_UP} ({', '.join(tables.ROLLED_UP_COLUMNS)}) VALUES", [row])


@pytest.fixture(scope="module")
def pool(database: Database) -> Iterator[ClientPool]:
    pool = ClientPool(database.url_for("api"))
    yield pool
    pool.close()


@pytest.mark.parametrize("step_ms", [HOUR_MS, 2 * HOUR_MS])
@pytest.mark.parametrize("aggregate", list(Aggregate))
def test_the_tiers_agree(pool: ClientPool, aggregate: Aggregate, step_ms: int) -> None:
    grid = Grid.around(START_MS, END_MS, step_ms)
    answers = {
        tier: sample(pool, list(IDS), grid, aggregate, NEVER, tier)
        for tier in (("raw", "1h") if aggregate.level else ("raw", "1m", "1h"))
    }
    raw = answers.pop("raw")
    assert raw.keys() == IDS.keys()
    for tier, answer in answers.items():
        assert answer.keys() == raw.keys()
        for one, (positions, values) in raw.items():
            found_positions, found = answer[one]
            assert list(found_positions) == list(positions), (tier, IDS[one][0])
            for position, right, value in zip(positions, values, found, strict=True):
                inside = numbers(IDS[one][1], grid, position)
                assert agrees(aggregate, right, value, inside), (tier, IDS[one][0], position, right, value)


def test_hours_from_before_there_was_the_tier_come_from_the_minutes(pool: ClientPool, database: Database) -> None:
    grid, first = Grid.around(START_MS, END_MS, HOUR_MS), (START_MS + 2 * HOUR_MS) // 1000
    whole = {tier: sample(pool, list(IDS), grid, Aggregate.COUNT, NEVER, tier) for tier in ("raw", "1h")}
    client, columns = connect(database.url), ", ".join(HOURS.columns)
    old = f"FROM {HOURS.table} WHERE timestamp < fromUnixTimestamp({first})"
    client.execute(f"CREATE TABLE kept ENGINE = MergeTree ORDER BY id AS SELECT {columns} {old}")
    client.execute(f"DELETE {old}")
    try:
        assert sample(pool, list(IDS), grid, Aggregate.COUNT, NEVER, "1h") == whole["1h"] == whole["raw"]
    finally:
        client.execute(f"INSERT INTO {HOURS.table} ({columns}) SELECT {columns} FROM kept")
        client.disconnect()


def numbers(samples: Sequence[tuple[int, float]], grid: Grid, position: int) -> list[float]:
    begin = grid.start_ms + position * grid.step_ms
    return [value for ms, value in samples if begin <= ms < begin + grid.step_ms and not math.isnan(value)]


def agrees(aggregate: Aggregate, right: float, value: float, inside: Sequence[float]) -> bool:
    if math.isnan(right) or math.isinf(right):
        return str(right) == str(value)
    if aggregate.level:
        return abs(value - right) <= RELATIVE_ERROR * abs(right) * (1 + 1e-12)
    magnitude = sum(map(abs, inside))
    if aggregate is Aggregate.RATE:  # beside a gap, the time is right to a minute
        return value == pytest.approx(right, rel=0.05)
    if aggregate in (Aggregate.SUM, Aggregate.INCREASE):
        return abs(value - right) <= 1e-9 * magnitude
    if aggregate is Aggregate.AVG:
        return abs(value - right) <= 1e-9 * magnitude / len(inside)
    return value == right


def test_a_quantile_of_raw_samples_is_the_value_at_its_rank(pool: ClientPool) -> None:
    grid = Grid.around(START_MS, START_MS + 10 * MINUTE_MS, 5 * MINUTE_MS)
    for aggregate in (Aggregate.P50, Aggregate.P95, Aggregate.P99):
        for one, (positions, values) in sample(pool, list(IDS), grid, aggregate, NEVER, "raw").items():
            for position, value in zip(positions, values, strict=True):
                inside = sorted(numbers(IDS[one][1], grid, position))
                assert value == inside[math.ceil(float(aggregate.level) * len(inside)) - 1]


def test_what_is_not_rolled_up_comes_from_the_finer_tier_and_nothing_is_there_twice(pool: ClientPool) -> None:
    tiers: tuple[Tier, ...] = ("1m", "1h")
    for tier in tiers:
        for minutes in (3, 30, 100):  # inside the newest part, across one boundary, across both
            grid = Grid.around(END_MS - minutes * MINUTE_MS, END_MS, HOUR_MS if tier == "1h" else MINUTE_MS)
            for settled in (NEVER, END_MS - 10 * MINUTE_MS, START_MS):
                found = sample(pool, list(IDS), grid, Aggregate.COUNT, settled, tier)
                for one, (positions, values) in found.items():
                    for position, value in zip(positions, values, strict=True):
                        assert 0 <= position < len(grid)
                        assert value == len(numbers(IDS[one][1], grid, position))


def test_a_partition_without_an_owner_holds_the_tier_back(database: Database, pool: ClientPool) -> None:
    grid = Grid.around(START_MS, END_MS, HOUR_MS)
    client = connect(database.url)
    client.execute(f"INSERT INTO {HOURS.table} ({', '.join(HOURS.columns)}) SELECT * REPLACE (version + 1 AS version, "
                   f"toUInt32(count + 1) AS count) FROM {HOURS.table} FINAL")  # fmt: skip
    [one] = [one for one, (name, _) in IDS.items() if name == "zeros"]
    assert sample(pool, [one], grid, Aggregate.COUNT, NEVER)[one][1][0] == HOUR_MS / INTERVAL_MS + 1
    complete(client, HOURS, START_MS, partition=1)
    assert sample(pool, [one], grid, Aggregate.COUNT, NEVER)[one][1][0] == HOUR_MS / INTERVAL_MS
    client.execute(f"ALTER TABLE {tables.ROLLED_UP} DELETE WHERE partition = 1 SETTINGS mutations_sync = 1")
    client.execute(f"DELETE FROM {HOURS.table} WHERE bitAnd(version, 1) = 0")
    client.disconnect()


RETENTION = IngestSettings(raw_retention_days=10, minute_retention_days=40)
NOW_MS = 100 * DAY_MS


@pytest.mark.parametrize(
    ("days", "step_ms", "histogram", "tier", "answered_ms"),
    [
        (1, 15_000, False, "raw", 15_000),
        (1, MINUTE_MS, False, "1m", MINUTE_MS),
        (1, 90_000, False, "raw", 90_000),
        (1, HOUR_MS, False, "1h", HOUR_MS),
        (1, 90 * MINUTE_MS, False, "1m", 90 * MINUTE_MS),
        (11, 90_000, False, "1m", 120_000),  # raw has expired
        (41, 5 * MINUTE_MS, False, "1h", HOUR_MS),
        (41, 90_000, False, "1h", HOUR_MS),
        (41, DAY_MS, False, "1h", DAY_MS),
        (1, 5 * MINUTE_MS, True, "raw", 5 * MINUTE_MS),  # a quantile has no one-minute tier
        (11, 5 * MINUTE_MS, True, "1h", HOUR_MS),
        (1, HOUR_MS, True, "1h", HOUR_MS),
    ],
)
def test_the_tier_is_the_coarsest_right_one_or_the_finest_that_is_kept(
    days: int, step_ms: int, histogram: bool, tier: Tier, answered_ms: int
) -> None:
    grid = Grid.around(NOW_MS - days * DAY_MS, NOW_MS, step_ms)
    found = plan(grid, NOW_MS, RETENTION, histogram=histogram)
    assert (found.tier, found.grid.step_ms) == (tier, answered_ms)
    assert found.grid.start_ms <= grid.start_ms
    assert found.grid.end_ms >= grid.end_ms
