"""What must not look like a recovery or an end: clocks that step, cold recordings, restarts, hosts that are away."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import pytest

from fleetpulse.metric import with_common
from fleetpulse.rules.model import RuleKind, Threshold
from fleetpulse.rules.partition import PartitionRules
from fleetpulse.wire import Block, Frame, encode_frame, join_keys, make_block
from tests.support.rules_world import HOST_SILENT, T0, World, alert, block, feed

RECORD_15M = alert(
    name="host:temperature:avg15m",
    kind=RuleKind.RECORD,
    expr="avg_over_time(temperature_celsius[15m])",
    labels={},
    annotations={},
    warning=None,
    critical=None,
)


def record(world: World, seconds: Sequence[int], value: float = 90.0) -> None:
    """Host a sends, and what is recorded comes back through the topic."""
    for second in seconds:
        outcome = world.send(second, block("a", second, value))
        if outcome.recorded:
            world.send(second + 0.1, *outcome.recorded, headers=[("fp-derived", b"1")])


@pytest.mark.parametrize("no_data_ms", [None, 120_000])
@pytest.mark.parametrize("expr", ["host:temperature:avg15m", "temperature_celsius + 0 * host:temperature:avg15m"])
def test_alerts_hold_while_the_recording_that_they_read_is_cold(expr: str, no_data_ms: int | None) -> None:
    world = World((RECORD_15M, alert(name="Hot15", expr=expr, no_data_ms=no_data_ms)))
    record(world, range(0, 1500, 10))
    assert world.shown() == [("firing", "threshold", "warning", 1)]
    world.restart(seconds=310)
    record(world, range(1500, 2600, 10))
    assert len(world.events) == 1, "one episode, no page"
    record(world, range(2600, 4200, 10), 50)
    assert world.shown()[1:] == [("resolved", "recovered", "warning", 2)]


def test_alerts_hold_at_second_hand_too() -> None:
    second_hand = replace(RECORD_15M, name="host:temperature:kelvin", expr="host:temperature:avg15m + 273")
    hot = alert(expr="host:temperature:kelvin", warning=Threshold(">", 353.0), critical=None, no_data_ms=120_000)
    world = World((RECORD_15M, second_hand, hot))

    def come_back(seconds: Sequence[int]) -> None:
        for second in seconds:
            outcome = world.send(second, block("a", second, 90))
            while outcome.recorded:
                outcome = world.send(second + 0.1, *outcome.recorded, headers=[("fp-derived", b"1")])

    come_back(range(0, 1500, 10))
    world.restart(seconds=310)
    come_back(range(1500, 3000, 10))
    assert world.shown() == [("firing", "threshold", "warning", 1)]


def test_a_recording_of_a_backlog_is_not_gone_before_it_comes_back() -> None:
    world = World((replace(RECORD_15M, expr="temperature_celsius"), alert(name="Hot15", expr=RECORD_15M.name)))
    record(world, range(0, 100, 10))
    world.restart()
    late = [world.send(second, block("a", second, 90)).recorded for second in range(100, 1300, 10)]
    world.send(1300, *(made for blocks in late for made in blocks), headers=[("fp-derived", b"1")])
    assert world.shown() == [("firing", "threshold", "warning", 1)]


def test_a_recorded_series_that_is_recorded_no_more_is_gone() -> None:
    world = World((replace(RECORD_15M, expr="temperature_celsius"), alert(name="Hot15", expr=RECORD_15M.name)))
    record(world, range(0, 100, 10))
    for second in range(100, 800, 10):
        world.send(second, block("a", second, value=None))
    assert world.shown()[1:] == [("resolved", "series_gone", "warning", 2)]


@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_steps_back_resolves_nothing(restart: bool) -> None:
    world = World((alert(),))
    feed(world, "a", range(0, 100, 10), 90)
    for second in range(100, 900, 10):
        world.send(second, block("a", second - 3600, 99))
        if restart and second in (150, 600):
            world.restart()
    assert world.shown() == [("firing", "threshold", "warning", 1)], "held"
    feed(world, "a", [900], 50)
    assert world.shown()[1:] == [("resolved", "recovered", "warning", 2)]


def test_late_samples_end_the_silence_of_a_host() -> None:
    world = World((HOST_SILENT,))
    feed(world, "a", [0, 10])
    feed(world, "b", range(20, 200, 10))
    assert world.shown() == [("firing", "no_data", "critical", 1)]
    for second in range(200, 600, 10):
        world.send(second, block("a", second - 3600), block("b", second))
    assert world.shown()[1:] == [("resolved", "data_returned", "critical", 2)]


def test_a_host_whose_times_are_refused_is_silent_not_recovered() -> None:
    world = World((alert(),))
    feed(world, "a", [0, 10], 90)
    for second in range(20, 400, 10):
        world.send(second, block("a", second + 3600, 50), block("b", second))
    assert world.shown()[1:] == [("firing", "no_data", "warning", 2)]


def many(hosts: Sequence[str], second: float, value: float = 50.0) -> list[Block]:
    keys = join_keys([f'temperature_celsius{{sensor="{number}"}}' for number in range(20)])
    return [make_block(host, {"instance": host}, keys, T0 + int(1000 * second), [value] * 20) for host in hosts]


def test_the_windows_of_hosts_that_are_away_end() -> None:
    recorded = replace(RECORD_15M, expr="temperature_celsius + 1")
    world = World((alert(), recorded, alert(name="Max", expr="max_over_time(temperature_celsius[30m])")))
    used = []
    tracemalloc.start()
    try:
        for generation in range(12):
            start = 3600 * generation
            hosts = [f"pod-{generation}-{number}" for number in range(100)]
            for second in range(start, start + 100, 10):
                made = world.live.apply([world.publish(second, *many(hosts, second))]).recorded
                assert len(made) == 100
                assert all(f'instance="{made[i].host}"' in with_common("x", made[i].common) for i in (0, 50, 99))
            feed(world, "steady", [start + 100])
            world.topic[:] = [replace(message, value=b"") for message in world.topic]
            used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    engine = world.live._live
    assert len(engine._hosts) <= 201
    assert len(engine._keys._labels) <= 2 * 100 * 20 + 20
    bytes_a_host = (used[-1] - used[2]) / (9 * 100)
    assert bytes_a_host < 2000, used


def test_an_evicted_host_comes_back_to_its_alert() -> None:
    world = World((alert(), HOST_SILENT))
    world.send(0, *many(["a"], 0, 90), *many(["b"], 0))
    feed(world, "steady", range(0, 7200, 10))
    assert len(world.live._live._hosts) == 1
    fired = [event for event in world.events if event.data.rule.name == "Hot"]
    assert [event.data.reason for event in fired] == ["threshold"] * 20 + ["no_data"] * 20
    world.events.clear()
    world.send(7200, *many(["c"], 7200, 90))
    world.send(7201, *many(["a"], 7200, 91))
    world.send(7202, *many(["b"], 7200, 50))
    shown = {(e.data.host, e.data.reason, e.data.transition) for e in world.events if e.data.rule.name == "Hot"}
    assert shown == {("c", "threshold", 1), ("a", "data_returned", 3)}
    back = [event for event in world.events if event.data.host == "a" and event.data.rule.name == "Hot"]
    assert {event.data.episode for event in back} == {event.data.episode for event in fired}


@pytest.mark.parametrize("open_before", [False, True])
def test_a_block_from_the_future_does_not_blind_the_other_rules_after_a_restart(open_before: bool) -> None:
    world = World((alert(),))
    feed(world, "a", range(0, 100, 10), 90 if open_before else 50)
    ahead = make_block("a", {"job": "other", "instance": "a"}, b"zzz", T0 + 640_000, [1.0])
    world.send(100, ahead)
    world.restart()
    feed(world, "a", [110], 99)
    assert world.shown()[-1] == (
        ("firing", "severity_changed", "critical", 2) if open_before else ("firing", "threshold", "critical", 1)
    )


def test_a_restored_alert_whose_series_is_gone_costs_the_others_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    labels_of = PartitionRules._labels_of

    def spied(self: PartitionRules, key: int) -> dict[str, str]:
        looks.append(key)
        return labels_of(self, key)

    monkeypatch.setattr(PartitionRules, "_labels_of", spied)
    world = World((alert(),))

    def many(second: float, hot: frozenset[int] = frozenset()) -> None:
        keys = [f'temperature_celsius{{sensor="{number}"}}' for number in range(300)]
        values = [90.0 if number in hot else 50.0 for number in range(300)]
        world.send(second, make_block("a", {"instance": "a"}, join_keys(keys), T0 + int(1000 * second), values))

    many(0, frozenset({7}))
    world.send(5, block("gone", 5, 90))
    world.send(6, make_block("a", {"instance": "a"}, b'temperature_celsius{sensor="gone"}', T0 + 6000, [90.0]))
    world.topic[-1] = replace(world.topic[-1], value=encode_frame(Frame(1, T0, [])))  # no window brings it back
    world.restart()
    many(10, frozenset({7}))
    first = len(looks)
    for second in range(20, 220, 10):
        many(second, frozenset({7}))
    assert (first, len(looks)) == (304, 304), "three before the restart, each once after it, and that of the other host"
    many(230, frozenset({8}))
    assert world.shown()[4:] == [("resolved", "recovered", "warning", 2), ("firing", "threshold", "warning", 1)]
    world.send(231, block("gone", 231, 50))
    assert world.shown()[6:] == [("resolved", "recovered", "warning", 2)]


def test_what_no_sample_causes_tells_the_last_value_also_after_a_restart() -> None:
    def told(restart: bool) -> list[tuple[str, str]]:
        world = World((alert(expr="max_over_time(temperature_celsius[1m])"),))
        for second in range(0, 800, 10):
            value = min(90 + second / 100, 92) if second <= 300 else None
            world.send(second, block("a", second, value), *([block("b", second, 85)] if second <= 300 else []))
            if restart and second == 310:
                world.restart(seconds=370)
        return [(event.data.reason, event.data.value) for event in world.events]

    assert told(restart=True) == told(restart=False)


def test_a_value_of_windows_that_are_not_whole_is_not_told() -> None:
    world = World((alert(expr="avg_over_time(temperature_celsius[10m]) > 80", warning=None, critical=None),))
    feed(world, "a", range(0, 1000, 10), 90)
    feed(world, "a", [1000], 1000)
    feed(world, "b", range(1010, 1300, 10))
    world.restart(seconds=610)  # of the window at the last tick of the silent host, five minutes are missing
    feed(world, "b", range(1300, 1400, 10))
    assert [(event.data.reason, event.data.value) for event in world.events] == [("threshold", "90"), ("no_data", "90")]
