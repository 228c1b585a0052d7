"""The window engine against a slow reference, on random streams with NaN, infinities, resets, duplicates, disorder."""

import math
import random
import struct
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest

from fleetpulse.metric import STALE_NAN
from fleetpulse.windows.arrange import arrange
from fleetpulse.windows.engine import MINUTE_MS, Closed, Windows
from fleetpulse.windows.registry import Registry

LATENESS_MS = 30_000
Sample = tuple[int, int, float]


class Reference:
    """What the docstring of `engine` says, one sample at a time."""

    def __init__(self) -> None:
        self.last: dict[int, tuple[int, bytes]] = {}
        self.buckets: dict[tuple[int, int], list[float]] = defaultdict(list)
        self.dirty: set[tuple[int, int]] = set()
        self.closed_before = -(1 << 60)
        self.counted = self.duplicates = self.late = 0

    def batch(self, samples: list[Sample]) -> None:
        # Within a batch the engine puts the samples of a series in order of time.
        for series, ts, value in sorted(samples, key=lambda one: (one[0], one[1])):
            self._take(series, ts, value)

    def _take(self, series: int, ts: int, value: float) -> None:
        bits, minute = struct.pack("<d", value), ts // MINUTE_MS
        last = self.last.get(series)
        if last and ts == last[0] and bits == last[1]:
            self.duplicates += 1
            return
        if last and ts <= last[0]:
            self.late += 1
            self.dirty.add((series, minute))
            return
        self.counted += 1
        self.last[series] = ts, bits
        if minute < self.closed_before:
            self.dirty.add((series, minute))
        else:
            self.buckets[series, minute].append(value)

    def close(self, append_ms: int) -> dict[tuple[int, int], tuple[float, ...] | None]:
        """(series, minute) → the row's columns, or None when it must be recomputed."""
        self.closed_before = max(self.closed_before, (append_ms - LATENESS_MS) // MINUTE_MS)
        done: dict[tuple[int, int], tuple[float, ...] | None] = {}
        for key in [key for key in self.buckets if key[1] < self.closed_before]:
            done[key] = row_of(self.buckets.pop(key))
        for key in [key for key in self.dirty if key[1] < self.closed_before]:
            self.dirty.discard(key)
            done[key] = None
        return done


def row_of(values: list[float]) -> tuple[float, ...]:
    numbers = [value for value in values if not math.isnan(value)]
    nans = len(values) - len(numbers)
    if not numbers:
        return (0, nans, *[math.nan] * 6)
    increase = sum((b - a if b >= a else b) for a, b in pairwise(numbers))
    total = sum(numbers)
    return len(numbers), nans, total, min(numbers), max(numbers), numbers[0], numbers[-1], increase


def rows_of(closed: list[Closed]) -> dict[tuple[int, int], tuple[float, ...] | None]:
    found: dict[tuple[int, int], tuple[float, ...] | None] = {}
    for one in closed:
        assert not one.whole
        if one.rows is not None:
            rows = one.rows
            columns = (rows.count, rows.nans, rows.sum, rows.min, rows.max, rows.first, rows.last, rows.increase)
            for place, dense in enumerate(rows.dense):
                found[int(dense), one.minute] = tuple(float(column[place]) for column in columns)
        for dense in one.dirty:
            assert (int(dense), one.minute) not in found
            found[int(dense), one.minute] = None
    return found


def random_value(chance: random.Random) -> float:
    return chance.choices(
        [round(chance.uniform(0, 100), 3), float(chance.randrange(5)), math.nan, STALE_NAN, math.inf, -math.inf],
        [50, 20, 3, 3, 1, 1],
    )[0]


@pytest.mark.parametrize("seed", range(40))
def test_the_engine_agrees_with_the_reference(seed: int) -> None:
    chance = random.Random(seed)
    series, start = chance.choice([1, 3, 40]), 1_700_000_000_000 // MINUTE_MS * MINUTE_MS
    rank = np.array(chance.sample(range(series), series), dtype=np.int64)
    engine, reference = Windows(LATENESS_MS), Reference()
    clock = start
    sent: list[Sample] = []
    counted = duplicates = late = 0
    for _ in range(60):
        clock += chance.choice([200, 1_000, 10_000, 45_000])
        batch: list[Sample] = []
        times: set[tuple[int, int]] = set()
        for _ in range(chance.randrange(1, 30)):
            kind = chance.random()
            if kind < 0.1 and sent:  # came before, half the time as the newest of its series
                sample = chance.choice(sent)
                if kind < 0.05 and sample[0] in reference.last:
                    newest, bits = reference.last[sample[0]]
                    sample = (sample[0], newest, struct.unpack("<d", bits)[0])
            else:
                age = chance.choice([0, 0, 0, 5_000, 200_000]) if kind < 0.3 else 0
                sample = (chance.randrange(series), clock - age - chance.randrange(10_000), random_value(chance))
            if (sample[0], sample[1]) in times:
                continue  # which of two different values in one batch is first is not promised
            times.add((sample[0], sample[1]))
            batch.append(sample)
            sent.append(sample)
        dense, ts, value = (np.array(column) for column in zip(*batch, strict=True))
        applied = engine.apply(arrange(dense.astype(np.int32), ts.astype(np.int64), value, rank), series)
        reference.batch(batch)
        counted, duplicates, late = counted + applied.counted, duplicates + applied.duplicates, late + applied.late
        same_rows(rows_of(engine.close(clock)), reference.close(clock))
    same_rows(rows_of(engine.close(clock + 3_600_000)), reference.close(clock + 3_600_000))
    assert (counted, duplicates, late) == (reference.counted, reference.duplicates, reference.late)
    assert engine.open_minutes == []
    if series == 3:  # so that the comparison cannot pass by never meeting a case
        assert min(counted, duplicates, late) > 0


def same_rows(
    got: dict[tuple[int, int], tuple[float, ...] | None], wanted: dict[tuple[int, int], tuple[float, ...] | None]
) -> None:
    assert got.keys() == wanted.keys()
    for key, row in wanted.items():
        assert got[key] == row if row is None else got[key] == pytest.approx(row, nan_ok=True), key


def test_two_values_of_one_time_in_one_batch_make_the_bucket_dirty() -> None:
    engine = Windows(LATENESS_MS)
    batch = arrange(np.zeros(2, np.int32), np.array([5, 5]), np.array([1.0, 2.0]), np.zeros(1, np.int64))
    assert engine.apply(batch, 1).late == 1
    [closed] = engine.close(3_600_000)
    assert closed.dirty.tolist() == [0]
    assert closed.rows is not None
    assert len(closed.rows.dense) == 0


def test_a_repeated_sample_in_one_batch_is_counted_once() -> None:
    engine = Windows(LATENESS_MS)
    value = np.array([STALE_NAN, STALE_NAN, 7.0, 7.0])
    applied = engine.apply(arrange(np.zeros(4, np.int32), np.array([5, 5, 9, 9]), value, np.zeros(1, np.int64)), 1)
    assert (applied.counted, applied.duplicates, applied.late) == (2, 2, 0)


def test_inherited_minutes_are_recomputed_whole_when_touched() -> None:
    engine = Windows(LATENESS_MS, inherited={10, 11}, dirty={10})
    engine.start(11 * MINUTE_MS)
    one = np.zeros(1, np.int32)
    engine.apply(arrange(one, np.array([11 * MINUTE_MS + 5]), np.array([1.0]), np.zeros(1, np.int64)), 1)
    closed = engine.close(20 * MINUTE_MS)
    assert [(item.minute, item.whole, item.rows) for item in closed] == [(10, True, None), (11, True, None)]


def test_an_inherited_clean_minute_that_is_not_touched_stays_as_it_is() -> None:
    engine = Windows(LATENESS_MS, inherited={10}, dirty=set())
    assert engine.close(20 * MINUTE_MS) == []


def test_what_is_older_than_the_start_is_closed() -> None:
    engine = Windows(LATENESS_MS)
    engine.start(10 * MINUTE_MS)
    one = np.zeros(1, np.int32)
    engine.apply(arrange(one, np.array([8 * MINUTE_MS]), np.array([1.0]), np.zeros(1, np.int64)), 1)
    [closed] = engine.close(10 * MINUTE_MS)
    assert (closed.minute, closed.rows, closed.dirty.tolist()) == (8, None, [0])


def test_state_grows_with_the_series() -> None:
    engine = Windows(LATENESS_MS)
    for series in (10, 5000):
        dense = np.arange(series, dtype=np.int32)
        ts = np.full(series, series)
        engine.apply(arrange(dense, ts, np.ones(series), np.arange(series)), series)
    [closed] = engine.close(3_600_000)
    assert closed.rows is not None
    assert closed.rows.count.tolist() == [2] * 10 + [1] * 4990


def test_arrange_sorts_by_stored_id_then_time_also_when_times_are_far_apart() -> None:
    rank = np.array([1, 0])
    for far in (100, 1 << 50):
        batch = arrange(
            np.array([0, 1, 0, 1], np.int32), np.array([far, 2, 1, 1]), np.array([1.0, 2.0, 3.0, 4.0]), rank
        )
        assert batch.value.tolist() == [4.0, 2.0, 3.0, 1.0]


def test_the_registry_orders_dense_ids_by_stored_id() -> None:
    registry = Registry()
    for number in range(3000):
        registry.add(f"m{number}", (number * 7919) % 3001 + (1 << 63))
    assert registry.ids[np.argsort(registry.rank)].tolist() == sorted(registry.ids.tolist())
    assert registry.dense("m17") == 17
    assert registry.dense("x") is None
