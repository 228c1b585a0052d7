"""The whole system under `fleetpulse up`: an alert by the command that it names, a stop, a second start with the same
data, a crash in it, and its end with ClickHouse dead."""

import json
import os
import re
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client

from tests.support.eventually import eventually
from tests.support.patience import patient
from tests.support.up import Up, ports, up

pytestmark = pytest.mark.servers

PROCESSES = {"kafka", "clickhouse", "ingest", "rules", "history", "api", "agent", "simulate"}


def _status(running: Up) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(running.command("status", "--json").stdout)
    return report


def test_two_starts_of_the_whole_system_on_one_folder(tmp_path: Path) -> None:
    addresses = ports()
    with up(tmp_path / "data", env=addresses) as running:
        running.wait_until_ready()
        _the_command_makes_an_alert_fire(running)
        stopped_at = time.time()
        samples = eventually(lambda: n if (n := _samples_until(running, stopped_at)) > 1000 else None, 60.0, 1.0)
        _ends(running)
    with up(tmp_path / "data", arguments=["--simulate", "5"], env=addresses) as running:
        running.wait_until_ready()
        eventually(lambda: _samples_until(running, stopped_at) >= samples, 60.0, 1.0)
        _is_healthy(running)
        _survives_a_crash(running)
        os.kill(running.pid_of("clickhouse"), signal.SIGKILL)
        _ends(running)


def _the_command_makes_an_alert_fire(running: Up) -> None:
    """Within a minute, as `up` says; and the command ends as it should."""
    named = re.search(r"An alert on the page within a minute: +(.+)", running.text())
    assert named is not None
    assert named[1].endswith("simulate --hosts 20 --incident cpu_spike")
    page = _status(running)["addresses"]["page"]

    def alerts(label: str, value: str) -> bool:
        found = _get(f"{page}api/v1/alerts")["data"]["alerts"]
        return any(each["labels"].get(label) == value and each["state"] == "firing" for each in found)

    def fired() -> bool:
        return alerts("simulated", "true")

    assert not fired()
    started_at = time.monotonic()
    with running.typed(named[1]) as command:
        eventually(fired, 60.0, 0.5)
        assert time.monotonic() - started_at < patient(60.0)
        command.send_signal(signal.SIGINT)
        assert command.wait(15.0) == 0
    eventually(lambda: alerts("alertname", "Watchdog"), 60.0, 0.5)  # own metrics → rules → alert


def _samples_until(running: Up, at: float) -> int:
    """The samples up to a Unix time that the public view shows to Grafana."""
    grafana = json.loads(running.command("grafana", "--json").stdout)
    password = Path(grafana["password_file"]).read_text().strip()
    client = Client(grafana["host"], grafana["port"], grafana["database"], grafana["user"], password)
    try:
        [(count,)] = client.execute(f"SELECT count() FROM metrics WHERE timestamp <= fromUnixTimestamp({int(at)})")
        return int(count)
    finally:
        client.disconnect()


def _is_healthy(running: Up) -> None:
    report = eventually(lambda: report if (report := _status(running))["healthy"] else None, 60.0, 1.0)
    assert {process["name"] for process in report["processes"]} == PROCESSES
    assert all(process["resident_bytes"] > 10_000_000 for process in report["processes"])
    eventually(lambda: _is_ready(report["addresses"]["page"]), 30.0, 0.5)
    eventually(lambda: (_status(running)["samples_per_second"] or 0) > 1, 60.0, 1.0)
    assert _status(running)["alerts"] is not None


def _survives_a_crash(running: Up) -> None:
    """A worker that crashes comes back, and the others do not notice."""
    crashed = running.pid_of("ingest")
    others = {name: running.pid_of(name) for name in PROCESSES - {"ingest"}}
    os.kill(crashed, signal.SIGKILL)
    eventually(lambda: _back(running, "ingest", crashed), 60.0, 0.5)
    assert {name: running.pid_of(name) for name in others} == others
    running.seen |= {running.pid_of("ingest")}


def _ends(running: Up) -> None:
    """SIGINT ends all of it in time, exit code 0, and leaves nothing but the data."""
    begin = time.monotonic()
    running.process.send_signal(signal.SIGINT)
    assert running.wait(10.0) == 0
    assert time.monotonic() - begin < patient(10.0)
    assert running.left() == []
    assert f"Data stay in {running.folder.root}" in running.text()
    assert list(running.working.iterdir()) == []  # everything is in the data folder


def _back(running: Up, name: str, old_pid: int) -> bool:
    found = next(one for one in running.state()["processes"] if one["name"] == name)
    return bool(found["state"] == "ready" and found["pid"] != old_pid)


def _is_ready(page: str) -> bool:
    """What `health/ready` says; its probes have two seconds, which a busy machine may need for other things."""
    try:
        with urllib.request.urlopen(f"{page}health/ready", timeout=patient(20)) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=patient(20)) as answer:
        return json.load(answer)
