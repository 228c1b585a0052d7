"""Rules on one partition, from frames to events, state records and recorded blocks. The real evaluator, no server."""

from dataclasses import replace

import pytest

from fleetpulse.clock import from_rfc3339
from fleetpulse.events import episode_of, fingerprint_of
from fleetpulse.metric import with_common
from fleetpulse.rules.model import Rule, RuleKind, Severity, Threshold
from fleetpulse.rules.state import read_records
from fleetpulse.wire import Block, make_block
from tests.support.rules_world import HOST_SILENT, T0, Sent, World, alert, block, feed


def test_an_event_says_what_happened_in_alertmanagers_words() -> None:
    world = World((alert(),))
    feed(world, "a", [0, 10])
    assert world.events == []
    world.send(21, block("a", 20, 90.5))
    (event,) = world.events
    data = event.data
    assert event.id == f"{data.episode}/1"
    assert event.subject == data.host == "a"
    assert event.time == data.starts_at == "2027-01-15T08:00:20.000Z"
    assert data.status == "firing"
    assert data.labels == {
        "alertname": "Hot", "instance": "a", "job": "node", "severity": "warning", "team": "node-team",
    }  # fmt: skip
    assert data.fingerprint == fingerprint_of(data.labels)
    assert data.episode == episode_of("Hot", data.fingerprint, T0 + 20_000)
    assert data.annotations == {"summary": "a is at 90.5"}
    assert (data.value, data.threshold, data.reason, data.previous_severity) == ("90.5", "> 80", "threshold", None)
    assert (data.rule.name, data.rule.hash) == ("Hot", world.rules[0].hash)
    assert [(e.value, e.timestamp) for e in data.evidence] == [("90.5", "2027-01-15T08:00:20.000Z")]

    world.send(31, block("a", 30, 99))
    world.send(41, block("a", 40, 20))
    assert world.shown()[1:] == [
        ("firing", "severity_changed", "critical", 2),
        ("resolved", "recovered", "critical", 3),
    ]
    last = world.events[-1].data
    assert (last.previous_severity, last.episode, last.ends_at) == (
        "critical",
        data.episode,
        "2027-01-15T08:00:40.000Z",
    )
    assert {event.data.fingerprint for event in world.events} == {data.fingerprint}


def test_a_batch_without_a_change_writes_nothing() -> None:
    world = World((alert(),))
    outcome = world.send(0, block("a", 0))
    assert (outcome.events, outcome.records, outcome.recorded) == ([], [], [])
    assert outcome.evaluations == 1


def test_lower_offsets_are_skipped_and_a_gap_starts_the_windows_afresh() -> None:
    world = World((alert(),))
    first = world.send(0, block("a", 0, 90))
    assert len(first.events) == 1
    assert world.live.apply(world.topic).events == [], "already applied"
    for second in (10, 20):
        world.publish(second, block("a", second, 10))
    lost_one = world.live.apply([world.topic[2]])
    assert lost_one.events == [], "not warm: the alert holds"
    assert world.live.next_offset == 3
    world.publish(330, block("a", 330, 10))
    resolved = world.live.apply([world.topic[3]])
    assert [event.data.reason for event in resolved.events] == ["recovered"]
    assert resolved.events[0].data.transition == 2


@pytest.mark.parametrize("when", ["pending", "firing", "both"])
def test_a_killed_worker_resumes_the_same_episode(when: str) -> None:
    def story(world: World, kill: bool) -> None:
        for second in range(0, 200, 10):
            world.send(second + 0.3, block("a", second, 90 if 30 <= second < 150 else 50))
            pending, firing = second == 50, second == 120
            if kill and ((pending and when != "firing") or (firing and when != "pending")):
                world.restart()

    calm, killed = World((alert(for_ms=60_000),)), World((alert(for_ms=60_000),))
    story(calm, kill=False)
    story(killed, kill=True)
    assert killed.events == calm.events
    assert calm.shown() == [("firing", "threshold", "warning", 1), ("resolved", "recovered", "warning", 2)]


def test_redelivered_messages_after_a_kill_change_nothing() -> None:
    world = World((alert(),))
    feed(world, "a", [0], 90)
    world.restart()
    assert world.done(world.live.apply(world.topic)).events == []
    feed(world, "a", [10], 90)
    assert len(world.events) == 1


def test_a_late_sample_never_evaluates_not_even_after_a_restart() -> None:
    world = World((alert(),))
    feed(world, "a", [0, 10, 20])
    world.restart()
    world.send(30, block("a", 15, 99))
    assert world.events == []
    world.send(31, block("a", 30, 50))
    assert world.events == []


def test_a_clock_far_ahead_does_not_blind_a_restarted_worker() -> None:
    world = World((alert(),))
    feed(world, "a", [0, 10])
    world.send(11, block("a", 86_400, 99))
    world.restart()
    feed(world, "a", [20], 90)
    assert world.shown() == [("firing", "threshold", "warning", 1)]


def test_torn_messages_are_skipped_in_warm_up_too() -> None:
    world = World((alert(for_ms=20_000),))
    feed(world, "a", [0, 10], 90)
    world.done(world.live.apply([world.publish(11, replace_value(block("a", 11), b"\0" * 7))]))
    world.restart()
    feed(world, "a", [20], 90)
    assert world.shown() == [("firing", "threshold", "warning", 1)]


def test_state_is_a_tombstone_once_nothing_is_open() -> None:
    world = World((alert(),))
    feed(world, "a", [0], 90)
    assert len(read_records(world.states).alerts) == 1
    feed(world, "a", [10], 50)
    saved = read_records(world.states)
    assert saved.alerts == []
    assert saved.mark is not None
    assert saved.mark.next_offset == 2


def test_a_deleted_rule_resolves_with_what_was_saved() -> None:
    world = World((alert(), alert(name="Other")))
    feed(world, "a", [0], 90)
    world.events.clear()
    outcome = world.restart(rules=(alert(name="Other"),))
    assert world.shown() == [("resolved", "rule_deleted", "warning", 2)]
    assert world.events[0].data.annotations == {"summary": "a is at 90"}
    assert outcome.records
    assert [record.rule for record in read_records(world.states).alerts] == ["Other"]


@pytest.mark.parametrize("change", [{"expr": "temperature_celsius + 1"}, {"labels": {"team": "x"}}])
def test_a_changed_expression_or_label_resolves(change: dict[str, object]) -> None:
    world = World((alert(),))
    feed(world, "a", [0], 90)
    world.restart(rules=(alert(**change),))
    feed(world, "a", [10], 90)
    assert [(e.data.status, e.data.reason) for e in world.events] == [
        ("firing", "threshold"),
        ("resolved", "rule_changed"),
        ("firing", "threshold"),
    ]
    assert world.events[0].data.episode == world.events[1].data.episode != world.events[2].data.episode


@pytest.mark.parametrize("change", [{"warning": Threshold(">", 70.0)}, {"for_ms": 60_000}])
def test_a_changed_threshold_or_for_keeps_the_episode(change: dict[str, object]) -> None:
    world = World((alert(),))
    feed(world, "a", [0], 90)
    world.restart(rules=(alert(**change),))
    feed(world, "a", [10, 20], 90)
    assert len(world.events) == 1
    feed(world, "a", [30], 10)
    assert world.shown()[1:] == [("resolved", "recovered", "warning", 2)]


def test_a_silent_hosts_alert_stays_firing_and_stale_over_a_restart() -> None:
    world = World((alert(),))
    feed(world, "a", [0], 90)
    feed(world, "b", range(0, 400, 10))
    assert world.shown()[1:] == [("firing", "no_data", "warning", 2)]
    assert world.events[1].data.stale
    world.restart()
    feed(world, "b", range(400, 900, 10))
    assert len(world.events) == 2
    feed(world, "a", [900], 91)
    assert world.shown()[2:] == [("firing", "data_returned", "warning", 3)]
    assert not world.events[2].data.stale
    assert len({event.data.episode for event in world.events}) == 1


@pytest.mark.parametrize("restart_at", [None, 60, 130, 200])
def test_no_data_fires_and_resolves_when_the_host_returns(restart_at: int | None) -> None:
    world = World((HOST_SILENT,))
    feed(world, "a", [0, 10])
    for second in range(20, 300, 10):
        feed(world, "b", [second])
        if second == restart_at:
            world.restart()
    assert world.shown() == [("firing", "no_data", "critical", 1)]
    fired = world.events[0].data
    assert fired.labels == {"alertname": "HostSilent", "instance": "a", "job": "node", "severity": "critical"}
    assert fired.starts_at == "2027-01-15T08:02:10.000Z", "the last append and no_data, whatever the batches"
    assert fired.annotations["no_data"]
    feed(world, "a", [300])
    assert world.shown()[1:] == [("resolved", "data_returned", "critical", 2)]
    assert world.events[1].data.episode == fired.episode


def test_a_host_that_died_while_no_worker_ran_is_found_after_the_restart() -> None:
    world = World((HOST_SILENT,))
    feed(world, "a", [0])
    feed(world, "b", range(0, 60, 10))
    world.restart()
    feed(world, "b", range(60, 140, 10))
    assert world.shown() == [("firing", "no_data", "critical", 1)]


def test_while_the_pipeline_lags_nobody_is_silent() -> None:
    world = World((HOST_SILENT,))
    for second in range(0, 3600, 10):
        world.publish(second, block("a", second))
        world.publish(second + 5, block("b", second + 5))
    for start in range(0, len(world.topic), 50):
        assert world.live.apply(world.topic[start : start + 50]).events == []


def test_a_gap_of_the_whole_partition_restarts_the_timers() -> None:
    world = World((HOST_SILENT,))
    feed(world, "a", [0])
    feed(world, "b", [5, 1000, 1010])
    assert world.events == []
    feed(world, "b", range(1020, 1200, 10))
    assert [event.data.host for event in world.events] == ["a"]


def test_at_the_end_of_the_partition_waiting_makes_a_lone_host_silent() -> None:
    world = World((HOST_SILENT,))
    feed(world, "a", [0])
    for waited_ms in range(0, 120_000, 1000):
        assert world.live.wait(waited_ms).events == []
    outcome = world.done(world.live.wait(121_000))
    assert [(e.data.reason, e.data.starts_at) for e in outcome.events] == [("no_data", "2027-01-15T08:02:00.000Z")]
    assert world.live.wait(180_000).events == []
    world.send(200, block("a", 200))
    assert world.shown()[1:] == [("resolved", "data_returned", "critical", 2)]


def test_waiting_in_long_steps_is_not_a_gap() -> None:
    world = World((replace(HOST_SILENT, no_data_ms=3_000),))
    feed(world, "a", [0])
    assert [len(world.live.wait(waited_ms).events) for waited_ms in (1_600, 3_200, 4_800)] == [0, 1, 0]


def test_a_series_that_vanishes_from_a_living_host_is_gone_not_silent() -> None:
    world = World((alert(),))
    feed(world, "a", [0], 90)
    for second in range(10, 400, 10):
        world.send(second, block("a", second, value=None))
        if second < 300:
            assert len(world.events) == 1
    assert world.shown()[1:] == [("resolved", "series_gone", "warning", 2)]


@pytest.mark.parametrize("restart", [None, 450, 640, 900])
def test_a_host_that_comes_back_without_its_series_has_lost_it_once_it_lives(restart: int | None) -> None:
    world = World((alert(),))
    feed(world, "a", [0], 90)
    for second in range(10, 1000, 10):
        back = [block("a", second, value=None)] if second >= 620 else []
        world.send(second, block("b", second), *back)
        if second == restart:
            world.restart(seconds=370)
    gone = world.events[2]
    assert world.shown()[1:] == [("firing", "no_data", "warning", 2), ("resolved", "series_gone", "warning", 3)]
    assert from_rfc3339(gone.time) == T0 + 1000 * (620 + 300), (
        "when it has been heard of for as long as a silence lasts"
    )


def test_own_metrics_and_derived_samples_are_no_sign_of_life() -> None:
    world = World((alert(),))
    feed(world, "a", [0], 90)
    for second in range(10, 400, 10):
        world.send(second, block("a", second, value=None, job="fleetpulse"))
        world.send(second, block("a", second, value=None), headers=[("fp-derived", b"1")])
    assert world.shown()[1:] == [("firing", "no_data", "warning", 2)], "stale, not gone"


def test_batches_and_interleaving_do_not_change_the_events() -> None:
    rules = (
        alert(for_ms=20_000, keep_firing_for_ms=20_000, recovery={Severity.WARNING: Threshold("<", 70.0)}),
        HOST_SILENT,
    )

    def topic() -> World:
        world = World(rules)
        for second in range(0, 900, 10):
            for number, host in enumerate("abcd"):
                if host == "d" and 200 < second < 500:
                    continue
                value = (60, 90, 98, 75)[(second // 40 + number) % 4]
                world.publish(second + number, block(host, second, value))
        return world

    single, batched = topic(), topic()
    for message in single.topic:
        single.done(single.live.apply([message]))
    for start in range(0, len(batched.topic), 37):
        batched.done(batched.live.apply(batched.topic[start : start + 37]))
    assert len(single.events) > 30
    by_host = [
        {host: [e for e in world.events if e.data.host == host] for host in "abcd"} for world in (single, batched)
    ]
    assert by_host[0] == by_host[1]


def test_recorded_values_are_blocks_of_the_same_host_and_tick() -> None:
    record = Rule(
        name="host:temperature_kelvin",
        kind=RuleKind.RECORD,
        expr="temperature_celsius + 273",
        file="test.yaml",
        line=1,
        group="test",
        labels={"unit": "kelvin"},
    )
    world = World((record,))
    (made,) = world.send(0, block("a", 0, 27.0)).recorded
    assert made.host == "a"
    assert made.ts == T0
    assert made.value == make_block("", {}, b"", T0, [300.0]).value
    assert with_common(made.series.decode(), made.common) == (
        'host:temperature_kelvin{instance="a",job="node",unit="kelvin"}'
    )


def test_garbage_and_strangers_are_skipped_and_counted() -> None:
    world = World((alert(),))
    world.topic.append(Sent(0, T0, b"not a frame"))
    torn = replace_value(block("a", 0, 90), b"\0" * 7)
    world.publish(1, torn)
    world.publish(2, block("a", 2, 90))
    outcome = world.live.apply(world.topic)
    assert outcome.unreadable == 2
    assert len(outcome.events) == 1
    assert world.live.next_offset == 3


def replace_value(original: Block, value: bytes) -> Block:
    return Block(original.host, original.common, original.series, original.ts, value)


def test_firing_alerts_are_told_by_severity() -> None:
    world = World((alert(),))
    feed(world, "a", [0], 90)
    feed(world, "b", [0], 99)
    assert sorted(world.live.firing()) == ["critical", "warning"]
