"""Full rings move to larger ones together as one by one."""

import numpy as np

from fleetpulse.metric import STALE_NAN
from fleetpulse.promql.rings import NEVER, Rings


def test_full_rings_are_adopted_as_they_are_restored() -> None:
    dice = np.random.default_rng(3)
    small, together, apart = Rings(2, 8, 60_000), Rings(2, 16, 60_000), Rings(2, 16, 60_000)
    rows = np.array([small.add_row() for _ in range(6)])
    for tick in range(11):
        values = dice.normal(50, 5, size=(6, 2))
        values[tick % 6, 1] = STALE_NAN
        small.append(rows, np.full(6, 1000 * tick) + rows, values)
    moved = np.array([1, 4, 5])
    new = np.array([together.add_row() for _ in moved])
    together.adopt(new, small, moved)
    for row, old in zip(new.tolist(), moved.tolist(), strict=True):
        assert apart.add_row() == row
        apart.restore(row, *small.history(old))
        for one, other in zip(together.history(row), apart.history(row), strict=True):
            assert np.array_equal(one, other, equal_nan=True)
    for name in ("end", "newest_ms", "gap_ms", "fall_ms"):
        assert (getattr(together, name)[new] == getattr(apart, name)[new]).all(), name
    assert (together.gap_ms[new] > NEVER).all()
    # What comes after the move lies beside what was before.
    together.append(new, np.full(3, 20_000), np.ones((3, 2)))
    assert [len(together.history(row)[0]) for row in new.tolist()] == [9, 9, 9]
