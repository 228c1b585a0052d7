"""`rules`: rules evaluated for hosts, a core-second: windows, expressions and the state machine, without servers.

Each case runs in a process of its own: ``python -m bench.rules HOSTS RULES HOT``. Sample-to-event latency under load
is in `freshness`.
"""

import json
import subprocess
import sys
import time
from typing import Any, NamedTuple

import numpy as np

from bench.goals import Goal
from bench.load import HERE
from bench.report import Options, Report
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.flapping import Flapping
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
    """Every case, in a child."""
    report = Report("rules")
    hosts = HOSTS if options.samples is None else max(100, min(HOSTS, options.samples // (SERIES * TICKS)))
    cases = [_child(min(hosts, count), rules, hot) for count, rules, hot in CASES]
    report.figures = {"cases": cases}
    mark, idle = cases[0], cases[1]
    few = cases[-1]
    per_rule = (idle["cpu_seconds"] - few["cpu_seconds"]) / (idle["evaluations"] - few["evaluations"])
    report.figures["idle_rule_ns"] = per_rule * 1e9
    report.goals = [
        Goal("rules x hosts a core-second", ">=", MARK, mark["evaluations_per_core_second"]),
        Goal("a batch of one tick of all hosts", "<=", 1.0, mark["slowest_tick_seconds"], "s of a core"),
    ]
    head = ("hosts", "rules", "hot hosts", "rules x hosts a core-second", "samples a core-second", "events", "tick s")
    names = (
        "hosts", "rules", "hot", "evaluations_per_core_second", "samples_per_core_second", "events",
        "slowest_tick_seconds",
    )  # fmt: skip
    report.tables = [
        ("Decoding, windows, expressions, alerts and their events", head, [[c[n] for n in names] for c in cases])
    ]
    report.notes = [
        f"{SERIES} series a host in frames of {HOSTS_A_MESSAGE} hosts, a tick every {INTERVAL_SECONDS} s, {TICKS} "
        f"ticks after {WARM_TICKS} of warming up. A rule that does not fire costs {per_rule * 1e9:,.0f} ns a host.",
        "CPU of the one thread that does all of it; nothing is sent to Kafka.",
    ]
    return report


def _child(hosts: int, rules: int, hot: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.rules", str(hosts), str(rules), str(hot)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=CASE_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"rules with {hosts} hosts failed:\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def measure(hosts: int, rules: int, hot: float) -> dict[str, Any]:
    """CPU of this process for whole ticks of all hosts, after the windows are warm."""
    live = PartitionRules(rule_set([_rule(number) for number in range(rules)]), 0, 1, conduct=Conduct(Flapping()))
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
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
