"""Rules on one partition, from frames to events, state records and recorded blocks. The real evaluator, no server."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from fleetpulse.events import AlertEvent, decode_event, encode_event, episode_of, fingerprint_of
from fleetpulse.metric import with_common
from fleetpulse.rules.model import Rule, RuleKind, Severity, Threshold, rule_set
from fleetpulse.rules.partition import Outcome, PartitionRules
from fleetpulse.rules.state import read_records
from fleetpulse.wire import Block, Frame, encode_frame, join_keys, make_block

T0 = 1_800_000_000_000
TEMPERATURE = 'temperature_celsius{instance="%s"}'


@dataclass(frozen=True)
class Sent:
    """A message of the metrics topic."""

    offset: int
    append_ms: int
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


def block(host: str, second: float, value: float | None = 50.0, job: str = "node") -> Block:
    keys = [f'up{{instance="{host}"}}']
    values = [1.0]
    if value is not None:
        keys.append(TEMPERATURE % host)
        values.append(value)
    return make_block(host, {"job": job}, join_keys(keys), T0 + int(1000 * second), values)


def alert(**changes: object) -> Rule:
    rule = Rule(
        name="Hot",
        kind=RuleKind.ALERT,
        expr="temperature_celsius",
        file="test.yaml",
        line=1,
        group="test",
        labels={"team": "{{ $labels.job }}-team"},
        annotations={"summary": "{{ $labels.instance }} is at {{ $value }}"},
        warning=Threshold(">", 80.0),
        critical=Threshold(">", 95.0),
    )
    return replace(rule, **changes)  # type: ignore[arg-type]


@dataclass
class World:
    """One partition, its topic and its state topic."""

    rules: tuple[Rule, ...]
    offset: int = 0
    topic: list[Sent] = field(default_factory=list)
    states: list[tuple[bytes | None, bytes | None]] = field(default_factory=list)
    events: list[AlertEvent] = field(default_factory=list)
    live: PartitionRules = field(init=False)

    def __post_init__(self) -> None:
        self.live = self.fresh()

    def fresh(self) -> PartitionRules:
        return PartitionRules(rule_set(self.rules), 0, 1)

    def publish(self, append_second: float, *blocks: Block, headers: Sequence[tuple[str, bytes]] = ()) -> Sent:
        append_ms = T0 + int(1000 * append_second)
        message = Sent(len(self.topic), append_ms, encode_frame(Frame(1, append_ms, list(blocks))), headers)
        self.topic.append(message)
        return message

    def done(self, outcome: Outcome) -> Outcome:
        """What the worker does with an outcome: one transaction."""
        self.events += [decode_event(encode_event(event)) for event in outcome.events]
        self.states += outcome.records
        return outcome

    def send(self, append_second: float, *blocks: Block, headers: Sequence[tuple[str, bytes]] = ()) -> Outcome:
        return self.done(self.live.apply([self.publish(append_second, *blocks, headers=headers)]))

    def restart(self, rules: tuple[Rule, ...] | None = None, seconds: int = 300) -> Outcome:
        """SIGKILL, and a new owner: state from the records, windows by re-reading, nothing else."""
        self.rules = self.rules if rules is None else rules
        applied, append_ms = self.live.next_offset or 0, self.live.append_ms
        from_ms = append_ms - 1000 * seconds
        self.live = self.fresh()
        again = [message for message in self.topic[:applied] if message.append_ms >= from_ms]
        self.live.start(0 if again and again[0].offset == 0 else from_ms)
        self.live.fill(again)
        return self.done(self.live.restore(read_records(self.states), applied, append_ms, from_ms))

    def shown(self) -> list[tuple[str, str, str, int]]:
        return [
            (e.data.status, e.data.reason, e.data.labels.get("severity", ""), e.data.transition) for e in self.events
        ]


def feed(world: World, host: str, seconds: Sequence[int], value: float = 50.0) -> None:
    for second in seconds:
        world.send(second, block(host, second, value))


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
    monkeypatch.setattr(PartitionRules, "_labels_of", lambda self, key: (looks.append(key), labels_of(self, key))[1])
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
    assert (first, len(looks)) == (303, 303), "three before the restart, each once after it"
    many(230, frozenset({8}))
    assert world.shown()[4:] == [("resolved", "recovered", "warning", 2), ("firing", "threshold", "warning", 1)]
    world.send(231, block("gone", 231, 50))
    assert world.shown()[6:] == [("resolved", "recovered", "warning", 2)]


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


HOST_SILENT = alert(name="HostSilent", expr="up == 0", labels={"severity": "critical"}, warning=None, critical=None)
HOST_SILENT = replace(HOST_SILENT, no_data_ms=120_000)


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
