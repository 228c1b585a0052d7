"""`fleetpulse verify` finds what was spoilt in a rollup, mends it, and leaves alone what is not finished."""

import json
import math
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from clickhouse_driver import Client

from fleetpulse.identity import series_id
from fleetpulse.metric import STALE_NAN, canonical_key
from fleetpulse.partition import partition_of
from fleetpulse.settings import ClickHouseSettings, KafkaSettings, variable_of
from fleetpulse.storage import slices, tables
from fleetpulse.storage.client import connect
from fleetpulse.storage.recompute import MINUTES, ROLLUPS, Rollup, between, recompute, version
from fleetpulse.storage.verify_command import main
from fleetpulse.topics import Topic
from tests.support.databases import Database
from tests.support.stored import Stored, store

pytestmark = pytest.mark.servers

HOUR = 3600
NOW = int(time.time())
START = NOW // HOUR * HOUR - 3 * HOUR  # two whole hours, and the last one is left empty
TOPIC = Topic.METRICS.named(KafkaSettings().topic_prefix)
PARTITIONS = KafkaSettings().partitions


def series() -> list[Stored]:
    """What is hard: NaN alone, infinities, resets, both zeros, a sum that rounds, a series that comes and goes."""
    chance = np.random.default_rng(5)
    at = [(START * 1000 + number * 10_000) for number in range(2 * 360)]
    noisy = (chance.standard_normal(len(at)) * 1e9).tolist()
    resets = np.cumsum(chance.integers(0, 9, len(at))) % 1000
    odd = [[math.nan, math.inf, -math.inf, 1.0, STALE_NAN, -1.5][number % 6] for number in range(len(at))]
    return [
        *(("noisy", {"instance": f"web-{n}"}, list(zip(at, noisy, strict=True))) for n in (1, *range(10, 15))),
        ("resets_total", {"instance": "web-2"}, list(zip(at, resets.astype(float).tolist(), strict=True))),
        ("odd", {"instance": "web-3"}, list(zip(at, odd, strict=True))),
        ("zeros", {"instance": "web-3", "side": "both"}, [(ms, -0.0 if n % 3 else 0.0) for n, ms in enumerate(at)]),
        ("nothing", {"instance": "web-4"}, [(ms, math.nan) for ms in at[:100]]),
        ("now_and_then", {"instance": "web-4"}, [(ms, float(n)) for n, ms in enumerate(at) if n % 50 < 3]),
    ]


ROWS = series()
NOISY = series_id(canonical_key("noisy", {"instance": "web-1"}))


def build(client: Client, rollup: Rollup) -> None:
    """All rows of the tier, from the raw samples."""
    client.execute(f"TRUNCATE TABLE {rollup.table}")
    select = recompute(rollup, between(START, START + 2 * HOUR), f"{version(1)} AS version")
    client.execute(f"INSERT INTO {rollup.table} ({', '.join(rollup.columns)}) {select}")


NOTHING = series_id(canonical_key("nothing", {"instance": "web-4"}))


@pytest.fixture
def client(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv(variable_of(ClickHouseSettings, "url"), database.url)
    store(database.url, ROWS)
    store(database.url, ROWS[:1])  # delivered twice
    client = connect(database.url)
    for rollup in ROLLUPS:
        build(client, rollup)
    yield client
    client.disconnect()


def verified(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code, and by tier what it says."""
    code = main(["--json", "--patience", "0", "--since", "5h", *arguments])
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is (code == 0)
    return code, {tier["tier"]: tier for tier in said["tiers"]}


def put(client: Client, rollup: Rollup, values: str, condition: str) -> None:
    """Insert rows that stand above those that meet the condition, with some columns replaced."""
    client.execute(
        f"INSERT INTO {rollup.table} ({', '.join(rollup.columns)}) SELECT "
        f"* REPLACE ({values + ', ' if values else ''}version + 1 AS version) "
        f"FROM (SELECT {', '.join(rollup.columns)} FROM {rollup.table} FINAL WHERE {condition})"
    )


def test_what_is_right_is_said_to_be_right(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    code, tiers = verified(capsys)
    assert code == 0
    for rollup in ROLLUPS:
        [(rows,)] = client.execute(f"SELECT count() FROM {rollup.table} FINAL")
        tier = tiers[rollup.name]
        assert (tier["buckets"], tier["differing"], tier["pending"]) == (rows, 0, 0)
        assert tier["samples"] == sum(len(samples) for _, _, samples in ROWS)


SPOILT = {
    "count": "toUInt32(count + 1) AS count",
    "nans": "toUInt32(nans + 1) AS nans",
    "sum": "sum + 1e-7 * abs(sum) AS sum",
    "min": "reinterpretAsFloat64(reinterpretAsUInt64(min) + 1) AS min",
    "max": "reinterpretAsFloat64(reinterpretAsUInt64(max) + 1) AS max",
    "first": "reinterpretAsFloat64(reinterpretAsUInt64(first) + 1) AS first",
    "last": "nan AS last",
    "increase": "increase * 1.0001 AS increase",
    "first_ms": "toUInt32(first_ms + 1) AS first_ms",
    "last_ms": "toUInt32(last_ms - 1) AS last_ms",
    "histogram": "mapUpdate(histogram, map(toInt16(3), toUInt64(1))) AS histogram",
}


@pytest.mark.parametrize("rollup", ROLLUPS, ids=lambda rollup: rollup.name)
def test_a_spoilt_row_is_named_with_column_and_values_and_mended(
    client: Client, capsys: pytest.CaptureFixture[str], rollup: Rollup
) -> None:
    rows = client.execute(
        f"SELECT id, toUnixTimestamp(timestamp) FROM {rollup.table} FINAL "
        "WHERE id IN (SELECT id FROM registered_series WHERE metric_name = 'noisy') ORDER BY timestamp, id"
    )
    wanted = dict(zip(rows, rollup.values, strict=False))
    for (one, bucket), column in wanted.items():
        put(client, rollup, SPOILT[column], f"id = {one} AND toUnixTimestamp(timestamp) = {bucket}")

    code, tiers = verified(capsys)

    found = tiers[rollup.name]["differences"]
    assert (code, sum(tier["differing"] for tier in tiers.values())) == (1, len(rollup.values))
    assert {(int(one["id"], 16), second(one["bucket"])): one for one in found}.keys() == wanted.keys()
    for one in found:
        [(column, values)] = one["columns"].items()
        assert column == wanted[int(one["id"], 16), second(one["bucket"])]
        assert values["stored"] != values["raw"]
        assert one["metric"] == "noisy"
        assert one["labels"] == {"instance": one["host"]}
    code, tiers = verified(capsys, "--repair")
    assert (code, tiers[rollup.name]["mended"]) == (0, len(rollup.values))
    assert verified(capsys)[0] == 0


def test_what_is_added_in_another_order_beside_an_infinity_is_right(
    client: Client, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    rises = [math.inf if number % 6 == 0 else number / 7 for number in range(2 * 360)]
    at = [(START * 1000 + number * 10_000, value) for number, value in enumerate(rises)]
    store(database.url, [("after_infinity", {"instance": "web-5"}, at)])
    for rollup in ROLLUPS:
        build(client, rollup)
    one = series_id(canonical_key("after_infinity", {"instance": "web-5"}))
    assert client.execute(f"SELECT any(isFinite(increase)) FROM samples_1m FINAL WHERE id = {one}") == [(1,)]
    put(client, MINUTES, "increase * (1 + 1e-15) AS increase", f"id = {one}")
    assert verified(capsys)[0] == 0
    put(client, MINUTES, "increase * 1.001 AS increase", f"id = {one}")
    assert verified(capsys)[1][MINUTES.name]["differing"] == 120


def second(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp())


@pytest.mark.parametrize("rollup", ROLLUPS, ids=lambda rollup: rollup.name)
def test_missing_and_phantom_rows_are_found_and_mended(
    client: Client, capsys: pytest.CaptureFixture[str], rollup: Rollup
) -> None:
    client.execute(f"DELETE FROM {rollup.table} WHERE id = {NOISY} AND toUnixTimestamp(timestamp) = {START}")
    later = f"id = {NOISY} AND toUnixTimestamp(timestamp) = {START + HOUR}"
    put(client, rollup, f"toUInt64({NOISY + 1}) AS id", later)  # a series that nobody knows
    put(client, rollup, f"toUInt64({NOTHING}) AS id", later)  # an hour in which this one had no sample

    code, tiers = verified(capsys)

    found = {(one["host"], *one["columns"]) for one in tiers[rollup.name]["differences"]}
    assert code == 1
    assert found == {("web-1", "missing"), ("", "should not be there"), ("web-4", "should not be there")}
    assert verified(capsys, "--repair")[0] == 0
    assert verified(capsys)[0] == 0


def test_what_the_ledger_calls_unfinished_is_pending_and_only_that(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    minute = START + 7 * 60
    for host in ("web-1", "web-2"):
        touch(client, partition_of(host, PARTITIONS), 100, [minute])
    mark(client, partition_of("web-2", PARTITIONS), 100, minute)
    client.execute(f"DELETE FROM {tables.SAMPLES_1M} WHERE toUnixTimestamp(timestamp) = {minute}")

    _, tiers = verified(capsys)

    assert tiers["1m"]["pending"] == 1
    hosts = [one["host"] for one in tiers["1m"]["differences"]]
    assert "web-2" in hosts
    assert "web-1" not in hosts
    mark(client, partition_of("web-1", PARTITIONS), 100, minute)
    assert verified(capsys, "--host", "web-1")[1]["1m"]["differing"] == 1
    assert verified(capsys, "--host", "web-3")[1]["1m"]["differing"] == 2
    touch(client, partition_of("web-1", PARTITIONS), 101, [minute])
    assert verified(capsys, "--host", "web-1")[1]["1m"]["pending"] == 1


def test_a_difference_that_goes_away_in_time_is_none(
    database: Database, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sample was in the raw table, its ledger row was not yet."""
    client.execute(f"DELETE FROM {tables.SAMPLES_1M} WHERE id = {NOISY} AND toUnixTimestamp(timestamp) = {START}")

    def later() -> None:
        time.sleep(0.5)
        other = connect(database.url)
        touch(other, partition_of("web-1", PARTITIONS), 100, [START])
        other.disconnect()

    thread = threading.Thread(target=later)
    thread.start()
    code, tiers = verified(capsys, "--patience", "20")
    thread.join()
    assert (code, tiers["1m"]["pending"], tiers["1m"]["differing"]) == (0, 0, 0)


def test_many_slices_are_the_same_as_one(
    client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = verified(capsys)[1]
    monkeypatch.setattr(slices, "SAMPLES_AT_ONCE", 500)
    assert verified(capsys)[1] == whole


def test_the_table_for_people(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    put(client, MINUTES, "toUInt32(77) AS count", f"id = {NOISY} AND toUnixTimestamp(timestamp) = {START}")
    assert main(["--patience", "0", "--since", "5h"]) == 1
    said = capsys.readouterr().out
    assert "1 differ; 0 pending" in said
    assert 'web-1  noisy{instance="web-1"}  count  stored 77  raw 6' in said


def touch(client: Client, partition: int, next_offset: int, minutes: list[int]) -> None:
    client.execute(
        f"INSERT INTO {tables.LEDGER} (topic, partition, first_offset, next_offset, appended, minutes) VALUES",
        [(TOPIC, partition, next_offset - 1, next_offset, int(time.time() * 1000), minutes)],
    )


def mark(client: Client, partition: int, through: int, minute: int) -> None:
    columns = ", ".join(tables.CLEAN_MARKS_COLUMNS)
    client.execute(f"INSERT INTO {tables.CLEAN_MARKS} ({columns}) VALUES", [(TOPIC, partition, minute, through)])
