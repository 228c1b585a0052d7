"""Ring buffers: marks, late samples, growth of rows and what a full ring forgets."""

import numpy as np

from fleetpulse.metric import STALE_NAN
from fleetpulse.promql.rings import NEVER, Rings, absent, is_gap


def ring(capacity: int = 4, series: int = 2, horizon_ms: int = 100) -> Rings:
    rings = Rings(series, capacity, horizon_ms)
    rings.add_row()
    return rings


def add(rings: Rings, ts: int, *values: float) -> None:
    rings.append(np.array([0]), np.array([ts]), np.array([values]))


def times(rings: Rings) -> list[int]:
    return [int(ts) for ts in rings.history(0)[0]]


def test_a_fall_and_a_gap_are_marked_with_their_time() -> None:
    rings = ring()
    add(rings, 10, 5, 5)
    add(rings, 20, 6, 4)
    add(rings, 30, STALE_NAN, 5)
    add(rings, 40, 7, 6)
    assert rings.fall_ms[0] == 20
    assert rings.gap_ms[0] == 30


def test_a_late_sample_takes_its_place_in_time() -> None:
    rings = ring()
    add(rings, 10, 1, 1)
    add(rings, 30, 3, 3)
    rings.amend(0, 20, np.array([1]), np.array([9.0]))
    ts, values = rings.history(0)
    assert ts.tolist() == [10, 20, 30]
    assert is_gap(values)[:, 0].tolist() == [False, True, False]
    assert values[:, 1].tolist() == [1, 9, 3]
    assert rings.gap_ms[0] == 20
    assert rings.fall_ms[0] == 30
    rings.amend(0, 20, np.array([0]), np.array([2.0]))
    assert rings.gap_ms[0] == NEVER


def test_a_filled_gap_uncovers_the_one_before() -> None:
    rings = ring()
    add(rings, 10, STALE_NAN, 1)
    rings.append(np.array([0]), np.array([20]), np.concatenate([[[1.0]], absent((1, 1))], axis=1))
    rings.amend(0, 20, np.array([1]), np.array([5.0]))
    assert rings.gap_ms[0] == 10


def test_of_two_values_for_one_time_the_larger_stays_and_nan_above_all() -> None:
    rings = ring(series=3)
    add(rings, 10, 1, 5, 2)
    rings.amend(0, 10, slice(None), np.array([3.0, 4.0, np.nan]))
    rings.amend(0, 10, slice(None), np.array([2.0, 4.0, 9.0]))
    values = rings.history(0)[1][0]
    assert values[:2].tolist() == [3, 5]
    assert np.isnan(values[2])


def test_a_full_ring_forgets_its_oldest_slot() -> None:
    rings = ring(capacity=4)
    for ts in (10, 15, 20, 40, 50):
        add(rings, ts, ts, ts)
    assert times(rings) == [15, 20, 40, 50]
    rings.amend(0, 30, slice(None), np.array([30.0, 30.0]))
    assert times(rings) == [20, 30, 40, 50]
    rings.amend(0, 5, slice(None), np.array([1.0, 1.0]))
    assert times(rings) == [20, 30, 40, 50]


def test_many_ticks_at_once_leave_what_one_by_one_does() -> None:
    random = np.random.default_rng(4)
    many, one = ring(capacity=8), ring(capacity=8)
    many.add_row(), one.add_row()
    for start in (100, 200, 300):
        counts = random.integers(1, 7, 2)
        rows = np.repeat([0, 1], counts)
        rank = np.concatenate([np.arange(count) for count in counts])
        values = random.choice([1.0, 2.0, 3.0, STALE_NAN], (len(rows), 2), p=[0.3, 0.3, 0.3, 0.1])
        many.extend(rows, rank, start + rank, values)
        for row, number, value in zip(rows, rank, values, strict=True):
            one.append(np.array([row]), np.array([start + number]), value[None])
        for mark in ("ts", "end", "newest_ms", "gap_ms", "fall_ms", "_gap_before_ms"):
            assert getattr(many, mark).tolist() == getattr(one, mark).tolist(), mark
        assert many.value.tobytes() == one.value.tobytes()


def test_room_is_what_is_not_needed_any_more() -> None:
    rings = ring(capacity=4, horizon_ms=100)
    for ts in (10, 20, 30):
        add(rings, ts, 1, 1)
    row, rank = np.zeros(2, dtype=np.intp), np.arange(2)
    assert rings.has_room(row, rank, np.array([40, 110]))
    assert not rings.has_room(row, rank, np.array([40, 109]))
    assert not rings.has_room(np.zeros(5, dtype=np.intp), np.arange(5), np.arange(1000, 2000, 200))


def test_a_sample_older_than_the_horizon_is_ignored() -> None:
    rings = ring()
    add(rings, 200, 1, 1)
    rings.amend(0, 100, slice(None), np.array([1.0, 1.0]))
    assert times(rings) == [200]


def test_full_says_that_a_needed_sample_would_go() -> None:
    rings = ring(capacity=2)
    add(rings, 10, 1, 1)
    add(rings, 20, 1, 1)
    assert rings.full(np.array([0]), np.array([30])).tolist() == [True]
    assert rings.full(np.array([0]), np.array([110])).tolist() == [False]


def test_window_bounds_move_both_ways() -> None:
    rings = ring(capacity=8)
    for ts in range(10, 90, 10):
        add(rings, ts, ts, ts)
    row = np.array([0])
    for at, first, last in ((80, 5, 7), (95, 6, 7), (40, 1, 3), (80, 5, 7), (200, 8, 7), (5, 0, -1)):
        when = np.array([at])
        ended = rings.last_slots(row, when)
        begun = rings.first_slots(row, when, 30, ended)
        assert ended.tolist() == [last], at
        assert begun.tolist() == [first], at


def test_rows_are_given_back_and_cleared() -> None:
    rings = ring()
    add(rings, 10, 5, STALE_NAN)
    rings.free_row(0)
    row = rings.add_row()
    assert row == 0
    assert times(rings) == []
    assert rings.gap_ms[0] == NEVER
    assert [rings.add_row() for _ in range(10)] == list(range(1, 11))
    assert rings.hosts == 11


def test_history_is_restored_with_its_marks() -> None:
    old = ring()
    for ts, a, b in ((10, 1.0, 5.0), (20, STALE_NAN, 6.0), (30, 2.0, 3.0)):
        add(old, ts, a, b)
    new = ring(capacity=8)
    new.restore(0, *old.history(0))
    assert times(new) == [10, 20, 30]
    assert (new.gap_ms[0], new.fall_ms[0], new.newest_ms[0]) == (20, 30, 30)


def test_a_late_gap_below_the_newest_one_is_uncovered_too() -> None:
    rings = ring()
    add(rings, 10, STALE_NAN, 1)
    add(rings, 30, 3, 3)
    rings.append(np.array([0]), np.array([40]), np.concatenate([[[4.0]], absent((1, 1))], axis=1))
    rings.amend(0, 20, np.array([0]), np.array([2.0]))
    rings.amend(0, 40, np.array([1]), np.array([4.0]))
    assert rings.gap_ms[0] == 20


def test_room_for_more_hosts_keeps_what_there_is_and_is_made_once() -> None:
    rings = Rings(2, 4, 60_000)
    rows = np.array([rings.add_row() for _ in range(3)], dtype=np.intp)
    for tick in range(1, 6):
        rings.append(rows, np.full(3, 1000 * tick), np.array([[tick, 0.0], [tick, 1.0], [tick, 2.0]]))
    before = [rings.history(row) for row in rows]
    rings.free_row(rings.add_row())
    rings.reserve(100)
    cells = rings.value
    assert [rings.add_row() for _ in range(97)] == list(range(3, 100))
    assert rings.value is cells
    for row, (ts, values) in zip(rows, before, strict=True):
        assert np.array_equal(rings.history(row)[0], ts)
        assert np.array_equal(rings.history(row)[1], values)
        assert rings.end[row] == 5
