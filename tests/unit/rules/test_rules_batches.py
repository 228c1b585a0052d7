"""However messages are batched, the same alerts fire and the same values are recorded."""

import random
from collections.abc import Iterator

import pytest

from fleetpulse.events import AlertEvent
from fleetpulse.frames import columns_of
from fleetpulse.metric import STALE_NAN, with_common
from fleetpulse.rules.model import Rule, RuleKind, Severity, Threshold
from fleetpulse.wire import Block, join_keys, make_block
from tests.support.rules_world import T0, World, alert

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
            (back if dice.random() < 0.03 else blocks).append(one)
            if dice.random() < 0.03:
                blocks.append(one)
        if dice.random() < 0.2:
            blocks, back = blocks + back, []
        yield 10 * tick + 1, blocks


def run(seed: int, most: int) -> tuple[World, dict[tuple[str, int], float]]:
    """The story in batches of up to `most` messages; the events, and the recorded values by series and time."""
    dice = random.Random(most)
    world = World(RULES)
    for second, blocks in story(seed):
        world.publish(second, *blocks)
    values: dict[tuple[str, int], float] = {}
    place = 0
    while place < len(world.topic):
        size = dice.randint(1, most)
        outcome = world.done(world.live.apply(world.topic[place : place + size]))
        place += size
        for block in outcome.recorded:
            columns = columns_of(block)
            keys = [with_common(key, block.common) for key in block.series.decode().split("\n")]
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


@pytest.mark.parametrize("seed", range(1, 5))
def test_batches_change_no_event_and_no_value(seed: int) -> None:
    one, values = run(seed, 1)
    assert len(one.events) > 15
    assert len(values) > 400
    many, others = run(seed, 20)
    assert by_alert(many) == by_alert(one)
    assert others.keys() == values.keys()
    assert all(abs(others[key] - value) <= 1e-9 for key, value in values.items())
    assert many.live.append_ms == one.live.append_ms
