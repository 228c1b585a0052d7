"""Idle series are evicted and may return: every bucket is either right or recomputed, and memory follows the active."""

import math
import random
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest

from fleetpulse.metric import STALE_NAN
from fleetpulse.settings import IngestSettings
from fleetpulse.storage.columns import flat
from fleetpulse.windows.engine import MINUTE_MS
from fleetpulse.windows.grid import Grid, runs_of
from fleetpulse.windows.registry import GONE, Registry
from stream_processors.ingest.intake import Chunk, Reader
from stream_processors.ingest.partition import Gathered, Partition

START = 1_700_000_000_000 // MINUTE_MS * MINUTE_MS
LATENESS_MS = 30_000
IDLE_MS = 300_000
READER = Reader(IngestSettings(), 1)
Key = tuple[int, int]  # stored id, minute


class World:
    """A partition, and all samples that it was ever given, as the raw table keeps them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.partition = Partition(0, LATENESS_MS)
        self.now = START
        self.table: dict[Key, dict[int, float]] = defaultdict(dict)
        self.rows: dict[Key, tuple[float, ...]] = {}
        self.recomputed: set[Key] = set()
        self.evicted = self.returned = self.doubted = 0
        self.gone: set[str] = set()

    def dense(self, number: int) -> int:
        key = f"m{number}"
        known = self.partition.registry.dense(key)
        if known is None:
            self.returned += key in self.gone
            known = self.partition.registry.add(key, number * 7919 % 1009 + 1, f"host-{number % 5}", self.now)
        return known

    def send(self, samples: list[tuple[int, int, float]], grid: bool) -> None:
        """(number, ts, value) of series, as a grid of one row where that is possible."""
        dense = np.array([self.dense(number) for number, _, _ in samples], dtype=np.int32)
        ts, value = np.array([one[1] for one in samples]), np.array([one[2] for one in samples])
        gathered = Gathered(dense, ts, value)
        if grid and len(set(dense.tolist())) == len(dense) and len(set((ts // MINUTE_MS).tolist())) == 1:
            one = Grid(dense, ts[None, :], value[None, :], runs_of([int(ts[0]) // MINUTE_MS]))
            gathered = Gathered(dense[:0], ts[:0], value[:0], [one])
        chunk = Chunk(READER, 0, 0, 1, False, self.now, self.now)
        parts, applied = self.partition.apply(gathered, chunk)
        rows = flat(parts)
        unsure = set(applied.doubtful.tolist()) | set(applied.repeated.tolist())
        self.doubted += len(unsure)
        for place, (stored, at, number) in enumerate(zip(*(column.tolist() for column in rows), strict=True)):
            bucket = self.table[stored, at // MINUTE_MS]
            assert place in unsure or at not in bucket, "a sample that the table has is called new"
            known = bucket.get(at, -math.inf)
            bucket[at] = number if math.isnan(number) or number > known else known

    def close(self) -> None:
        for rows in self.partition.close(self.now, 0.0)[0]:
            columns = (rows.count, rows.nans, rows.sum, rows.min, rows.max, rows.first, rows.last, rows.increase)
            for place, (stored, second) in enumerate(zip(rows.id.tolist(), rows.minute.tolist(), strict=True)):
                self.rows[stored, second // 60] = tuple(float(column[place]) for column in columns)
                self.recomputed.discard((stored, second // 60))
        if self.chance.random() < 0.5:
            self.repair()

    def repair(self) -> None:
        for work in self.partition.take_work():
            assert work.ids is not None
            self.recomputed.update((stored, minute) for stored in work.ids for minute in work.minutes)

    def evict(self) -> None:
        before = set(self.partition.registry._dense)
        self.evicted += self.partition.evict(IDLE_MS)
        self.gone |= before - set(self.partition.registry._dense)


def row_of(samples: dict[int, float]) -> tuple[float, ...]:
    values = [samples[ts] for ts in sorted(samples)]
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return (0, len(values), *[math.nan] * 6)
    rise = sum(b - a if b >= a else b for a, b in pairwise(numbers))
    total = sum(numbers)
    return (
        len(numbers), len(values) - len(numbers), total, min(numbers), max(numbers), numbers[0], numbers[-1], rise
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_every_bucket_is_right_or_recomputed(seed: int) -> None:
    chance = random.Random(seed)
    world, sent = World(chance), list[tuple[int, int, float]]()
    active = list(range(6))
    for _ in range(150):
        world.now += chance.choice([5_000, 20_000, 60_000])
        if chance.random() < 0.1:
            active = chance.sample(range(30), 6)
        batch = []
        for _ in range(chance.randrange(1, 12)):
            ts = world.now - chance.randrange(9) * 1_000 - chance.choice([0] * 9 + [90_000, 1_000_000])
            batch.append((chance.choice(active), ts, chance.choice([1.0, 5.5, STALE_NAN, chance.random()])))
        if sent and chance.random() < 0.3:
            batch += chance.sample(sent, min(len(sent), 3))
        sent += batch
        world.send(batch, grid=False)
        world.send([(number, world.now, chance.random()) for number in active], grid=True)
        sent += [(number, world.now, world.table[0, 0].get(0, 1.0)) for number in active[:1]]
        world.close()
        world.evict()
    world.now += 10 * MINUTE_MS
    world.close()
    world.repair()
    del world.table[0, 0]
    for key, samples in world.table.items():
        assert key in world.rows or key in world.recomputed
        if key not in world.recomputed:
            assert world.rows[key] == pytest.approx(row_of(samples), nan_ok=True), key
    assert min(world.evicted, world.returned, world.doubted, len(world.rows), len(world.recomputed)) > 5


def test_what_is_left_keeps_its_host_and_id() -> None:
    registry = Registry()
    for number in range(3000):
        registry.add(f"m{number}", number + 10, f"host-{number // 100}", 5 if number % 3 else 1)
    gone = registry.idle(5)
    moves = registry.evict(gone)
    assert (moves.series, len(registry), int((moves.to == GONE).sum())) == (2000, 2000, 1000)
    for number in range(3000):
        dense = registry.dense(f"m{number}")
        assert (dense is None) == (number % 3 == 0)
        if dense is not None:
            assert moves.to[number] == dense
            assert registry.ids[dense] == number + 10
            assert registry.hosts[registry.host_places[dense]] == f"host-{number // 100}"
    assert sorted(moves.to[moves.to != GONE].tolist()) == list(range(2000))
    assert registry.series_of("host-7") == sum(number % 3 != 0 for number in range(700, 800))


def test_hosts_without_series_are_forgotten() -> None:
    registry = Registry()
    for number in range(100):
        registry.add(f"m{number}", number, f"host-{number}", number)
    registry.evict(registry.idle(60))
    assert sorted(registry.hosts) == sorted(f"host-{number}" for number in range(60, 100))
    assert [registry.hosts[place] for place in registry.host_places] == [
        f"host-{int(stored)}" for stored in registry.ids
    ]


def test_a_block_with_an_evicted_series_is_read_again() -> None:
    registry = Registry()
    dense = [registry.add(f"m{number}", number, "h", number) for number in range(4)]
    registry.bind(("h", 1, frozenset()), [dense[0], dense[3]])
    registry.bind(("h", 2, frozenset()), [dense[3], -2, dense[2]])
    moves = registry.evict(registry.idle(2))
    assert registry.block(("h", 1, frozenset())) is None
    packed = registry.block(("h", 2, frozenset()))
    assert packed is not None
    assert np.frombuffer(packed, dtype=np.int32).tolist() == [moves.to[3], -2, moves.to[2]]


def test_memory_is_flat_while_series_are_replaced() -> None:
    """One series in a hundred is replaced every 36 s for ten hours, and evicted after five minutes."""
    partition, alive, next_number = Partition(0, LATENESS_MS), list(range(500)), 500
    now, most = START, 0
    for tick in range(1000):
        now += 36_000
        for place in range(tick % 100, 500, 100):
            alive[place], next_number = next_number, next_number + 1
        registry = partition.registry
        known = [(f"m{number}", number) for number in alive]
        dense = [registry.dense(key) for key, _ in known]
        ids = np.array(
            [
                registry.add(*one, f"h{one[1] % 50}", now) if at is None else at
                for one, at in zip(known, dense, strict=True)
            ],
            dtype=np.int32,
        )
        grid = Grid(ids, np.full((1, 500), now), np.ones((1, 500)), runs_of([now // MINUTE_MS]))
        none = np.empty(0)
        gathered = Gathered(none.astype(np.int32), none.astype(np.int64), none, [grid])
        partition.apply(gathered, Chunk(READER, 0, tick, tick + 1, False, now, now))
        partition.close(now, 0.0)
        partition.evict(IDLE_MS)
        most = max(most, len(registry))
    assert next_number == 5500
    assert most < 600
    assert len(partition.registry.hosts) <= 50
    assert len(partition._windows._last_ts) == 1024
    assert len(partition.registry._ids) == 1024
