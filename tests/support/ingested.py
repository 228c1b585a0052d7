"""Looking at what ingest stored, and bringing a minute to its end without waiting for the clock."""

import math
import time
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from clickhouse_driver import Client

from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from tests.support.topics import kafka_env

MINUTE_MS = 60_000

Row = tuple[float, ...]


class PastMinute(NamedTuple):
    """A minute before now that a worker with this lateness closes `seconds` from now."""

    start_ms: int
    lateness_seconds: float


def past_minute(seconds: float) -> PastMinute:
    """The bucket stays open for `seconds`, so that a test can do something in the middle of its minute."""
    now_ms = time.time_ns() // 1_000_000
    start_ms = now_ms // MINUTE_MS * MINUTE_MS - 2 * MINUTE_MS
    return PastMinute(start_ms, (now_ms - start_ms - MINUTE_MS) / 1000 + seconds)


def still_open() -> PastMinute:
    """A minute before now that no worker with this lateness closes while a test runs."""
    return past_minute(3600)


def closing(start_ms: int, seconds: float = 2.0) -> str:
    """The lateness with which a worker closes the minute that starts then `seconds` from now; as a setting."""
    return str((time.time_ns() // 1_000_000 - start_ms - MINUTE_MS) / 1000 + seconds)


def ingest_env(topics: KafkaSettings, url: str, lateness_seconds: float = 30.0) -> dict[str, str]:
    """Settings of an ingest worker of a test; its own metrics stay out of the data."""
    return kafka_env(topics) | {
        "FLEETPULSE_CLICKHOUSE_URL": url,
        "FLEETPULSE_SELF_INTERVAL_SECONDS": "0",
        "FLEETPULSE_INGEST_FLUSH_SECONDS": "0.3",
        "FLEETPULSE_INGEST_LATENESS_SECONDS": str(lateness_seconds),
    }


def ask(url: str, query: str) -> Any:
    """One value, by a connection of its own: for tests whose server comes and goes."""
    client = connect(url)
    try:
        [(value,)] = client.execute(query)
        return value
    finally:
        client.disconnect()


def raw_rows(client: Client) -> dict[tuple[str, str, int], list[float]]:
    """(host, metric, minute in ms) → the values in the order of time, as the public view shows them."""
    rows: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for host, metric, ms, value in client.execute(
        "SELECT host, metric, toUnixTimestamp64Milli(timestamp), value FROM metrics ORDER BY timestamp"
    ):
        rows[host, metric, ms // MINUTE_MS * MINUTE_MS].append(value)
    return dict(rows)


def rollups(client: Client) -> dict[tuple[str, str, int], Row]:
    """(host, metric, minute in ms) → count, sum, min, max, first, last, increase, as the public view shows them."""
    found = {}
    for host, metric, second, *columns in client.execute(
        "SELECT host, metric, toUnixTimestamp(timestamp), count, sum, min, max, first, last, increase FROM metrics_1m"
    ):
        key = (host, metric, second * 1000)
        assert key not in found, f"{key} is there twice"
        found[key] = tuple(map(float, columns))
    return found


def expected_rollups(raw: Mapping[tuple[str, str, int], list[float]]) -> dict[tuple[str, str, int], Row]:
    """What the rollups must be, by plain Python."""
    expected: dict[tuple[str, str, int], Row] = {}
    for key, values in raw.items():
        numbers = [value for value in values if not math.isnan(value)]
        if numbers:
            rises = (b - a if b >= a else b for a, b in pairwise(numbers))
            expected[key] = (
                float(len(numbers)), sum(numbers), min(numbers), max(numbers), numbers[0], numbers[-1], sum(rises),
            )  # fmt: skip
    return expected


def rollups_equal_raw(client: Client) -> bool:
    """Asserts that every rollup is what the raw samples say, up to the order of additions."""
    found, expected = rollups(client), expected_rollups(raw_rows(client))
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key] == pytest.approx(row, nan_ok=True), key
    return True
