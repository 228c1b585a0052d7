"""Rules are replaced between two batches: what stays the same goes on, what changed or went ends and says why."""

from dataclasses import replace

import pytest

from fleetpulse.rules.model import Rule, RuleKind, Severity, Threshold, rule_set
from fleetpulse.rules.state import read_records
from tests.support.rules_world import HOST_SILENT, World, alert, block, feed

BARE: dict[str, object] = {"labels": {}, "annotations": {}, "warning": None, "critical": None}
WATCHED = alert(no_data_ms=120_000)


def replace_rules(world: World, *rules: Rule) -> None:
    windows = world.live.windows
    world.replace(rules)
    assert world.live.windows is windows, "in place"


def told(world: World) -> list[tuple[str, str, str, int]]:
    return [
        (e.data.rule.name, e.data.reason, e.data.labels.get("severity", ""), e.data.transition) for e in world.events
    ]


def test_a_new_rule_leaves_the_alerts_of_the_others_alone() -> None:
    world = World((alert(), HOST_SILENT))
    feed(world, "a", range(0, 400, 10), 90)
    replace_rules(world, replace(alert(), file="moved.yaml", line=7), HOST_SILENT, alert(name="Hotter"))
    assert told(world) == [("Hot", "threshold", "warning", 1)]
    feed(world, "a", range(400, 800, 10), 90)
    assert told(world)[1:] == [("Hotter", "threshold", "warning", 1)]
    feed(world, "a", [800], 10)
    assert sorted(told(world)[2:]) == [("Hot", "recovered", "warning", 2), ("Hotter", "recovered", "warning", 2)]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("change", [{"warning": Threshold(">", 70.0)}, {"for_ms": 20_000}, {"no_data_ms": 600_000}])
def test_edited_thresholds_and_times_keep_the_episode(change: dict[str, object], restart: bool) -> None:
    world = World((WATCHED,))
    feed(world, "a", range(0, 400, 10), 90)
    replace_rules(world, replace(WATCHED, **change))  # type: ignore[arg-type]
    if restart:
        world.restart()
    feed(world, "a", range(400, 800, 10), 90)
    assert len(world.events) == 1
    feed(world, "a", [800], 10)
    assert told(world)[1:] == [("Hot", "recovered", "warning", 2)]
    assert len({event.data.episode for event in world.events}) == 1


def test_a_pending_alert_goes_on_under_a_shorter_for() -> None:
    patient = alert(for_ms=600_000)
    world = World((patient,))
    feed(world, "a", range(0, 400, 10), 90)
    replace_rules(world, replace(patient, for_ms=420_000))
    feed(world, "a", range(400, 900, 10), 90)
    (event,) = world.events
    assert event.data.reason == "threshold"
    assert world.live.firing() == ["warning"]


@pytest.mark.parametrize("change", [{"expr": "temperature_celsius + 1"}, {"labels": {"team": "x"}}])
def test_another_expression_or_label_ends_the_alert(change: dict[str, object]) -> None:
    world = World((WATCHED,))
    feed(world, "a", range(0, 400, 10), 90)
    replace_rules(world, replace(WATCHED, **change))  # type: ignore[arg-type]
    assert told(world)[1:] == [("Hot", "rule_changed", "warning", 2)]
    saved = read_records(world.states)
    assert (saved.alerts, saved.hosts) == ([], [])
    feed(world, "a", range(400, 800, 10), 90)
    assert told(world)[2:] == [("Hot", "threshold", "warning", 1)]
    assert [host.host for host in read_records(world.states).hosts] == ["a"]


def test_a_deleted_rule_ends_its_alerts_and_forgets_pending_ones() -> None:
    world = World((WATCHED, alert(name="Slow", for_ms=600_000), alert(name="Other")))
    feed(world, "a", range(0, 400, 10), 90)
    world.events.clear()
    replace_rules(world, alert(name="Other"))
    assert told(world) == [("Hot", "rule_deleted", "warning", 2)]
    saved = read_records(world.states)
    assert [record.rule for record in saved.alerts] == ["Other"]
    assert saved.hosts == []


def test_the_severity_an_alert_has_may_be_taken_from_its_rule() -> None:
    both, only_critical = alert(), alert(warning=None)
    warned = World((both,))
    feed(warned, "a", range(0, 400, 10), 90)
    replace_rules(warned, only_critical)
    assert told(warned)[1:] == [("Hot", "rule_changed", "warning", 2)], "it is not critical all of a sudden"
    worse = World((both,))
    feed(worse, "a", range(0, 400, 10), 99)
    replace_rules(worse, only_critical)
    feed(worse, "a", range(400, 800, 10), 99)
    assert told(worse) == [("Hot", "threshold", "critical", 1)]
    feed(worse, "a", [800], 90)
    assert told(worse)[1:] == [("Hot", "recovered", "critical", 2)]


def test_a_silent_host_stays_silent_under_the_edited_rule_and_returns() -> None:
    world = World((HOST_SILENT,))
    feed(world, "a", [0])
    feed(world, "b", range(0, 200, 10))
    replace_rules(world, replace(HOST_SILENT, no_data_ms=60_000))
    feed(world, "b", range(200, 400, 10))
    assert told(world) == [("HostSilent", "no_data", "critical", 1)]
    feed(world, "a", [400])
    assert told(world)[1:] == [("HostSilent", "data_returned", "critical", 2)]


def test_silence_that_no_rule_minds_any_more_ends() -> None:
    world = World((WATCHED,))
    feed(world, "a", [0])
    feed(world, "b", range(0, 200, 10))
    replace_rules(world, alert())
    assert told(world) == [("Hot", "no_data", "warning", 1), ("Hot", "rule_changed", "warning", 2)]
    saved = read_records(world.states)
    assert (saved.alerts, saved.hosts) == ([], [])


def test_replacing_nothing_writes_nothing() -> None:
    world = World((WATCHED, HOST_SILENT))
    feed(world, "a", range(0, 400, 10), 90)
    outcome = world.live.replace_rules(rule_set((replace(WATCHED), replace(HOST_SILENT))))
    assert outcome is not None
    assert (outcome.events, outcome.records) == ([], [])


def test_before_the_first_message_there_is_nothing_to_keep() -> None:
    world = World((alert(name="Old"),))
    replace_rules(world, alert(recovery={Severity.WARNING: Threshold("<", 50.0)}))
    world.send(0, block("a", 0, 90))
    assert told(world) == [("Hot", "threshold", "warning", 1)]


def test_windows_that_are_not_here_are_asked_for() -> None:
    world = World((alert(),))
    feed(world, "a", range(0, 700, 10), 90)
    windows = world.live.windows
    longer = alert(name="Longer", expr="avg_over_time(temperature_celsius[10m])", warning=Threshold(">", 85.0))
    assert world.live.replace_rules(rule_set((alert(), longer))) is None
    assert world.live.windows is windows
    feed(world, "a", [700], 90)
    assert told(world) == [("Hot", "threshold", "warning", 1)], "nothing has changed"
    world.replace((alert(), longer), seconds=700)
    feed(world, "a", [710], 90)
    assert told(world)[1:] == [("Longer", "threshold", "warning", 1)], "warm at once"


def test_a_longer_window_of_a_deleted_rule_counts_no_more() -> None:
    longer = alert(name="Longer", expr="avg_over_time(temperature_celsius[10m])", warning=Threshold(">", 85.0))
    world = World((alert(), longer))
    feed(world, "a", range(0, 100, 10), 90)
    assert world.live.replace_rules(rule_set((alert(),))) is not None
    assert world.live.replace_rules(rule_set((alert(), longer))) is None


def test_a_change_in_place_gives_the_same_events_as_a_new_owner() -> None:
    rate = alert(name="host:rate", kind=RuleKind.RECORD, expr="rate(temperature_celsius[2m])", **BARE)
    first = (alert(), rate, alert(name="Fast", expr="host:rate > 0.5", for_ms=30_000, **BARE), HOST_SILENT)
    second = (
        replace(first[0], warning=Threshold(">", 120.0)),
        rate,
        replace(first[2], for_ms=60_000),
        alert(name="Both", expr="temperature_celsius > 100 and host:rate > 0.5", **BARE),
    )
    told_by = []
    for in_place in (True, False):
        world = World(first)
        for second_ in range(0, 900, 10):
            if second_ == 400:
                windows = world.live.windows
                _ = world.replace(second) if in_place else world.restart(second)
                assert (world.live.windows is windows) is in_place
            for number, host in enumerate("abc"):
                world.send(second_, block(host, second_, (second_ % (300 + 100 * number)) * 0.6))
        told_by.append([(e.data.host, *shown) for e, shown in zip(world.events, told(world), strict=True)])
    assert told_by[0] == told_by[1]
    assert {"Hot", "Fast", "Both"} <= {name for _, name, *_ in told_by[0]}
