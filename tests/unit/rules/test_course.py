"""Many ticks of a host stepped at once leave what one step after another leaves."""

import numpy as np
import pytest

from fleetpulse.rules.course import step_all
from fleetpulse.rules.machine import AlertTable, IntArray, Policy, Tick, Transition

BOUNDS = (80.0, 95.0)
HOSTS, SLOTS = 6, 2
POLICY = Policy(("warning", "critical"), 20_000, 10_000, None, (True, False))
_STATE = ("phase", "since", "false_since", "severity", "start", "number", "stale", "held", "last_true", "last_eval")


def _tick(dice: np.random.Generator, begin: int, most: int, flapping: float) -> Tick:
    """Each host's ticks, at its own pace and with gaps; a series may have no result."""
    hosts: list[int] = []
    at_ms: list[int] = []
    rows: list[int] = []
    slots: list[int] = []
    values: list[float] = []
    for host in dice.permutation(HOSTS).tolist():
        now = begin + int(dice.integers(0, 3000))
        level = 75.0
        for _ in range(int(dice.integers(0, most + 1))):
            now += 10_000 if dice.random() > 0.03 else 400_000
            for slot in range(SLOTS):
                level = float(dice.uniform(60, 100)) if dice.random() < flapping else level
                if dice.random() > 0.05:
                    rows.append(len(hosts))
                    slots.append(SLOTS * host + slot)
                    values.append(level)
            hosts.append(host)
            at_ms.append(now)
    value = np.array(values)
    truth = np.array([value > bound for bound in BOUNDS]).reshape(2, -1)
    recovered = np.array([value < 70.0, value < 90.0]).reshape(2, -1)
    warm = np.ones(len(hosts), dtype=np.bool_)
    places = np.array(slots, dtype=np.intp), np.array(rows, dtype=np.intp)
    return Tick(np.array(hosts, dtype=np.intp), np.array(at_ms), warm, *places, value, truth, recovered)


def _without_results(tick: Tick) -> Tick:
    nobody: IntArray = np.array([], dtype=np.intp)
    nothing = np.zeros((len(BOUNDS), 0), dtype=np.bool_)
    return Tick(tick.hosts, tick.at_ms, tick.warm, nobody, nobody, np.array([]), nothing, nothing)


def _one(tick: Tick, row: int) -> Tick:
    own: IntArray = np.flatnonzero(tick.rows == row)
    first = np.zeros(len(own), dtype=np.intp)
    return Tick(
        tick.hosts[[row]],
        tick.at_ms[[row]],
        tick.warm[[row]],
        tick.slots[own],
        first,
        tick.values[own],
        tick.truth[:, own],
        tick.recovered[:, own],
    )


def _by_slot(transitions: list[Transition]) -> list[Transition]:
    return sorted(transitions, key=lambda each: (each.slot, each.at_ms))


@pytest.mark.parametrize("flapping", [0.02, 0.3])
@pytest.mark.parametrize("seed", range(8))
def test_many_ticks_at_once_equal_one_after_another(seed: int, flapping: float) -> None:
    dice = np.random.default_rng(seed)
    together, apart = AlertTable(POLICY), AlertTable(POLICY)
    for table in (together, apart):
        for slot in range(HOSTS * SLOTS):
            table.add(slot // SLOTS)
    begin, count = 0, 0
    for _ in range(12):
        silent = [(int(host), begin) for host in np.flatnonzero(dice.random(HOSTS) < 0.15)]
        assert together.fall_silent(silent) == apart.fall_silent(silent)
        tick = _tick(dice, begin, 15, flapping)
        if dice.random() < 0.2:
            tick = _without_results(tick)
        one_by_one = [event for row in range(len(tick.hosts)) for event in apart.step(_one(tick, row))]
        at_once = step_all(together, tick)
        assert [event.at_ms for event in at_once] == sorted(event.at_ms for event in at_once)
        assert repr(_by_slot(at_once)) == repr(_by_slot(one_by_one))
        for name in _STATE:
            assert (getattr(together, name) == getattr(apart, name)).all(), name
        assert np.array_equal(together.value, apart.value, equal_nan=True)
        assert together.changed == apart.changed
        assert together.late == apart.late
        count += len(at_once)
        # Sometimes back in time: such ticks are late.
        begin = max(0, int(tick.at_ms.max(initial=begin)) - (50_000 if dice.random() < 0.3 else 0))
    assert count > 5
