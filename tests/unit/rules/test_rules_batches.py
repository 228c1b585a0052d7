"""However messages are batched, the same alerts fire and the same values are recorded."""

import random
from collections.abc import Iterator

import pytest

from fleetpulse.events import AlertEvent
from fleetpulse.frames import columns_of
from fleetpulse.metric import STALE_NAN, with_common
from fleetpulse.rules.model import Rule, RuleKind, Severity, Threshold
from fleetpulse.wire import Block, join_keys, make_block
from tests.support.rules_world import HOST_SILENT, T0, World, alert, block

HOSTS = 5


def record(name: str, expr: str) -> Rule:
    return Rule(name=name, kind=RuleKind.RECORD, expr=expr, file="test.yaml", line=1, group="test")


RULES = (
    alert(for_ms=20_000, recovery={Severity.WARNING: Threshold("<", 70.0)}),
    alert(name="Gone", expr="temperature_celsius > 60", no_data_ms=45_000, warning=None, critical=None),
    record("host:mean", "avg_over_time(temperature_celsius[1m])"),
    record("host:highest", "max_over_time(temperature_celsius[2m])"),
    record("host:rate", "sum without (n, disk) (rate(work_total[1m]))"),
    record("host:both", "temperature_celsius + on (instance) rate(work_total{n='1'}[30s])"),
)


def story(seed: int) -> Iterator[tuple[float, list[Block]]]:
    """(append second, blocks of a message): ticks of 10 s with what goes wrong and what is replaced on the way."""
    dice = random.Random(seed)
    back: list[Block] = []
    other: list[Block] = []
    replaced = [0] * HOSTS
    for tick in range(36):
        blocks: list[Block] = []
        for number in range(HOSTS):
            replaced[number] += dice.random() < 0.1
            at = 10 * tick + number / 10
            silent = number == 3 and 12 <= tick < 20
            if silent or dice.random() < 0.02:
                continue
            hot = 75 + 25 * ((tick // 7 + number) % 2) + dice.random()
            samples = {"temperature_celsius": STALE_NAN if dice.random() < 0.03 else hot}
            for n in range(1, 3 + (number == 2 and tick > 16)):
                labels = f'n="{n}"' + (f',disk="{replaced[number]}"' if n == 2 else "")
                samples[f"work_total{{{labels}}}"] = float((tick * n) % 40)
            common = {"instance": f"h{number}", "job": "node"}
            stamp = T0 + int(1000 * at)
            one = make_block(f"h{number}", common, join_keys(samples), stamp, samples.values())
            if dice.random() < 0.1:  # a tick in two messages
                first, *rest = samples.items()
                one = make_block(f"h{number}", common, join_keys(dict([first])), stamp, [first[1]])
                other.append(make_block(f"h{number}", common, join_keys(dict(rest)), stamp, dict(rest).values()))
            (back if dice.random() < 0.03 else blocks).append(one)
            if dice.random() < 0.03:
                blocks.append(one)
        if dice.random() < 0.2:
            blocks, back = blocks + back, []
        yield 10 * tick + 1, blocks
        if other:
            yield 10 * tick + 1, other
            other = []


def run(seed: int, most: int, begin: int = 0) -> tuple[World, dict[tuple[str, int], float]]:
    """The story in batches of up to `most` messages; the events, and the recorded values by series and time.

    `begin`: the first message that there is; from another than 0 on, windows are not warm at first.
    """
    dice = random.Random(most)
    world = World(RULES)
    for second, blocks in story(seed):
        world.publish(second, *blocks)
    values: dict[tuple[str, int], float] = {}
    place = begin
    while place < len(world.topic):
        size = dice.randint(1, most)
        outcome = world.done(world.live.apply(world.topic[place : place + size]))
        place += size
        for sent in outcome.recorded:
            columns = columns_of(sent)
            keys = [with_common(key, sent.common) for key in sent.series.decode().split("\n")]
            index = range(len(keys)) if columns.index is None else columns.index.tolist()
            for series, ts, value in zip(index, columns.ts.tolist(), columns.value.tolist(), strict=True):
                assert (keys[series], ts) not in values
                values[keys[series], ts] = value
    return world, values


def by_alert(world: World) -> dict[str, list[AlertEvent]]:
    found: dict[str, list[AlertEvent]] = {}
    for event in world.events:
        found.setdefault(f"{event.data.rule.name} {event.data.fingerprint}", []).append(event)
    return found


# 34: a silent host returns in the middle of a batch. From 5 on: rules turn warm in the middle of one.
@pytest.mark.parametrize(("seed", "begin"), [(1, 0), (2, 0), (34, 0), (3, 5)])
def test_batches_change_no_event_and_no_value(seed: int, begin: int) -> None:
    one, values = run(seed, 1, begin)
    assert len(one.events) > (3 if begin else 15)
    assert len(values) > (200 if begin else 400)
    many, others = run(seed, 20, begin)
    assert by_alert(many) == by_alert(one)
    assert others.keys() == values.keys()
    assert all(abs(others[key] - value) <= 1e-9 for key, value in values.items())
    assert many.live.append_ms == one.live.append_ms


@pytest.mark.parametrize("apart", [True, False])
def test_of_a_tick_in_two_messages_a_rule_sees_the_second_part_alone_or_at_the_next_tick(apart: bool) -> None:
    reads_both = alert(name="Both", expr="up + on (instance) temperature_celsius > 60", warning=None, critical=None)
    reads_one = alert(name="One", expr="temperature_celsius > 60", warning=None, critical=None)
    world = World((reads_both, reads_one))
    world.send(1, block("h", 0, 50.0))
    second = make_block("h", {"job": "node"}, b'temperature_celsius{instance="h"}', T0 + 10_000, [90.0])
    parts = [block("h", 10, None), second]
    messages = [world.publish(11, part) for part in parts] + [world.publish(21, block("h", 20, 95.0))]
    for each in [[one] for one in messages] if apart else [messages]:
        world.done(world.live.apply(each))
    assert {(event.data.rule.name, event.data.starts_at[-13:], event.data.value) for event in world.events} == {
        ("One", "08:00:10.000Z", "90"),
        ("Both", "08:00:20.000Z", "96"),
    }


@pytest.mark.parametrize("most", [1, 100])
def test_a_host_that_falls_silent_and_returns_within_the_first_batch_did_so(most: int) -> None:
    world = World((HOST_SILENT,))
    for second in range(0, 300, 10):
        hosts = ["a", "b"] if second in (10, 200, 210) else ["b"]
        world.publish(second, *(block(host, second) for host in hosts))
    for place in range(1, len(world.topic), most):  # not from 0, where all is warm at once and the first batch short
        world.done(world.live.apply(world.topic[place : place + most]))
    assert [(event.data.host, event.data.reason, event.time) for event in world.events] == [
        ("a", "no_data", "2027-01-15T08:02:10.000Z"),
        ("a", "data_returned", "2027-01-15T08:03:20.000Z"),
    ]


@pytest.mark.parametrize("apart", [True, False])
def test_an_alert_ends_in_ticks_that_give_no_result_at_all(apart: bool) -> None:
    world = World((alert(expr="temperature_celsius > 60", warning=None, critical=None),))
    world.send(1, block("h", 0, 90.0))
    messages = [world.publish(11, block("h", 10, 50.0)), world.publish(21, block("h", 20, 50.0), block("h", 30, 50.0))]
    for part in [[one] for one in messages] if apart else [messages]:
        world.done(world.live.apply(part))
    assert [(event.data.status, event.data.starts_at[-13:]) for event in world.events] == [
        ("firing", "08:00:00.000Z"),
        ("resolved", "08:00:00.000Z"),
    ]
