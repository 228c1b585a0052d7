"""`soak`: ten minutes at the rated load; whether memory, lag and parts stay where they are, and what the audit says.

`sustained` (`bench/sustained.py`) is the same for five minutes at half a million samples a second.
"""

import time
from typing import Any

from bench import ours
from bench.goals import Goal
from bench.live import Fleet, fleet, shape_of
from bench.report import Options, Report, mib
from bench.servers import Servers, until
from bench.stream import Shape

RATE = 200_000
SECONDS = 600.0
EVERY_SECONDS = 5.0
DRAIN_SECONDS = 120.0


def run(options: Options) -> Report:
    """Ten minutes; with ``--samples`` so many samples at the rated load."""
    seconds = options.samples / RATE if options.samples else SECONDS
    report = soak(options, "soak", shape_of(RATE), seconds)
    growth = report.figures["growth"]
    report.goals = [
        Goal("most growth of a process's memory from the second fifth to the last", "<=", 0.05, max(growth.values())),
        Goal("oldest sample not yet processed, most", "<=", 10.0, report.figures["most_lag_seconds"], "s"),
        *_exact_goals(report),
    ]
    return report


def soak(options: Options, name: str, shape: Shape, seconds: float) -> Report:
    """Look at a fleet for so long, stop it, wait for the rest, compare and audit."""
    report = Report(name)
    with Servers(options.folder) as servers, fleet(servers, shape, seconds) as running:
        looks, spent, sent = _watch(running, seconds)
        running.load.stop()
        _drained(running)
        topics, database = running.topics, running.database
        raw = int(database.ask("SELECT count() FROM {db}.samples"))
        once = int(database.ask("SELECT count() FROM {db}.samples FINAL"))
        audit = ours.audit(servers, topics, database)
    first, last = _fifth(looks, 1), _fifth(looks, 4)
    growth = {one: last[one] / first[one] - 1 for one in first}
    report.figures = {
        "rate": shape.series / shape.interval_seconds,
        "measured_rate": sent / (looks[-1]["at"] - looks[0]["at"]),
        "seconds": seconds,
        "series": shape.series,
        "looks": looks,
        "growth": growth,
        "most_lag_seconds": max(max(look["lag_seconds"].values()) for look in looks),
        "most_parts": max(look["parts"] for look in looks),
        "cpu_seconds": spent,
        "rows": raw,
        "rows_once": once,
        "audit": audit,
    }
    rows = [
        (one, mib(first[one]), mib(last[one]), 100 * growth[one], spent[one] / spent["wall"])
        for one in sorted(first)
    ]  # fmt: skip
    report.tables = [("Memory and CPU", ("process", "MiB, second fifth", "MiB, last", "growth %", "cores"), rows)]
    report.notes = [
        f"{shape.hosts:,} hosts, {shape.series:,} series, {report.figures['measured_rate']:,.0f} samples/s stored over "
        f"{seconds:.0f} s; most lag {report.figures['most_lag_seconds']:.1f} s, most parts of `samples` "
        f"{report.figures['most_parts']}.",
    ]
    return report


def _watch(running: Fleet, seconds: float) -> tuple[list[dict[str, Any]], dict[str, float], int]:
    meter, begun, looks = running.meter(), time.monotonic(), list[dict[str, Any]]()
    while time.monotonic() - begun < seconds:
        running.alive()
        looks.append(running.look())
        time.sleep(EVERY_SECONDS)
    return looks, meter.read(), looks[-1]["stored"] - looks[0]["stored"]


def _drained(running: Fleet) -> None:
    before = -1

    def quiet() -> bool:
        nonlocal before
        now = ours.stored(running.database)
        same, before = now == before, now
        return same and running.ingest.metric("fleetpulse_consumer_lag_messages") == 0

    until(quiet, DRAIN_SECONDS, "everything that was sent is stored", 4.0)


def _fifth(looks: list[dict[str, Any]], number: int) -> dict[str, float]:
    """Mean memory of each process in one fifth of the looks."""
    size = max(1, len(looks) // 5)
    part = looks[number * size : (number + 1) * size] or looks[-1:]
    names = part[0]["resident_bytes"]
    return {name: sum(look["resident_bytes"][name] for look in part) / len(part) for name in names}


def _exact_goals(report: Report) -> list[Goal]:
    audit = report.figures["audit"]
    return [Goal("audit's exit code", "==", 0, audit["exit_code"] if audit else None)]
