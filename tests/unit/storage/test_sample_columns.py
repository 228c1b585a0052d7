"""A batch of columns and matrices comes out as a stable sort of all its samples by id."""

import random
from dataclasses import fields

import numpy as np
import pytest

from fleetpulse.storage.columns import Part, SampleColumns, SampleMatrix, flat
from fleetpulse.storage.writer import DAY_MS, RollupColumns, days_of, join_rollups


def random_part(chance: random.Random, ids: list[int], begin_ms: int) -> Part:
    """A matrix, or columns whose series stand side by side, each rising in time."""
    some = chance.sample(ids, chance.randrange(1, len(ids)))
    if chance.random() < 0.5:
        times = chance.randrange(1, 6)
        ts = begin_ms + np.arange(times)[:, None] * 1000 + np.arange(len(some))[None, :]
        return SampleMatrix(np.array(some, dtype=np.uint64), ts, np.array(ts, dtype=float) + chance.random())
    counts = [chance.randrange(0, 4) for _ in some]
    ts = np.array([begin_ms + step * 700 for count in counts for step in range(count)], dtype=np.int64)
    return SampleColumns(
        np.repeat(np.array(some, dtype=np.uint64), counts), ts, ts.astype(np.float64) + chance.random()
    )


@pytest.mark.parametrize("seed", range(20))
def test_parts_come_out_sorted_by_id_and_day(seed: int) -> None:
    chance = random.Random(seed)
    ids = [chance.getrandbits(64) for _ in range(9)]
    begin_ms = 1_700_000_000_000 // DAY_MS * DAY_MS - 20_000
    parts = [random_part(chance, ids, begin_ms + number * 8000) for number in range(chance.randrange(1, 7))]
    whole = flat(parts)
    order = np.argsort(whole.id, kind="stable")
    days = days_of(*parts)
    assert sum(len(day.id) for day in days) == len(whole.id)
    for day in days:
        [number] = np.unique(day.ts // DAY_MS)
        expected = whole.pick(order[whole.ts[order] // DAY_MS == number])
        assert [column.tolist() for column in day] == [column.tolist() for column in expected]


def test_nothing_has_no_day() -> None:
    assert days_of() == []
    none = np.empty(0, dtype=np.int64)
    assert days_of(SampleColumns(none.astype(np.uint64), none, none.astype(float))) == []
    assert days_of(SampleMatrix(none.astype(np.uint64), np.empty((3, 0), dtype=np.int64), np.empty((3, 0)))) == []


@pytest.mark.parametrize("seed", range(20))
def test_rollups_of_many_partitions_come_out_sorted_by_id_and_minute(seed: int) -> None:
    chance, parts = random.Random(seed), list[RollupColumns]()
    for _ in range(chance.randrange(1, 4)):  # partitions
        ids = np.array([chance.getrandbits(64) for _ in range(chance.randrange(1, 9))], dtype=np.uint64)
        for minute in range(chance.randrange(1, 7)):
            if chance.random() < 0.3:
                ids = np.array(chance.sample(ids.tolist(), chance.randrange(1, len(ids) + 1)), dtype=np.uint64)
            count = np.array([chance.randrange(9) for _ in ids], dtype=np.uint32)
            numbers = [np.array([chance.random() for _ in ids]) for _ in range(6)]
            parts.append(
                RollupColumns(ids, np.full(len(ids), minute * 60, dtype=np.uint32), count, count + 1, *numbers)
            )
    names = [item.name for item in fields(RollupColumns)]
    plain = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    order = np.lexsort((plain["minute"], plain["id"]))
    joined = join_rollups(parts)
    for name in names:
        assert getattr(joined, name).tolist() == plain[name][order].tolist()
        assert getattr(joined, name).dtype == plain[name].dtype
