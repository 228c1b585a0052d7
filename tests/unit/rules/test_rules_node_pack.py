"""The shipped packs beside promtool: it accepts them, and node.yaml fires there and here at the same times."""

import subprocess
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetpulse.metric import canonical_key, parse_key
from fleetpulse.promql.parse import parse
from fleetpulse.rules.load import ALERT_FIELDS, PACKS, load, rule_file
from fleetpulse.rules.sent import not_sent
from fleetpulse.wire import join_keys, make_block
from tests.support.rules_world import T0, World

ASKED = range(7, 460, 10)  # minutes
HOST = {"instance": "web-1:9100", "job": "node"}
OWN_FIELDS = ("warning", "critical", "recovery", "no_data")


def story(minute: int) -> dict[str, float]:
    """Key → value: a disk that fills up, then is emptied; a full table of files; a busy hour; errors of a card."""
    busy = 200 <= minute < 300
    full = max(0.0, 45 - minute * 0.1) if minute < 430 else 60.0
    disk = 'device="/dev/vda1",fstype="ext4",mountpoint="/"'
    errors = 100.0 * max(0, minute - 60)
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


def firing() -> dict[int, list[dict[str, str]]]:
    """Minute of ASKED → the labels of the alerts that fire after its tick, in the engine."""
    world = World(load([rule_file("node")]).rules)
    now: dict[tuple[tuple[str, str], ...], None] = {}
    found = {}
    for before, minute in pairwise([-1, *ASKED]):
        for each in range(before + 1, minute + 1):
            values = story(each)
            ticks = make_block("web-1", HOST, join_keys(values), T0 + 60_000 * each, list(values.values()))
            world.publish(60 * each + 1, ticks)
        count = len(world.events)
        world.done(world.live.apply(world.topic[before + 1 :]))
        for event in world.events[count:]:
            labels = tuple(sorted(event.data.labels.items()))
            if event.data.status == "firing":
                now[labels] = None
            else:
                del now[labels]
        found[minute] = [dict(labels) for labels in now]
    return found


def plain(pack: str) -> dict[str, Any]:
    """A pack without what Prometheus does not know."""
    tree: dict[str, Any] = yaml.safe_load(rule_file(pack).read_text())
    for group in tree["groups"]:
        for rule in group["rules"]:
            for field in OWN_FIELDS:
                rule.pop(field, None)
    return tree


def promtool(*args: str) -> str:
    done = subprocess.run(["promtool", *args], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]
    return done.stdout


@pytest.mark.debian("prometheus")
@pytest.mark.parametrize("pack", PACKS)
def test_promtool_accepts_the_packs(pack: str, tmp_path: Path) -> None:
    assert set(OWN_FIELDS) < set(ALERT_FIELDS)
    path = tmp_path / "pack.yaml"
    path.write_text(yaml.safe_dump(plain(pack)))
    assert "SUCCESS" in promtool("check", "rules", str(path))


def test_the_node_pack_is_as_prometheus_reads_it_and_reads_only_what_the_agent_sends() -> None:
    rules = load([rule_file("node")])
    assert not rules.waiting
    assert plain("node") == yaml.safe_load(rule_file("node").read_text())
    recorded = [rule.name for rule in rules.recordings]
    assert {rule.name: missing for rule in rules.rules if (missing := not_sent(parse(rule.expr), recorded))} == {}
    assert (len({rule.name for rule in rules.alerts}), len(recorded)) == (13, 15)


def test_all_packs_are_good_together() -> None:
    assert len(load([rule_file(pack) for pack in PACKS]).rules) > 60


@pytest.mark.debian("prometheus")
def test_the_node_pack_fires_as_in_prometheus(tmp_path: Path) -> None:
    """Asked every ten minutes; promtool evaluates the rules each minute, as ticks come here."""
    expected = firing()
    names = {labels["alertname"] for now in expected.values() for labels in now}
    assert len(names) >= 9, names
    pack = plain("node")
    for rule in (rule for group in pack["groups"] for rule in group["rules"]):
        rule.pop("annotations", None)
    (tmp_path / "node.yaml").write_text(yaml.safe_dump(pack))
    series: dict[str, list[str]] = defaultdict(list)
    for minute in range(ASKED[-1] + 1):
        for key, value in story(minute).items():
            name, labels = parse_key(key)
            series[canonical_key(name, {**labels, **HOST})].append(repr(value))
    tests = []
    alerts = {rule["alert"] for group in pack["groups"] for rule in group["rules"] if "alert" in rule}
    for minute in ASKED:
        for alert in sorted(alerts):
            found = [labels for labels in expected[minute] if labels["alertname"] == alert]
            shown = [{"exp_labels": {n: v for n, v in each.items() if n != "alertname"}} for each in found]
            tests.append({"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": shown})
    inputs = [{"series": key, "values": " ".join(values)} for key, values in series.items()]
    test = {"interval": "1m", "input_series": inputs, "alert_rule_test": tests}
    suite = {"rule_files": ["node.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(suite))
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "test.yaml"))
