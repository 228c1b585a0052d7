"""The whole system under `fleetpulse up`: ready, healthy, counting, crash-proof, and gone within ten seconds."""

import json
import os
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.up import Up, up

pytestmark = pytest.mark.servers

PROCESSES = {"kafka", "clickhouse", "ingest", "rules", "history", "api", "agent", "simulate"}


def _status(running: Up) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(running.command("status", "--json").stdout)
    return report


def test_the_whole_system_runs_survives_a_crash_and_ends(tmp_path: Path) -> None:
    with up(tmp_path / "data", arguments=["--simulate", "5"]) as running:
        running.wait_until_ready()
        assert "fleetpulse simulate --hosts 20 --incident cpu_spike" in running.text()

        report = eventually(lambda: report if (report := _status(running))["healthy"] else None, 60.0, 1.0)
        assert {process["name"] for process in report["processes"]} == PROCESSES
        assert all(process["resident_bytes"] > 10_000_000 for process in report["processes"])
        with urllib.request.urlopen(report["addresses"]["page"] + "health/ready", timeout=5) as answer:
            assert answer.status == 200
        eventually(lambda: (_status(running)["samples_per_second"] or 0) > 1, 60.0, 1.0)
        assert _status(running)["alerts"] is not None

        # a worker that crashes comes back, and the others do not notice
        crashed = running.pid_of("ingest")
        others = {name: running.pid_of(name) for name in PROCESSES - {"ingest"}}
        os.kill(crashed, signal.SIGKILL)
        eventually(lambda: _back(running, "ingest", crashed), 60.0, 0.5)
        assert {name: running.pid_of(name) for name in others} == others
        running.seen |= {running.pid_of("ingest")}

        # the end, with ClickHouse already dead
        os.kill(running.pid_of("clickhouse"), signal.SIGKILL)
        begin = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        assert running.wait(10.0) == 0
        assert time.monotonic() - begin < 10.0
        assert running.left() == []
        assert f"Data stay in {running.folder.root}" in running.text()
        assert list(running.working.iterdir()) == []  # everything is in the data folder


def _back(running: Up, name: str, old_pid: int) -> bool:
    found = next(one for one in running.state()["processes"] if one["name"] == name)
    return bool(found["state"] == "ready" and found["pid"] != old_pid)
