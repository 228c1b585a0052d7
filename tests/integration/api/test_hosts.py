"""`hosts`, `hosts/{host}` and `hosts/{host}/series` on rows that a test puts into the tables."""

import time
from typing import Any

import httpx
import pytest

from api import models
from api.fleet import SUMMARY
from fleetpulse.events import AlertEvent
from tests.support.databases import Database
from tests.support.stored import Stored, event_at, store, store_events

pytestmark = pytest.mark.servers

HOSTS = "/api/fleet/v1/hosts"


def labels(host: str, **more: str) -> dict[str, str]:
    return {"instance": host, "job": "node", **more}


def recorded(host: str, now_ms: int) -> list[Stored]:
    """One series of every recorded metric, two of those that are one a filesystem, disk or device."""
    rows: list[Stored] = []
    for metric, how in sorted(set(SUMMARY.values())):
        samples = [(now_ms - 30_000, 0.9), (now_ms - 15_000, 0.25)]
        rows.append((metric, labels(host), samples))
        if how != "mean":
            rows.append((metric, labels(host, device="other"), [(now_ms - 15_000, 0.5)]))
    return rows


def facts(host: str, now_ms: int) -> list[Stored]:
    uname = {"sysname": "Linux", "release": "6.12", "machine": "x86_64", "nodename": host}
    samples = [(now_ms - 5000, 1.0)]
    return [
        ("up", labels(host, rack="7"), samples),
        ("node_uname_info", labels(host, **uname), samples),
        ("node_cpu_seconds_total", labels(host, cpu="0", mode="idle"), samples),
        ("node_cpu_seconds_total", labels(host, cpu="1", mode="idle"), samples),
        ("node_memory_MemTotal_bytes", labels(host), [(now_ms - 5000, 8e9)]),
        ("node_boot_time_seconds", labels(host), [(now_ms - 5000, 1_700_000_000.0)]),
    ]


@pytest.fixture(scope="module")
def now_ms(database: Database) -> int:
    """The time at which the fleet of three hosts was stored: one up, one silent, one simulated."""
    now_ms = int(time.time() * 1000)
    silent: Stored = ("up", labels("db-1"), [(now_ms - 600_000, 1.0)])
    simulated: Stored = ("up", labels("sim-1", simulated="true"), [(now_ms - 5000, 1.0)])
    store(database.url, [*recorded("web-1", now_ms), *facts("web-1", now_ms), silent, simulated])
    events: list[AlertEvent] = [
        event_at("web-1", now_ms - 60_000),
        event_at("web-1", now_ms - 50_000, severity="critical", rule="HostMemoryHigh"),
        event_at("web-1", now_ms - 90_000, rule="HostLoadHigh"),
        event_at("web-1", now_ms - 90_000, 2, now_ms - 30_000, rule="HostLoadHigh", resolved=True),
    ]
    store_events(database.url, events)
    return now_ms


@pytest.mark.usefixtures("now_ms")
def test_lists_hosts_with_status_aggregates_and_alerts(client: httpx.Client) -> None:
    answer = client.get(HOSTS)

    assert answer.status_code == 200
    found = models.HostList.model_validate_json(answer.content, strict=True)  # the answer is not made by the model
    assert [(host.host, host.status, host.simulated) for host in found.hosts] == [
        ("db-1", "silent", False),
        ("sim-1", "up", True),
        ("web-1", "up", False),
    ]
    web = found.hosts[2]
    assert web.cpu_ratio == web.memory_ratio == web.load_per_core == 0.25
    assert web.filesystem_ratio == web.disk_ratio == 0.5
    assert web.network_receive_bytes_per_second == web.network_transmit_bytes_per_second == 0.75
    assert web.alerts == models.AlertCounts(warning=1, critical=1)
    assert found.hosts[0].cpu_ratio is None
    assert found.total == 3


@pytest.mark.usefixtures("now_ms")
@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"status": "silent"}, ["db-1"]),
        ({"status": "up"}, ["sim-1", "web-1"]),
        ({"search": "WEB"}, ["web-1"]),
        ({"search": "1", "status": "up", "limit": 1}, ["sim-1"]),
        ({"search": "' OR 1=1 --"}, []),
        ({"search": "\\"}, []),
    ],
)
def test_filters_hosts(client: httpx.Client, parameters: dict[str, Any], names: list[str]) -> None:
    answer = client.get(HOSTS, params=parameters)

    assert [host["host"] for host in answer.json()["hosts"]] == names


@pytest.mark.usefixtures("now_ms")
def test_total_counts_beyond_the_limit(client: httpx.Client) -> None:
    assert client.get(HOSTS, params={"limit": 2}).json()["total"] == 3


@pytest.mark.usefixtures("now_ms")
def test_describes_one_host(client: httpx.Client) -> None:
    answer = client.get(f"{HOSTS}/web-1")

    host = models.HostDetail.model_validate(answer.json())
    assert host.facts.model_dump() == {
        "sysname": "Linux",
        "release": "6.12",
        "machine": "x86_64",
        "nodename": "web-1",
        "cores": 2,
        "memory_bytes": 8e9,
        "boot_time": "2023-11-14T22:13:20.000Z",
    }
    assert host.labels == labels("web-1", rack="7")
    assert host.series == len(client.get(f"{HOSTS}/web-1/series").json()["series"])
    assert host.cpu_ratio == 0.25


@pytest.mark.usefixtures("now_ms")
@pytest.mark.parametrize("path", ["web-2", "web-2/series"])
def test_an_unknown_host_is_404_and_names_the_nearest(client: httpx.Client, path: str) -> None:
    answer = client.get(f"{HOSTS}/{path}")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["nearest"] == ["web-1"]
    assert "'web-2'" in answer.json()["detail"]
    assert "web-1" in answer.json()["detail"]


@pytest.mark.usefixtures("now_ms")
def test_lists_series(client: httpx.Client) -> None:
    answer = client.get(f"{HOSTS}/web-1/series", params={"metric": "node_cpu_seconds_total"})

    found = models.SeriesList.model_validate(answer.json())
    assert [series.labels for series in found.series] == [
        labels("web-1", cpu="0", mode="idle"),
        labels("web-1", cpu="1", mode="idle"),
    ]
    assert all(len(series.id) == 16 for series in found.series)
    limited = client.get(f"{HOSTS}/web-1/series", params={"search": "NODE_", "limit": 1}).json()
    assert (len(limited["series"]), limited["total"]) == (1, 5)


@pytest.mark.parametrize("parameters", [{"limit": 0}, {"limit": "many"}, {"status": "down"}])
def test_a_wrong_parameter_is_422_and_named(client: httpx.Client, parameters: dict[str, Any]) -> None:
    answer = client.get(HOSTS, params=parameters)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["parameter"] in parameters
