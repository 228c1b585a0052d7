"""`fleetpulse status`: what runs in a data folder and whether it is healthy."""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fleetpulse.clock import SystemClock, to_rfc3339
from fleetpulse.settings import KafkaSettings
from infra.embedded import clickhouse, kafka, observe, state
from infra.embedded.clickhouse_users import SERVICE
from infra.embedded.folder import DataFolder
from infra.embedded.memory import resident_bytes
from infra.embedded.passwords import password_file
from infra.embedded.plan import versions
from infra.embedded.ready import http_not_ready


@dataclass(frozen=True, slots=True)
class ProcessHealth:
    """One row of the table."""

    name: str
    pid: int | None
    resident_bytes: int
    restarts: int
    healthy: bool
    cause: str


def main(argv: list[str]) -> int:
    """0 when everything that should run is ready, else 1."""
    parser = argparse.ArgumentParser(prog="fleetpulse status", description=__doc__, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--data-dir", type=Path, help="the data folder (default: .fleetpulse)")
    arguments = parser.parse_args(argv)
    folder = DataFolder.at(arguments.data_dir)
    running = state.read(folder)
    if running is None or not running.alive():
        if arguments.json:
            print(json.dumps({"running": False, "healthy": False, "folder": str(folder.root)}, indent=2))
        else:
            print(f"nothing runs on {folder.root}; `fleetpulse up` starts it")
        return 1
    report = _report(folder, running)
    print(json.dumps(report, indent=2) if arguments.json else _text(report))
    return 0 if report["healthy"] else 1


def _report(folder: DataFolder, running: state.RunState) -> dict[str, Any]:
    processes = [_health(folder, running.addresses, process) for process in running.processes]
    reading = observe.read({one.name: one.self_url for one in running.processes if one.self_url})
    return {
        "running": True,
        "healthy": bool(processes) and all(process.healthy for process in processes),
        "folder": str(folder.root),
        "pid": running.pid,
        "started": to_rfc3339(running.started_ms),
        "up_seconds": round((SystemClock().now_ms() - running.started_ms) / 1000),
        "versions": {"fleetpulse": running.version, **versions()},
        "addresses": dict(running.addresses),
        "samples_per_second": running.samples_per_second,
        "lag_messages": reading.lag_messages,
        "oldest_unprocessed_seconds": reading.oldest_seconds,
        "alerts": None if reading.alerts is None else dict(reading.alerts),
        "alerts_text": reading.alerts_text(),
        "resident_bytes": sum(process.resident_bytes for process in processes) + resident_bytes(running.pid),
        "processes": [asdict(process) for process in processes],
    }


def _health(folder: DataFolder, addresses: Mapping[str, str], process: state.ProcessState) -> ProcessHealth:
    if not process.alive():
        cause: str | None = process.last_exit or "it is not running"
    elif process.name == kafka.NAME:
        cause = kafka.not_ready(KafkaSettings(bootstrap_servers=process.address))
    elif process.name == clickhouse.NAME:
        password = password_file(folder, SERVICE).read_text()
        cause = clickhouse.not_ready(
            f"clickhouse://{SERVICE}:{password}@{addresses['clickhouse']}/{clickhouse.DATABASE}"
        )
    else:
        cause = http_not_ready(process.self_url)
    pid = process.pid if process.alive() else None
    return ProcessHealth(process.name, pid, resident_bytes(pid), process.restarts, cause is None, cause or "")


def _text(report: Mapping[str, Any]) -> str:
    rows = [f"{'process':<11} {'pid':>8} {'memory':>9} {'restarts':>8}  health"]
    for process in report["processes"]:
        health = "ready" if process["healthy"] else f"NOT READY: {process['cause']}"
        memory = f"{process['resident_bytes'] / 1e6:,.0f} MB"
        rows.append(f"{process['name']:<11} {process['pid'] or '-':>8} {memory:>9} {process['restarts']:>8}  {health}")
    rate = report["samples_per_second"]
    lag = report["lag_messages"]
    shown = report["addresses"]
    names = report["versions"]
    up = time.strftime("%H:%M:%S", time.gmtime(report["up_seconds"] % 86_400))
    days = report["up_seconds"] // 86_400
    http = f", {shown['clickhouse_http']}" if shown["clickhouse_http"] else ""
    return "\n".join(
        (
            f"{'healthy' if report['healthy'] else 'NOT HEALTHY'}: Fleetpulse {names['fleetpulse']} "
            f"on {report['folder']}, up {f'{days} d ' if days else ''}{up} (pid {report['pid']})",
            "",
            f"  page and API   {shown['page']}",
            f"  ClickHouse     {shown['clickhouse']}{http}   (chdb-core {names['clickhouse']})",
            f"  Kafka          {shown['kafka']}   ({names['kafka']} on Java {names['java']})",
            "",
            f"  samples        {'not known' if rate is None else f'{rate:,.0f}/s'}",
            f"  lag            {'not known' if lag is None else f'{lag:,.0f} messages'}",
            f"  active alerts  {report['alerts_text']}",
            f"  memory         {report['resident_bytes'] / 1e6:,.0f} MB",
            "",
            *(f"  {row}" for row in rows),
        )
    )
