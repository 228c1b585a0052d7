"""A fleet of eight hosts whose alerts and notifications were worked out by hand, stored, behind a real API.

Ticks every 30 s for six hours; temperature 50 but where `CURVES` says. Minutes count from `START_MS`.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.main import make_context
from fleetpulse.clock import ManualClock, to_rfc3339
from fleetpulse.notify.load import load_text
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import ApiSettings, KafkaSettings
from tests.integration.api.conftest import serving
from tests.support.databases import Database, drop_database, fresh_database
from tests.support.servers import ClickHouseServer
from tests.support.stored import event_at, roll_up, store, store_events

MINUTES = 360
# Three days ago, as raw samples are kept for fifteen; within a minute, so that its row begins before its first sample.
START_MS = (int(time.time()) // 3600 - 72) * 3_600_000 + 10_000
# host → room, and from minute → temperature
CURVES: dict[str, tuple[str, dict[int, float]]] = {
    "a": ("lab", {10: 85, 30: 50}),
    "b": ("lab", {11: 85, 14: 50}),
    "c": ("hall", {20: 85, 25: 92, 40: 50}),
    "d": ("hall", {60: 99, 80: 50}),
    "e": ("hall", {61: 85, 75: 50}),
    "f": ("attic", {100: 85}),
    "g": ("cellar", {120: 85, 140: 50}),
    "h": ("store", {10: 99, 20: 50}),
}
LIVE = """\
groups:
  - name: rooms
    rules:
      - {alert: Hot, expr: temperature_celsius, warning: "> 90", critical: "> 95", for: 2m}
      - {record: "room:temperature:max", expr: "max by (instance) (temperature_celsius)"}
      - {alert: Fleet, expr: "sum(temperature_celsius) > 1"}
"""
NEW = """\
groups:
  - name: rooms
    rules:
      - alert: Hot
        expr: temperature_celsius{room!="store"}
        warning: "> 80"
        critical: "> 95"
        for: 2m
"""
TOLD = """\
route: {receiver: oncall, group_by: [alertname, room], group_wait: 30s, group_interval: 5m, repeat_interval: 4h}
receivers:
  - name: oncall
    webhook_configs: [{url: 'https://hooks.example.org/x'}]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [room]
"""


def at(minute: float) -> str:
    """A time as the API writes it."""
    return to_rfc3339(START_MS + int(60_000 * minute))


@dataclass(frozen=True)
class Rooms:
    """The API, and what it counts of itself."""

    client: httpx.Client
    metrics: SelfMetrics

    def backtests(self, outcome: str) -> float:
        """How many ended so."""
        return self.metrics.get("fleetpulse_api_backtests_total", outcome=outcome)


@pytest.fixture(scope="module")
def rooms(clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    """Serve the fleet; c is silenced until minute 30, and g was silent as a host from minute 119 to 150."""
    database = fresh_database(clickhouse.url)
    _fill(database)
    folder, metrics, clock = tmp_path_factory.mktemp("rooms"), SelfMetrics(), ManualClock(START_MS)
    settings = ApiSettings(database_url=f"sqlite:///{folder}/api.sqlite")
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    with make_context(settings, kafka, database.url_for("api"), metrics, clock) as context:
        told = replace(context, notify=load_text("told.yaml", TOLD, Path()))
        with serving(create_app(told, folder)) as url, httpx.Client(base_url=url, timeout=120) as client:
            _put_in_force(client)
            clock.advance(60_000 * MINUTES)
            yield Rooms(client, metrics)
    drop_database(clickhouse.url("fleetpulse", "system"), database.name)


def _fill(database: Database) -> None:
    for host, (room, curve) in CURVES.items():
        samples, value = [], 50.0
        for tick in range(2 * MINUTES):
            value = curve.get(tick // 2, value) if tick % 2 == 0 else value
            samples.append((START_MS + 30_000 * tick, value))
        store(database.url, [("temperature_celsius", {"instance": host, "room": room}, samples)])
    roll_up(database.url, START_MS + 60_000 * MINUTES)
    silent = [event_at("g", START_MS + 119 * 60_000, rule="HostSilent", severity="critical")]
    back_ms = START_MS + 150 * 60_000
    silent.append(event_at("g", START_MS + 119 * 60_000, 2, back_ms, rule="HostSilent", resolved=True))
    store_events(database.url, silent)


def _put_in_force(client: httpx.Client) -> None:
    who = {"Fleetpulse-Author": "ada"}
    made = client.post("/api/fleet/v1/rules", json={"text": LIVE}, headers=who)
    assert made.status_code == 201, made.text
    matcher = {"name": "instance", "value": "c", "isRegex": False, "isEqual": True}
    silence = {"matchers": [matcher], "startsAt": at(0), "endsAt": at(30), "createdBy": "ada", "comment": "new fan"}
    quiet = client.post("/api/v2/silences", json=silence)
    assert quiet.status_code == 200, quiet.text
