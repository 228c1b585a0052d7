"""Windows of metrics that come together share their bounds; what they give depends on no other window."""

import random

import numpy as np
import pytest

from fleetpulse.promql import kernels
from fleetpulse.promql.kernels import View
from fleetpulse.promql.rings import Rings
from fleetpulse.promql.timeline import Timeline

RANGE_MS = 60


def extended(rings: Rings, row: int, times: list[int], rng: random.Random) -> None:
    ts = np.array(times, dtype=np.int64)
    values = np.array([[rng.random() for _ in range(rings.series)] for _ in times])
    rings.extend(np.full(len(ts), row), np.arange(len(ts)), ts, values)


@pytest.mark.parametrize("seed", range(20))
def test_rings_fit_only_when_they_hold_the_same_times(seed: int) -> None:
    """Of rings that got nearly the same, those that fit have the same bounds, and equal treatment makes them fit."""
    rng = random.Random(seed)
    same, other = Rings(2, 16, RANGE_MS), Rings(1, 16, RANGE_MS)
    alike, when = True, 0
    rows = np.array([same.add_row()])
    assert other.add_row() == 0
    for _ in range(30):
        times = [when + 10 * (i + 1) for i in range(rng.randint(1, 4))]
        extended(same, 0, times, rng)
        change = rng.random()
        if change < 0.03:
            times = [times[0] + 1, *times[1:]]
            alike = False
        extended(other, 0, times, rng)
        when = times[-1]
        if change > 0.98:
            same.amend(0, when - 5, slice(None), np.array([1.0, 2.0]))
            alike = False
        at_ms = np.array([when + rng.randint(-15, 15)])
        mine, theirs = (Timeline(rings, rows, at_ms, None) for rings in (same, other))
        assert mine.fits(other, rows) == alike
        if alike:
            assert (same.ts == other.ts).all()
            assert (mine.last == theirs.last).all()
            assert (mine.first(RANGE_MS) == theirs.first(RANGE_MS)).all()


def test_a_sample_added_to_a_known_time_changes_no_bound() -> None:
    """Only a new time does."""
    rng = random.Random(1)
    rings, other = Rings(2, 16, RANGE_MS), Rings(2, 16, RANGE_MS)
    rows = np.array([rings.add_row()])
    other.add_row()
    extended(rings, 0, [10, 20], rng)
    extended(other, 0, [10, 20], rng)
    rings.amend(0, 20, np.array([1]), np.array([5.0]))
    assert Timeline(rings, rows, np.array([20]), None).fits(other, rows)
    rings.free_row(0)
    assert rings.add_row() == 0
    assert not Timeline(rings, rows, np.array([20]), None).fits(other, rows)


@pytest.mark.parametrize("series", [1, 2])
def test_a_mean_is_the_same_to_the_bit_whatever_is_evaluated_with_it(series: int) -> None:
    """Windows of equal and of unequal length, one host or many, one tick or many."""
    rng = random.Random(2)
    rings = Rings(series, 64, 600)
    for row in range(4):
        rings.add_row()
        extended(rings, row, [10 * i for i in range(5 if row == 3 else 60)], rng)
    many = np.array([0, 0, 1, 2, 3])
    at_ms = np.array([580, 590, 590, 590, 590])
    together = kernels.over_range("avg_over_time", View(rings, many, at_ms), slice(None), 570)
    for count in (1, 2, 3, 4):
        for start in range(len(many) - count + 1):
            places = slice(start, start + count)
            alone = kernels.over_range("avg_over_time", View(rings, many[places], at_ms[places]), slice(None), 570)
            assert alone.value.tobytes() == together.value[places].tobytes()
