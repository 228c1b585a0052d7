"""The stages one by one: route, inhibit, silence, maintenance, time intervals."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleetpulse.notify.route import group_labels_of, routes_of
from fleetpulse.notify.stages import mutes_of
from tests.support.notifying import MINUTE, T0, config_of, firing, resolved, silence_of

TREE = """\
route:
  receiver: default
  group_by: [alertname, instance]
  routes:
    - matchers: [alertname="Watchdog"]
      receiver: heartbeat
    - matchers: ['severity=~"critical|page"', 'env!="dev"']
      receiver: oncall
      continue: true
      routes:
        - match: {team: db}
          receiver: dba
          continue: true
        - match_re: {team: db|cache}
          receiver: storage
    - match: {severity: critical}
      receiver: log
    - match: {team: ''}
      receiver: orphans
      routes:
        - matchers: ['instance=~"web-.+"']
          receiver: web
receivers:
  [{name: default}, {name: heartbeat}, {name: oncall}, {name: dba}, {name: storage}, {name: log},
   {name: orphans}, {name: web}]
"""
CASES: dict[str, list[str]] = {
    '{"alertname":"Watchdog","severity":"critical"}': ["heartbeat"],
    '{"alertname":"A","severity":"critical","team":"db"}': ["dba", "storage", "log"],
    '{"alertname":"A","severity":"page","team":"cache"}': ["storage", "default"],
    '{"alertname":"A","severity":"critical","team":"net"}': ["oncall", "log"],
    '{"alertname":"A","severity":"critical","env":"dev"}': ["log"],
    '{"alertname":"A","severity":"warning","team":"db"}': ["default"],
    '{"alertname":"A","severity":"warning","instance":"web-1"}': ["web"],
    '{"alertname":"A","instance":"db-1"}': ["orphans"],
    '{"alertname":"A","severity":"page"}': ["oncall", "orphans"],
}


@pytest.mark.parametrize("labels", [case for case in CASES if "cache" not in case])
def test_routes(labels: str) -> None:
    found = routes_of(config_of(TREE).route, json.loads(labels))
    assert [route.receiver for route in found] == CASES[labels]


@pytest.mark.debian("prometheus-alertmanager")
def test_amtool_routes_the_same(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yaml"
    file.write_text(TREE)
    config = config_of(TREE)
    for case in CASES:
        labels = json.loads(case)
        pairs = [f"{name}={value}" for name, value in labels.items()]
        command = [shutil.which("amtool") or "amtool", "config", "routes", "test", f"--config.file={file}", *pairs]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        assert [route.receiver for route in routes_of(config.route, labels)] == answer.split(","), case


def test_groups_have_the_labels_that_the_alert_has() -> None:
    route = config_of(TREE).route
    assert group_labels_of(route, {"alertname": "A", "instance": "a", "x": "1"}) == {"alertname": "A", "instance": "a"}
    assert group_labels_of(route, {"alertname": "A"}) == {"alertname": "A"}
    single = config_of("route: {receiver: a, group_by: ['...']}\nreceivers: [{name: a}]\n").route
    assert group_labels_of(single, {"alertname": "A", "x": "1"}) == {"alertname": "A", "x": "1"}


INHIBITING = """\
route: {receiver: a}
receivers: [{name: a}]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: ['severity=~"warning|critical"']
    equal: [cluster]
"""


def test_a_critical_alert_keeps_warnings_of_its_cluster_quiet() -> None:
    source = firing("Down", "a", cluster="one")
    mutes = mutes_of(config_of(INHIBITING), [source], [])
    same, other = firing("Slow", "b", severity="warning", cluster="one"), firing("Slow", "c", severity="warning")
    assert mutes.muted(same, T0).by["inhibit"] == [source.fingerprint]
    assert not mutes.muted(other, T0)
    assert not mutes.muted(source, T0), "not by itself"
    assert not mutes.muted(firing("Hot", "d", cluster="one"), T0), "both sides match both: neither is quiet"
    mutes.inhibitor.update(resolved("Down", "a", T0 + MINUTE, cluster="one"))
    assert not mutes.muted(same, T0)


def test_a_silent_host_keeps_its_other_alerts_quiet_whatever_the_configuration_says() -> None:
    silent = firing("HostSilent", "web-1")
    mutes = mutes_of(config_of(INHIBITING), [silent], [])
    assert mutes.muted(firing("HostCpuHigh", "web-1"), T0).by["inhibit"] == [silent.fingerprint]
    assert not mutes.muted(firing("HostCpuHigh", "web-2"), T0)
    mutes.inhibitor.forget(silent.fingerprint)
    assert not mutes.muted(firing("HostCpuHigh", "web-1"), T0)


def test_silences_and_maintenance_hold_between_their_times() -> None:
    alert = firing("HostCpuHigh", "web-1")
    silence = silence_of("s", {"alertname": "HostCpuHigh"}, T0 + MINUTE, T0 + 2 * MINUTE)
    planned = silence_of("m", {"host": "web-1"}, T0 + 3 * MINUTE, T0 + 4 * MINUTE, "maintenance")
    mutes = mutes_of(config_of(INHIBITING), [alert], [silence, planned])
    by = [mutes.muted(alert, T0 + minute * MINUTE).by for minute in range(5)]
    assert [(found["silence"], found["maintenance"]) for found in by] == [
        ([], []),
        (["s"], []),
        ([], []),
        ([], ["m"]),
        ([], []),
    ]
    mutes.set_silence("m", None)
    assert not mutes.muted(alert, T0 + 3 * MINUTE)


def test_an_acknowledgement_ends_with_its_episode_and_when_the_alert_gets_worse() -> None:
    alert = firing("HostCpuHigh", "web-1", severity="warning")
    mutes = mutes_of(config_of(INHIBITING), [], [silence_of("a", {}, kind="acknowledgement", alert=alert)])
    assert mutes.muted(alert, T0).by["silence"] == ["a"]
    assert not mutes.muted(firing("HostCpuHigh", "web-1", T0 + MINUTE, number=2), T0 + MINUTE), "critical now"
    assert not mutes.muted(firing("HostCpuHigh", "web-1", T0 + MINUTE, severity="warning"), T0 + MINUTE), (
        "a new episode"
    )


INTERVALS = """\
route: {receiver: a}
receivers: [{name: a}]
time_intervals:
  - name: office
    time_intervals:
      - {times: [{start_time: '09:00', end_time: '17:00'}], weekdays: ['monday:friday'], location: Europe/Berlin}
  - name: month_end
    time_intervals:
      - {days_of_month: ['-2:-1'], months: ['february', '5:6'], years: ['2026:2027']}
"""


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        ("office", datetime(2026, 7, 6, 7, 0, tzinfo=UTC), True),  # Monday, 9:00 in Berlin's summer
        ("office", datetime(2026, 7, 6, 6, 59, tzinfo=UTC), False),
        ("office", datetime(2026, 1, 5, 7, 59, tzinfo=UTC), False),  # winter
        ("office", datetime(2026, 7, 6, 15, 0, tzinfo=UTC), False),
        ("office", datetime(2026, 7, 5, 10, 0, tzinfo=UTC), False),  # Sunday
        ("month_end", datetime(2026, 2, 27, tzinfo=UTC), True),
        ("month_end", datetime(2026, 2, 26, tzinfo=UTC), False),
        ("month_end", datetime(2027, 6, 30, tzinfo=UTC), True),
        ("month_end", datetime(2028, 2, 29, tzinfo=UTC), False),
        ("month_end", datetime(2026, 3, 31, tzinfo=UTC), False),
    ],
)
def test_time_intervals(name: str, at: datetime, expected: bool) -> None:
    intervals = config_of(INTERVALS).intervals[name]
    assert any(item.contains(round(at.timestamp() * 1000)) for item in intervals) is expected
