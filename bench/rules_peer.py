"""Prometheus beside `rules`: the same series, sent by remote_write, and the same expressions as its alerting rules."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench import peers
from bench.procfs import Meter
from bench.remote_write import SAMPLES_A_REQUEST, Template, labels_of, packed
from bench.servers import until
from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import selections
from fleetpulse.rules.model import Rule
from infra.embedded.guard import Guard

WARM_TICKS = 13
EVALUATIONS = 6


def measure(peer: peers.Peer, folder: Path, hosts: int, rules: list[Rule], interval_seconds: int) -> dict[str, Any]:
    """CPU of whole evaluations, without that of the ticks that are sent meanwhile; the time that it says it took."""
    guard = Guard()
    names = sorted({name for rule in rules for name in _metrics(rule)})
    try:
        with peers.running(peer, folder, guard) as started:
            rising = [name for rule in rules if rule.expr.startswith("rate(") for name in _metrics(rule)]
            sender = _Sender(started, hosts, names, rising)
            now_ms = int(time.time()) * 1000
            for tick in range(WARM_TICKS):
                sender.tick(now_ms - 1000 * interval_seconds * (WARM_TICKS - 1 - tick))
            tick_cpu = sender.cpu_of_a_tick(now_ms + 1)
            _load_rules(started, folder, rules, interval_seconds)
            until(lambda: _iterations(started) >= 1, 60.0, "Prometheus evaluates")
            return _evaluate(started, sender, hosts * len(rules), tick_cpu, interval_seconds)
    finally:
        guard.close()


def _evaluate(
    started: peers.Running, sender: "_Sender", cells: int, tick_cpu: float, interval_seconds: int
) -> dict[str, Any]:
    before, took, ticks = _iterations(started), _seconds(started), 0
    meter = Meter({"server": started.pid})
    due = time.monotonic()
    while _iterations(started) < before + EVALUATIONS:
        if time.monotonic() >= due:
            sender.tick(int(time.time()) * 1000)
            due, ticks = due + interval_seconds, ticks + 1
        time.sleep(0.5)
    count = (_iterations(started) - before) * cells
    cpu = meter.read()["server"] - ticks * tick_cpu
    return {
        "name": started.peer.name,
        "version": started.peer.version,
        "evaluations": count,
        "cpu_seconds": cpu,
        "tick_cpu_seconds": tick_cpu,
        "evaluations_per_core_second": count / max(cpu, 0.01),
        "evaluation_seconds": _seconds(started) - took,
        "evaluations_per_second_of_its_own": count / max(_seconds(started) - took, 1e-6),
        "failures": started.metric("prometheus_rule_evaluation_failures_total"),
    }


class _Sender:
    """Sends every series of every host at a time; counters, `rising`, go up by one in ten seconds."""

    def __init__(self, started: peers.Running, hosts: int, names: list[str], rising: list[str]) -> None:
        self._started, self._names = started, names
        self._rising = np.isin(names, rising)
        self._random = np.random.default_rng(7)
        at_once = max(1, SAMPLES_A_REQUEST // len(names))
        self._templates = [
            (min(hosts, first + at_once) - first, self._template(range(first, min(hosts, first + at_once))))
            for first in range(0, hosts, at_once)
        ]

    def _template(self, hosts: range) -> Template:
        keys = [(name, {"instance": f"host-{host}", "job": "node"}) for host in hosts for name in self._names]
        return Template([labels_of(name, common) for name, common in keys], int(time.time() * 1000))

    def tick(self, ts_ms: int) -> None:
        for count, template in self._templates:
            values = self._random.uniform(100.0, 110.0, (count, len(self._names)))
            values[:, self._rising] = ts_ms / 10_000
            self._started.write(packed(template.body(values.reshape(-1), ts_ms)))

    def cpu_of_a_tick(self, ts_ms: int, ticks: int = 3) -> float:
        meter = Meter({"server": self._started.pid})
        for tick in range(ticks):
            self.tick(ts_ms + tick)
        return meter.read()["server"] / ticks


def _metrics(rule: Rule) -> list[str]:
    return [leaf.selector.name for leaf in selections(parse(rule.expr)) if leaf.selector.name]


def _load_rules(started: peers.Running, folder: Path, rules: list[Rule], interval_seconds: int) -> None:
    listed = [
        {"alert": rule.name, "expr": f"({rule.expr}) {rule.warning}", "for": f"{rule.for_ms // 1000}s"}
        | {"annotations": dict(rule.annotations)}
        for rule in rules
    ]
    groups = [{"name": "bench", "interval": f"{interval_seconds}s", "rules": listed}]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"rule_files": [str(folder / "rules.yml")]}))
    os.kill(started.pid, signal.SIGHUP)


def _iterations(started: peers.Running) -> int:
    return int(started.metric("prometheus_rule_group_iterations_total"))


def _seconds(started: peers.Running) -> float:
    return started.metric("prometheus_rule_evaluation_duration_seconds_sum")
