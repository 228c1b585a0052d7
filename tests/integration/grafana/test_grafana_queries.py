"""Every panel, template variable and annotation of the dashboards, on ClickHouse, as user `grafana`.

The data is a fleet of some size, so that reading less than all of a table means something.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clickhouse_driver import Client

from fleetpulse.identity import series_id
from fleetpulse.metric import canonical_key
from fleetpulse.storage import tables
from fleetpulse.storage.client import connect
from fleetpulse.storage.columns import SampleColumns
from fleetpulse.storage.writer import days_of, insert_samples
from tests.support.databases import Database, drop_database, fresh_database
from tests.support.grafana_macros import View, expand
from tests.support.servers import ClickHouseServer
from tests.support.stored import event_at, roll_up, store_events

pytestmark = pytest.mark.servers

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
NOW_MS = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS
HOSTS = [f"web-{number:02}" for number in range(30)]
STORED_HOURS, INTERVAL_MS = 7, 30_000
GAUGES: dict[str, list[dict[str, str]]] = {
    "host:cpu_utilisation:ratio_rate1m": [{}],
    "host:memory_utilisation:ratio_avg1m": [{}],
    "host:filesystem_utilisation:ratio_avg1m": [{"mountpoint": "/"}, {"mountpoint": "/data"}],
    "host:load_per_core:ratio_avg1m": [{}],
    "host:network_receive_bytes:rate1m": [{}],
    "node_memory_MemTotal_bytes": [{}],
    "node_memory_MemAvailable_bytes": [{}],
    "node_memory_SwapFree_bytes": [{}],
    "node_boot_time_seconds": [{}],
    "node_load1": [{}],
    "node_load5": [{}],
    "node_load15": [{}],
}
COUNTERS: dict[str, list[dict[str, str]]] = {
    "node_cpu_seconds_total": [{"cpu": cpu, "mode": mode} for cpu in "01" for mode in ("idle", "user", "system")],
    "node_network_receive_bytes_total": [{"device": "eth0"}],
    "node_network_transmit_bytes_total": [{"device": "eth0"}],
    "node_disk_read_bytes_total": [{"device": "sda"}],
    "node_disk_written_bytes_total": [{"device": "sda"}],
}
IDLE_SERIES = 25_000  # registered long ago, so that the table of series has several granules as well


@dataclass(frozen=True)
class Query:
    """One SQL text of a dashboard and how it is asked."""

    name: str
    sql: str
    view: View


ONE_HOST = View(
    NOW_MS - 6 * HOUR_MS, NOW_MS, 5 * MINUTE_MS, {"host": [HOSTS[3]], "metric": ["node_load1"], "datasource": ["x"]}, {}
)


def queries() -> Iterator[Query]:
    folder = Path(__file__).parents[3] / "infra" / "grafana" / "dashboards"
    for path in sorted(folder.glob("*.json")):
        dashboard = json.loads(path.read_text())
        variables = dashboard["templating"]["list"]
        custom_all = {item["name"]: item["allValue"] for item in variables if item.get("allValue")}
        texts = [(f"panel {panel['title']}", target) for panel in dashboard["panels"] for target in targets(panel)]
        texts += [(f"variable {item['name']}", item["query"]) for item in variables if item["type"] == "query"]
        texts += [
            (f"annotation {item['name']}", item["target"])
            for item in dashboard["annotations"]["list"]
            if "rawSql" in item.get("target", {})
        ]
        for name, node in texts:
            yield Query(f"{path.stem}, {name}, one host, 6 h", node["rawSql"], ONE_HOST)
            if custom_all:
                every = View(NOW_MS - HOUR_MS, NOW_MS, MINUTE_MS, {"metric": ["node_load1"]}, custom_all)
                yield Query(f"{path.stem}, {name}, all hosts, 1 h", node["rawSql"], every)


def targets(panel: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = panel.get("targets", [])
    return found


@pytest.fixture(scope="module")
def fleet(clickhouse: ClickHouseServer) -> Iterator[Database]:
    """Seven hours of thirty hosts, and alerts of some weeks, of which some fire."""
    database = fresh_database(clickhouse.url)
    client = connect(database.url)
    _store_series(client)
    _store_samples(client)
    client.disconnect()
    roll_up(database.url, NOW_MS)
    events = [
        event_at(host, NOW_MS - hour * HOUR_MS - 7 * MINUTE_MS, resolved=hour > 0, rule=f"Rule{hour}")
        for host in HOSTS
        for hour in range(720)
    ]
    store_events(database.url, events)
    yield database
    drop_database(clickhouse.url("fleetpulse", "system"), database.name)


def _series() -> list[tuple[str, str, dict[str, str]]]:
    return [
        (metric, host, {"instance": host, "job": "node", **labels})
        for metric, all_labels in {**GAUGES, **COUNTERS}.items()
        for labels in all_labels
        for host in HOSTS
    ]


def _store_series(client: Client) -> None:
    named = _series() + [
        (f"idle_{number % 400}_total", f"old-{number // 400}", {"instance": f"old-{number // 400}"})
        for number in range(IDLE_SERIES)
    ]
    seen = int(time.time() * 1000)
    rows = []
    for metric, host, labels in named:
        key = canonical_key(metric, labels)
        rows.append((series_id(key), key, metric, host, {"__name__": metric, **labels}, seen, seen))
    client.execute(f"INSERT INTO {tables.SERIES} ({', '.join(tables.SERIES_COLUMNS)}) VALUES", rows)
    hosts = [(host, seen, seen, 0) for host in HOSTS]
    client.execute(f"INSERT INTO {tables.HOST_SEEN} ({', '.join(tables.HOST_SEEN_COLUMNS)}) VALUES", hosts)


def _store_samples(client: Client) -> None:
    series = _series()
    ticks = np.arange(NOW_MS - STORED_HOURS * HOUR_MS, NOW_MS, INTERVAL_MS, dtype=np.int64)
    ids = np.array([series_id(canonical_key(metric, labels)) for metric, _, labels in series], dtype=np.uint64)
    values = np.abs(np.sin(np.arange(len(series) * len(ticks), dtype=np.float64))).reshape(len(series), len(ticks))
    for number, (metric, _, _) in enumerate(series):
        if metric in COUNTERS:
            values[number] = np.cumsum(values[number])
    samples = SampleColumns(np.repeat(ids, len(ticks)), np.tile(ticks, len(series)), values.reshape(-1))
    for day, part in enumerate(days_of(samples)):
        insert_samples(client, part, f"grafana-{day}")


@pytest.fixture(scope="module")
def grafana(fleet: Database) -> Iterator[Client]:
    """A plain client, as the plugin's: none of our settings."""
    client = Client.from_url(fleet.url_for("grafana"))
    yield client
    client.disconnect()


@pytest.mark.parametrize("query", list(queries()), ids=lambda query: query.name)
def test_it_runs_has_rows_and_prunes(grafana: Client, query: Query) -> None:
    sql = expand(query.sql, query.view)

    rows, columns = grafana.execute(sql, with_column_types=True)

    assert rows, sql
    names = [name for name, _ in columns]
    if "time" in names and "$__timeInterval" in query.sql:
        assert names[0] == "time"
        spanned = rows[-1][0].timestamp() - rows[0][0].timestamp()
        assert spanned >= 0.8 * (query.view.to_ms - query.view.from_ms) / 1000
        assert all(value is not None for row in rows for value in row)
    for table, (read, stored) in granules(grafana, sql).items():
        assert read < stored, f"{table} is read whole ({read} of {stored} granules):\n{sql}"


# What is read whole on purpose: one row a host; and what fires now is known only by looking at every episode's end.
WHOLE = {tables.HOST_SEEN}


def granules(client: Client, sql: str) -> dict[str, tuple[int, int]]:
    """By table: the most granules that one read of it selects by its primary key, and how many there are.

    Of the table of series, which a variable asks for one host's metrics, its index on the host counts as well.
    """
    lines = [line for (line,) in client.execute(f"EXPLAIN indexes = 1 {sql}")]
    found: dict[str, tuple[int, int]] = {}
    table, index = "", ""
    for line in lines:
        text = line.strip(" │├└─")
        if match := re.match(r"ReadFromMergeTree \((?:\w+\.)?(\w+)\)", text):
            table, index = match[1], ""
        elif text in ("PrimaryKey", "Min-Max", "Partition", "Skip"):
            index = text
        elif match := re.match(r"Granules: (\d+)/(\d+)", text):
            read, stored = int(match[1]), int(match[2])
            if index == "PrimaryKey":
                found[table] = max(found.get(table, (0, 0)), (read, stored))
            elif index == "Skip" and table == tables.SERIES and found[table][0] == stored:
                found[table] = (read, found[table][1])
    skipped = WHOLE | ({tables.ALERT_EVENTS} if re.search(r"\bFROM alerts\b", sql) else set())
    return {table: numbers for table, numbers in found.items() if table not in skipped}


@pytest.mark.usefixtures("fleet")
def test_the_tables_are_large_enough_to_mean_something(grafana: Client) -> None:
    whole = granules(grafana, "SELECT count() FROM metrics_of(metric='node_load1', hosts=['web-03'])")
    assert whole[tables.SAMPLES][1] > 50
    assert whole[tables.SERIES][1] >= 3
    assert granules(grafana, "SELECT count() FROM alert_history WHERE time > now()")[tables.ALERT_EVENTS][1] >= 2


@pytest.mark.usefixtures("fleet")
def test_a_query_that_does_not_prune_is_noticed(grafana: Client) -> None:
    joined = granules(grafana, "SELECT count() FROM metrics WHERE metric = 'node_load1' AND host = 'web-03'")
    read, stored = joined[tables.SAMPLES]
    assert read == stored
