"""`rules`: rules evaluated for hosts, a core-second; Prometheus beside it; back-test speed; from a sample to its event.

Each case of windows, expressions and state machine runs in a process of its own, without servers:
``python -m bench.rules HOSTS RULES HOT [IDLE]``. A back-test alone is `bench/backtest.py`.
"""

import json
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from bench import backtest, freshness, peers, rule_change, rules_peer
from bench.goals import Goal, ratio
from bench.load import HERE
from bench.probe import percentiles, rule_file
from bench.report import Options, Report
from bench.servers import Servers
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.flapping import Flapping
from fleetpulse.rules.load import shipped_packs
from fleetpulse.rules.model import Rule, RuleKind, Threshold, rule_set
from fleetpulse.rules.partition import PartitionRules
from fleetpulse.wire import Frame, encode_frame, join_keys, make_block

HOSTS = 10_000
RULES = 50
SERIES = 50
INTERVAL_SECONDS = 10
WARM_TICKS = 32  # beyond the lookback, so that every rule is warm
TICKS = 12
HOSTS_A_MESSAGE = 50
T0 = 1_800_000_000_000
CASE_SECONDS = 900.0
MARK = HOSTS * RULES  # (rule, host) a second on one core
# (hosts, rules, share of hosts over the threshold): the mark, the same with no rule that fires, and with many
CASES = ((HOSTS, RULES, 0.001), (HOSTS, RULES, 0.0), (HOSTS, RULES, 0.05), (1_000, RULES, 0.001), (HOSTS, 5, 0.001))
IDLE = (0, 100, 1_000)  # rules that select nothing, beside RULES of all hosts
PEER_HOSTS = 1_000
RATES = (10_000, freshness.RATED)  # samples a second beside the probes
_EXPRESSIONS = (
    "metric_{n}",
    "avg_over_time(metric_{n}[1m])",
    "max_over_time(metric_{n}[2m])",
    "rate(metric_{n}[1m])",
    "1 - metric_{n} / metric_{m}",
)
_COUNTERS = [number for number in range(SERIES) if "rate" in _EXPRESSIONS[number % len(_EXPRESSIONS)]]


class Sent(NamedTuple):
    """A message of the metrics topic."""

    offset: int
    append_ms: int
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def run(options: Options) -> Report:
    """Every case in a child, the peer, a back-test, and the delay from a sample to its event beside a fleet."""
    report = Report("rules")
    hosts = HOSTS if options.samples is None else max(100, min(HOSTS, options.samples // (SERIES * TICKS)))
    cases = [_child(min(hosts, count), rules, hot) for count, rules, hot in CASES]
    curve = [_child(hosts, RULES, 0.0, idle) for idle in IDLE]
    peer = peers.find("prometheus", options.peers)
    report.peers = {"prometheus": peer.version if peer else None}
    prometheus = None
    if peer is not None:
        rules = [_rule(number) for number in range(RULES)]
        prometheus = rules_peer.measure(peer, options.folder / "prometheus", min(hosts, PEER_HOSTS), rules, 10)
    with Servers(options.folder) as servers:
        days, fleet = (backtest.DAYS, backtest.HOSTS) if options.samples is None else (2, min(hosts, backtest.HOSTS))
        tested = backtest.measure(servers, days, fleet)
        latency = [_latency(servers, rate, options) for rate in RATES if rate <= (options.samples or rate)]
    report.figures = {"cases": cases, "idle": curve, "prometheus": prometheus, "backtest": tested, "latency": latency}
    _goals(report, tested["days"] * tested["hosts"] == backtest.DAYS * backtest.HOSTS)
    _tables(report)
    return report


def _latency(servers: Servers, rate: int, options: Options) -> dict[str, Any]:
    files = [*shipped_packs(), rule_file(options.folder)]
    try:
        return freshness.at_rate(
            servers, rate, ",".join(map(str, files)), lambda running: rule_change.changes(running, files)
        )
    except TimeoutError as error:
        return {"rate": rate, "error": str(error)}  # what was measured before is told all the same


def _goals(report: Report, whole: bool) -> None:
    figures = report.figures
    mark, few, many = figures["cases"][0], figures["idle"][0], figures["idle"][-1]
    theirs, tested, latency = figures["prometheus"], figures["backtest"], figures["latency"]
    same = figures["cases"][3]["evaluations_per_core_second"]
    changed = {one["rate"]: max(one["then"]) for one in latency if "to_event" in one}
    events = {one["rate"]: one["to_event"]["p99"] for one in latency if "to_event" in one}
    report.goals = [
        Goal("rules x hosts a core-second", ">=", MARK, mark["evaluations_per_core_second"]),
        Goal("a batch of one tick of all hosts", "<=", 1.0, mark["slowest_tick_seconds"], "s of a core"),
        Goal(f"cost beside {IDLE[-1]} rules that select nothing", "<=", 1.2, many["cpu_seconds"] / few["cpu_seconds"]),
        Goal(
            "rules x hosts a core-second over Prometheus's", ">=", 1.0,
            ratio(same, theirs and theirs["evaluations_per_core_second"]),
        ),
        Goal("back-test of 30 days x 1,000 hosts x 1 rule", "<=", 60.0, tested["seconds"] if whole else None, "s"),
        Goal("sample to alert event, p99, at 200k samples/s", "<=", 1.0, events.get(freshness.RATED), "s"),
        Goal("a change of rules in force, most, at 200k samples/s", "<=", 2.0, changed.get(freshness.RATED), "s"),
    ]  # fmt: skip


def _tables(report: Report) -> None:
    figures = report.figures
    cases, idle = figures["cases"], figures["cases"][1]
    few, latency, theirs = cases[-1], figures["latency"], figures["prometheus"]
    per_rule = (idle["cpu_seconds"] - few["cpu_seconds"]) / (idle["evaluations"] - few["evaluations"])
    figures["idle_rule_ns"] = per_rule * 1e9
    report.tables = [
        ("Decoding, windows, expressions, alerts and their events", *_columns(_CASE, [*cases, *figures["idle"]])),
        ("A back-test of one rule", *_columns(_BACKTEST, [figures["backtest"]])),
    ]
    if theirs:
        report.tables.append((f"Prometheus: {PEER_HOSTS} hosts, the same expressions", *_columns(_PEER, [theirs])))
    told = [{"rate": one["rate"], "load": one["load"][0], **one["to_event"]} for one in latency if "to_event" in one]
    report.tables.append(("From a sample to its alert event", *_columns(_LATENCY, told)))
    told = [{"rate": one["rate"], **percentiles(one["then"])} for one in latency if "then" in one]
    report.tables.append(("From a change of rules until it is in force", *_columns(_CHANGE, told)))
    report.notes += [f"no delay at {one['rate']:,} samples/s: {one['error']}" for one in latency if "error" in one]
    report.notes += [
        f"{SERIES} series a host in frames of {HOSTS_A_MESSAGE} hosts, a tick every {INTERVAL_SECONDS} s, {TICKS} "
        f"ticks after {WARM_TICKS} of warming up. A rule that does not fire costs {per_rule * 1e9:,.0f} ns a host.",
        "CPU of the one thread that does all of it; nothing is sent to Kafka. Prometheus's is that of its whole "
        "process while it evaluates, without what the samples that came meanwhile cost it; ours has decoding and "
        "windows in it.",
    ]


# column → field
_CASE = {
    "hosts": "hosts",
    "rules": "rules",
    "hot hosts": "hot",
    "rules that select nothing": "idle",
    "rules x hosts a core-second": "evaluations_per_core_second",
    "samples a core-second": "samples_per_core_second",
    "events": "events",
    "tick s": "slowest_tick_seconds",
}
_PEER = {
    "version": "version",
    "rules x hosts a core-second": "evaluations_per_core_second",
    "a second of its own clock": "evaluations_per_second_of_its_own",
    "failures": "failures",
}
_BACKTEST = {
    "days": "days",
    "hosts": "hosts",
    "one-minute rows": "samples",
    "s": "seconds",
    "our CPU s": "our_cpu_seconds",
    "ClickHouse CPU s": "clickhouse_cpu_seconds",
    "episodes": "episodes",
}
_LATENCY = {"samples/s": "rate", "probes": "count", "p50 s": "p50", "p99 s": "p99", "load": "load"}
_CHANGE = {"samples/s": "rate", "changes": "count", "p50 s": "p50", "most s": "most"}


def _columns(named: dict[str, str], rows: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    return list(named), [[row[field] for field in named.values()] for row in rows]


def _child(hosts: int, rules: int, hot: float, idle: int = 0) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.rules", str(hosts), str(rules), str(hot), str(idle)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=CASE_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"rules with {hosts} hosts failed:\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def measure(hosts: int, rules: int, hot: float, idle: int = 0) -> dict[str, Any]:
    """CPU of this process for whole ticks of all hosts, after the windows are warm.

    `idle`: more rules, on metrics that no host sends.
    """
    asked = [_rule(number) for number in range(rules)]
    asked += [replace(_rule(number), name=f"Idle{number}", expr=f"other_{number}") for number in range(idle)]
    live = PartitionRules(rule_set(asked), 0, 1, conduct=Conduct(Flapping()))
    random = np.random.default_rng(7)
    offset, events, evaluations = 0, 0, 0
    spent: list[float] = []
    for tick in range(WARM_TICKS + TICKS):
        messages = _messages(hosts, tick, hot, random, offset)
        offset += len(messages)
        begun = time.process_time()
        outcome = live.apply(messages)
        if tick >= WARM_TICKS:
            spent.append(time.process_time() - begun)
            events += len(outcome.events)
            evaluations += outcome.evaluations
    if evaluations != hosts * rules * TICKS:
        raise RuntimeError(f"{evaluations} evaluations instead of {hosts * rules * TICKS}")
    return {
        "hosts": hosts,
        "rules": rules,
        "hot": hot,
        "idle": idle,
        "cpu_seconds": sum(spent),
        "evaluations": evaluations,
        "evaluations_per_core_second": evaluations / sum(spent),
        "samples_per_core_second": hosts * SERIES * TICKS / sum(spent),
        "slowest_tick_seconds": max(spent),
        "events": events,
    }


def _rule(number: int) -> Rule:
    form = _EXPRESSIONS[number % len(_EXPRESSIONS)]
    over = 0.5 if "rate" in form else 900.0
    return Rule(
        name=f"Rule{number}",
        kind=RuleKind.ALERT,
        expr=form.format(n=number % SERIES, m=(number + 1) % SERIES),
        file="bench.yaml",
        line=1,
        group="bench",
        for_ms=20_000,
        warning=Threshold(">", over),
        critical=Threshold(">", 2 * over),
        no_data_ms=120_000,
        annotations={"summary": "{{ $labels.instance }} is at {{ $value }}"},
    )


def _messages(hosts: int, tick: int, hot: float, random: np.random.Generator, offset: int) -> list[Sent]:
    """One tick of all hosts; those that are hot are so for four ticks."""
    series = join_keys([f"metric_{number}" for number in range(SERIES)])
    at_ms = T0 + 1000 * INTERVAL_SECONDS * tick
    values = random.uniform(100.0, 110.0, (hosts, SERIES))
    values[:, _COUNTERS] = 1.0 * tick
    if hot and WARM_TICKS + 4 <= tick < WARM_TICKS + 8:
        values[: int(hosts * hot)] *= 10.0
    messages: list[Sent] = []
    for first in range(0, hosts, HOSTS_A_MESSAGE):
        blocks = [
            make_block(f"host-{number}", {"instance": f"host-{number}", "job": "node"}, series, at_ms, values[number])
            for number in range(first, min(hosts, first + HOSTS_A_MESSAGE))
        ]
        messages.append(Sent(offset + len(messages), at_ms + 500, encode_frame(Frame(1, at_ms, blocks))))
    return messages


if __name__ == "__main__":
    hosts, rules, hot, *idle = sys.argv[1:]
    print(json.dumps(measure(int(hosts), int(rules), float(hot), *map(int, idle))))
