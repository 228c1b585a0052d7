"""Whatever order, batches, copies and crashes: the events are those of the run that had none of them."""

import random
from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fleetpulse.events import AlertEvent
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.flapping import Flapping
from fleetpulse.rules.model import Severity, Threshold
from fleetpulse.wire import Block, make_block
from tests.support.rules_world import HOST_SILENT, T0, World, alert, block

HOSTS = "abcd"
TICK = 30
RULES = (
    alert(
        for_ms=60_000,
        keep_firing_for_ms=30_000,
        no_data_ms=180_000,
        recovery={Severity.WARNING: Threshold("<", 75.0)},
    ),
    alert(name="Both", expr="temperature_celsius * on (instance) up > 85", warning=None, critical=None),
    alert(name="Mean", expr="avg_over_time(temperature_celsius[2m]) > 85", warning=None, critical=None),
    HOST_SILENT,
)
CONDUCT = Conduct(flapping=Flapping(window_ms=600_000))
BOUNDED = settings(
    max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@dataclass(frozen=True)
class Sample:
    """A host's tick that came `lag` seconds after its time; None: the host lives, the series is not there."""

    tick: int
    host: str
    value: float | None
    lag: int = 0

    @property
    def at(self) -> int:
        return self.tick * TICK + self.lag


VALUES = st.sampled_from([50.0, 78.0, 90.0, 99.0, None])
STRETCHES = st.lists(st.tuples(st.integers(1, 8), VALUES, st.booleans()), min_size=1, max_size=6)


@st.composite
def stories(draw: st.DrawFn, present: bool = False) -> list[Sample]:
    """Of each host stretches of equal values, in some of which it is away; a steady host keeps time going.

    `present`: no host is away, and its series is always there.
    """
    found = [Sample(tick, "steady", 50.0) for tick in range(45)]
    for host in HOSTS:
        tick = 0
        for length, value, away in draw(STRETCHES):
            if present and (away or value is None):
                continue
            found += [] if away else [Sample(tick + n, host, value) for n in range(length)]
            tick += length
    return sorted(found, key=lambda sample: (sample.at, sample.host))


def world_of(samples: list[Sample], split: Collection[int] = ()) -> World:
    """A topic with a message for each sample, of the ticks in `split` with one more; nothing is applied yet."""
    world = World(RULES, conduct=CONDUCT)
    for at, moment in groupby(samples, lambda sample: sample.at):
        rest: list[Block] = []
        for sample in moment:
            second = sample.tick * TICK
            whole = block(sample.host, second, sample.value)
            if sample.tick in split and sample.value is not None:
                series = whole.series.split(b"\n")[1]
                rest.append(make_block(sample.host, whole.common, series, T0 + 1000 * second, [sample.value]))
                whole = block(sample.host, second, None)
            world.publish(at, whole)
        for part in rest:
            world.publish(at, part)
    return world


def told(world: World) -> dict[str, list[AlertEvent]]:
    """The events of each alert, in their order."""
    found: dict[str, list[AlertEvent]] = {}
    for event in world.events:
        found.setdefault(f"{event.data.rule.name} {event.data.fingerprint}", []).append(event)
    return found


def ordered(samples: list[Sample], split: Collection[int] = ()) -> dict[str, list[AlertEvent]]:
    """Each message as a batch of its own."""
    world = world_of(samples, split)
    for message in world.topic:
        world.done(world.live.apply([message]))
    return told(world)


def _four_hosts_and_three_come_back() -> list[Sample]:
    ticks = {"a": [0], "b": [0, 1, 2, 3, 7], "c": [0, 1, 2, 7], "d": [0, 1, 2, 7], "steady": range(20)}
    found = [Sample(tick, host, 50.0) for host, some in ticks.items() for tick in some]
    return sorted(found, key=lambda sample: (sample.at, sample.host))


@BOUNDED
@given(stories(), st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 3))
@example(_four_hosts_and_three_come_back(), [3], 1)  # the share of silent hosts is that of the moment
def test_boundaries_of_batches_change_nothing(samples: list[Sample], sizes: list[int], every: int) -> None:
    split = range(0, 45, every)
    world, place, turn = world_of(samples, split), 0, 0
    while place < len(world.topic):
        size = sizes[turn % len(sizes)]
        world.done(world.live.apply(world.topic[place : place + size]))
        place, turn = place + size, turn + 1
    assert told(world) == ordered(samples, split)


@BOUNDED
@given(stories(), st.randoms(use_true_random=False))
def test_copies_of_samples_change_nothing(samples: list[Sample], dice: random.Random) -> None:
    copied = [copy for sample in samples for copy in [sample] * (1 + dice.choice([0, 0, 0, 1, 2]))]
    assert ordered(copied) == ordered(samples)


@BOUNDED
@given(stories(), st.randoms(use_true_random=False))
def test_the_order_of_hosts_within_a_moment_changes_nothing(samples: list[Sample], dice: random.Random) -> None:
    mixed = list(samples)
    dice.shuffle(mixed)
    mixed.sort(key=lambda sample: sample.at)
    assert ordered(mixed) == ordered(samples)


def _one_loses_its_series_and_leaves() -> list[Sample]:
    found = [Sample(tick, "steady", 50.0) for tick in range(30)]
    found += [Sample(0, host, value) for host, value in (("a", 50.0), ("b", 50.0), ("c", None))]
    found += [Sample(tick, "d", 90.0) for tick in range(3)] + [Sample(tick, "d", None) for tick in range(7, 10)]
    return sorted(found, key=lambda sample: (sample.at, sample.host))


@BOUNDED
@given(stories(), st.lists(st.integers(0, 400), min_size=1, max_size=4), st.integers(1, 12))
@example(_one_loses_its_series_and_leaves(), [25], 1)  # nobody is told again that it is silent
def test_a_new_owner_at_any_point_goes_on_alike(samples: list[Sample], kills: list[int], size: int) -> None:
    world, place = world_of(samples), 0
    while place < len(world.topic):
        world.done(world.live.apply(world.topic[place : place + size]))
        place += size
        if any(place - size <= kill < place for kill in kills):
            world.restart(seconds=3600)
            world.done(world.live.apply(world.topic[max(0, place - 20) : place]))  # delivered again
    assert told(world) == ordered(samples)


@BOUNDED
@given(stories(present=True), st.lists(st.tuples(st.integers(0, 300), st.integers(1, 6), VALUES), max_size=8))
def test_a_late_sample_changes_no_event(samples: list[Sample], late: list[tuple[int, int, float | None]]) -> None:
    # Of hosts that sent a newer tick before it came, and send after it: it neither fires nor resolves, and no silence
    # begins or ends with it. A mean over a window may see it at later ticks, so only the other rules are compared.
    own = [sample for sample in samples if sample.host in HOSTS]
    late = late if own else []
    more = [
        Sample(one.tick, one.host, value, back * TICK + 1) for n, back, value in late for one in [own[n % len(own)]]
    ]
    at = {host: [one.at for one in own if one.host == host] for host in HOSTS}
    more = [one for one in more if max(at[one.host], default=0) > one.at]
    with_late = ordered(sorted([*samples, *more], key=lambda sample: (sample.at, sample.host)))
    without = ordered(samples)
    assert {key: events for key, events in with_late.items() if "Mean" not in key} == {
        key: events for key, events in without.items() if "Mean" not in key
    }
