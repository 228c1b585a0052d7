"""The shipped packs beside promtool: it accepts them, and node.yaml records and fires there and here the same."""

import math
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import recorded
from fleetpulse.metric import canonical_key, parse_key
from fleetpulse.promql.parse import parse
from fleetpulse.promql.rings import NEVER
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.load import ALERT_FIELDS, PACKS, load, rule_file
from fleetpulse.rules.model import rule_set
from fleetpulse.rules.sent import not_sent
from fleetpulse.wire import Block, join_keys, make_block
from tests.support import promtool
from tests.support.rules_world import T0, World

Labels = frozenset[tuple[str, str]]
Samples = dict[Labels, float]

MINUTES = 460
READ = frozenset(re.findall(r"\bnode_\w+", rule_file("node").read_text()))
PROGRAMS = [pytest.param(promtool.DEBIAN, marks=pytest.mark.debian("prometheus"), id="debian")]
PROGRAMS += [pytest.param(each, id="newer") for each in promtool.newer()]
OWN_FIELDS = ("warning", "critical", "recovery", "no_data")


def story(minute: int) -> dict[str, float]:
    """Key → value: a disk that fills up, then is emptied; a full table of files; a busy hour; errors of a card."""
    busy = 200 <= minute < 300
    full = max(0.0, 45 - minute * 0.1) if minute < 430 else 60.0
    disk = 'device="/dev/vda1",fstype="ext4",mountpoint="/"'
    errors = 5000.0 + 100.0 * max(0, minute - 60)  # near 0, 2.42 and 3 would extrapolate differently
    values = {
        f"node_filesystem_avail_bytes{{{disk}}}": full * 1e9,
        f"node_filesystem_size_bytes{{{disk}}}": 100e9,
        f"node_filesystem_files_free{{{disk}}}": 4e4 if minute < 250 else 1e5,
        f"node_filesystem_files{{{disk}}}": 1e6,
        f"node_filesystem_readonly{{{disk}}}": 0.0,
        'node_network_receive_errs_total{device="eth0"}': errors,
        'node_network_receive_packets_total{device="eth0"}': 5000.0 * minute,
        'node_network_transmit_errs_total{device="eth0"}': 3.0,
        'node_network_transmit_packets_total{device="eth0"}': 6000.0 * minute,
        "node_filefd_allocated": 8000.0 if minute < 100 else 9500.0,
        "node_filefd_maximum": 10_000.0,
        "node_nf_conntrack_entries": 800.0 if 50 <= minute < 55 else 10.0,
        "node_nf_conntrack_entries_limit": 1000.0,
        "node_load1": 9.0 if busy else 1.0,
        "node_memory_MemAvailable_bytes": 5e8 if busy else 5e9,
        "node_memory_MemTotal_bytes": 1e10,
        "node_vmstat_pgmajfault": 90_000.0 * min(max(0, minute - 200), 100),
        'node_disk_io_time_weighted_seconds_total{device="vda"}': 60.0 * (minute + 11 * min(max(0, minute - 200), 100)),
        'node_disk_io_time_seconds_total{device="vda"}': 30.0 * minute,
    }
    for cpu in ("0", "1"):
        idle = 60.0 * (minute - 0.95 * min(max(0, minute - 200), 100))
        values[f'node_cpu_seconds_total{{cpu="{cpu}",mode="idle"}}'] = idle
        values[f'node_cpu_seconds_total{{cpu="{cpu}",mode="user"}}'] = 60.0 * minute - idle
    return values


def ticks() -> list[dict[str, dict[str, float]]]:
    """Minute → host → key → value: `story`, and a recorded node_exporter over and over, which resets its counters."""
    recording = recorded.load()
    places = [place for place, key in enumerate(recording.keys) if parse_key(key)[0] in READ]
    keys, values = [recording.keys[place] for place in places], recording.values[:, places].tolist()
    replay = (dict(zip(keys, values[minute % len(values)], strict=True)) for minute in range(MINUTES))
    return [{"web-1": story(minute), "rec-1": found} for minute, found in enumerate(replay)]


def blocks_of(tick: dict[str, dict[str, float]], minute: int) -> list[Block]:
    return [
        make_block(host, labels_of(host), join_keys(values), T0 + 60_000 * minute, list(values.values()))
        for host, values in tick.items()
    ]


def labels_of(host: str) -> dict[str, str]:
    return {"instance": f"{host}:9100", "job": "node"}


def firing() -> list[Samples]:
    """After each minute's tick the alerts that fire in the engine, as Prometheus' ALERTS."""
    world = World(load([rule_file("node")]).rules)
    now: dict[Labels, float] = {}
    found = []
    for minute, tick in enumerate(ticks()):
        count = len(world.events)
        world.send(60 * minute + 1, *blocks_of(tick, minute))
        for event in world.events[count:]:
            labels = frozenset({**event.data.labels, "__name__": "ALERTS", "alertstate": "firing"}.items())
            if event.data.status == "firing":
                now[labels] = 1.0
            else:
                del now[labels]
        found.append(dict(now))
    return found


def recordings(after_s: int) -> list[Samples]:
    """What is recorded so many seconds after each minute's tick."""
    rules = rule_set(load([rule_file("node")]).recordings)
    evaluator = StreamEvaluator(rules, complete_from_ms=NEVER)
    found = []
    for minute, tick in enumerate(ticks()):
        evaluator.observe(blocks_of(tick, minute))
        results: Samples = {}
        for evaluation in evaluator.evaluate_at(T0 + 60_000 * minute + 1000 * after_s):
            for key, value in zip(evaluation.key, evaluation.value, strict=True):
                labels = {**evaluator.labels_of(int(key)), "__name__": evaluation.rule.name}
                results[frozenset((n, text) for n, text in labels.items() if n != "host")] = float(value)
        found.append(results)
    return found


def inputs(after_s: int) -> dict[str, list[str]]:
    """promtool's values of each series, every 60 seconds, or every 30 so that rules are evaluated 30 after a tick."""
    series: dict[str, list[str]] = defaultdict(list)
    for tick in ticks():
        for host, values in tick.items():
            for key, value in values.items():
                name, labels = parse_key(key)
                own = series[canonical_key(name, {**labels, **labels_of(host)})]
                own += ["_", repr(value)] if after_s else [repr(value)]
    return series


def plain(pack: str) -> dict[str, Any]:
    """A pack without what Prometheus does not know."""
    tree: dict[str, Any] = yaml.safe_load(rule_file(pack).read_text())
    for group in tree["groups"]:
        for rule in group["rules"]:
            for field in OWN_FIELDS:
                rule.pop(field, None)
    return tree


@pytest.mark.debian("prometheus")
@pytest.mark.parametrize("pack", PACKS)
def test_promtool_accepts_the_packs(pack: str, tmp_path: Path) -> None:
    assert set(OWN_FIELDS) < set(ALERT_FIELDS)
    path = tmp_path / "pack.yaml"
    path.write_text(yaml.safe_dump(plain(pack)))
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]
    assert "SUCCESS" in done.stdout


def test_the_node_pack_is_as_prometheus_reads_it_and_reads_only_what_the_agent_sends() -> None:
    rules = load([rule_file("node")])
    assert not rules.waiting
    assert plain("node") == yaml.safe_load(rule_file("node").read_text())
    recorded = [rule.name for rule in rules.recordings]
    assert {rule.name: missing for rule in rules.rules if (missing := not_sent(parse(rule.expr), recorded))} == {}
    assert (len({rule.name for rule in rules.alerts}), len(recorded)) == (13, 15)


def test_all_packs_are_good_together() -> None:
    assert len(load([rule_file(pack) for pack in PACKS]).rules) > 60


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_node_pack_records_and_fires_as_in_prometheus(tmp_path: Path, program: promtool.Promtool) -> None:
    """At every tick; 2.42, whose windows have a left edge, evaluates its rules half a minute after each."""
    after_s = 30 if program.version == 2 else 0
    pack = plain("node")
    for rule in (rule for group in pack["groups"] for rule in group["rules"]):
        rule.pop("annotations", None)
    (path := tmp_path / "node.yaml").write_text(yaml.safe_dump(pack))
    times = [60 * minute + 2 * after_s for minute in range(MINUTES)]
    queries = [(expr, at) for at in times for expr in ('ALERTS{alertstate="firing"}', '{__name__=~"instance.*:.*"}')]
    answers = promtool.evaluate(tmp_path, inputs(after_s), 30 if after_s else 60, queries, program, rules=path)
    expected = [{} if isinstance(answer, str) else dict(answer) for answer in answers]
    fired, recorded_ = firing(), recordings(after_s)
    assert len({labels for found in fired for labels in found}) >= 12
    assert sum(map(len, recorded_)) > 10_000
    wrong = []
    for minute, own in enumerate(fired):
        if own.keys() != expected[2 * minute].keys():
            wrong.append(f"minute {minute}: fires {own.keys() ^ expected[2 * minute].keys()} in one only")
    for minute, own in enumerate(recorded_):
        if not alike(own, expected[2 * minute + 1]):
            wrong.append(f"minute {minute}: {sorted(own.items() ^ expected[2 * minute + 1].items(), key=str)}")
    assert not wrong, f"{len(wrong)} of {2 * MINUTES}:\n" + "\n".join(wrong)[:6000]


def alike(left: Samples, right: Samples) -> bool:
    return left.keys() == right.keys() and all(
        value == right[labels] or math.isclose(value, right[labels], rel_tol=1e-9, abs_tol=1e-9)
        for labels, value in left.items()
    )
