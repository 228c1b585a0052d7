"""Blocks that stack up to grids give the same samples, rollups and refusals as blocks taken sample by sample."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from fleetpulse.metric import STALE_NAN
from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.storage.columns import flat
from fleetpulse.storage.writer import days_of
from fleetpulse.windows.engine import MINUTE_MS
from fleetpulse.wire import Block, Frame, encode_frame, join_keys, make_block
from stream_processors.inbox import Message
from stream_processors.ingest import grids
from stream_processors.ingest.gather import gather
from stream_processors.ingest.intake import Chunk, Intake
from stream_processors.ingest.partition import Partition
from tests.support.binding import bind_blocks

START = 1_700_000_000_000 // MINUTE_MS * MINUTE_MS
LATENESS_MS = 30_000
HOSTS = [name for name in map("host-{}".format, range(40)) if partition_of(name, 4) == 0]


def chunk_of(intake: Intake, offset: int, append_ms: int, blocks: Sequence[Block]) -> Chunk:
    intake.take(Message("t", 0, offset, append_ms, None, encode_frame(Frame(1, append_ms, list(blocks))), ()))
    [chunk] = intake.cut()
    assert not chunk.letters
    return chunk


def random_blocks(chance: random.Random, tick_ms: int, ticks: int) -> list[Block]:
    """Blocks of all hosts over some ticks: most steady, some with NaN, repeats, late times, other or refused series."""
    blocks = []
    for tick in range(ticks):
        for host in HOSTS:
            keys = [f"m{number}" for number in range(3 + HOSTS.index(host) % 4)]
            ts = tick_ms + tick * 10_000 + HOSTS.index(host) * 7
            kind = chance.random()
            if kind < 0.02:
                keys = [*keys[:-1], "other"]
            elif kind < 0.04:
                keys = [*keys, "1bad"]
            elif kind < 0.06:
                ts -= 40_000  # the same time again, or late
            elif kind < 0.08:
                keys = [*keys, keys[0]]  # a series twice in one block
            values = [chance.choice([float(chance.randrange(9)), chance.random(), 5.0]) for _ in keys]
            if chance.random() < 0.05:
                values[0] = STALE_NAN
            index = [*range(len(keys))][::-1] if kind > 0.98 else ()
            blocks.append(make_block(host, {"instance": host}, join_keys(keys), ts, values, index))
    return blocks


def run(seed: int, least: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[object], int]:
    """All that comes out of a random stream, with grids of at least so many samples; and how many grids there were."""
    monkeypatch.setattr(grids, "LEAST_SAMPLES", least)
    chance, intake, partition = random.Random(seed), Intake(IngestSettings(), 4, SelfMetrics()), Partition(0, 30_000)
    out: list[object] = []
    used, tick_ms = 0, START
    for offset in range(12):
        ticks = chance.choice([1, 2, 7])
        chunk = chunk_of(intake, offset, tick_ms + ticks * 10_000, random_blocks(chance, tick_ms, ticks))
        tick_ms += ticks * 10_000
        bind_blocks(partition.registry, chunk, lambda series: {})
        gathered = gather(partition.registry, chunk)
        used += len(gathered.grids)
        parts, applied = partition.apply(gathered, chunk)
        samples = flat(parts)
        out.append((applied.counted, applied.duplicates, applied.late, applied.minutes, sorted(chunk.refused.items())))
        for places in (applied.repeated, applied.doubtful):
            assert (np.diff(places) > 0).all()
            out.append(sorted(zip(samples.id[places].tolist(), samples.ts[places].tolist(), strict=True)))
        [day] = days_of(*parts)
        assert (np.diff(day.id.astype(np.float64)) >= 0).all()
        rows = zip(day.id.tolist(), day.ts.tolist(), day.value.view(np.uint64).tolist(), strict=True)
        out.append(sorted(rows))
        closed, clean = partition.close(chunk.append_ms, 0.0)
        out.append(clean)
        for one in closed:
            columns = [getattr(one, name).tolist() for name in ("id", "minute", "count", "nans", "min", "max", "first")]
            floats = [getattr(one, name).round(9).tolist() for name in ("sum", "increase", "last")]
            out.append(repr(sorted(zip(*columns, *floats, strict=True))))
    return out, used


@pytest.mark.parametrize("seed", range(12))
def test_grids_change_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, none = run(seed, 1 << 40, monkeypatch)
    stacked, some = run(seed, 1, monkeypatch)
    assert none == 0
    assert some > 5
    assert stacked == alone


def test_steady_hosts_share_a_grid_in_the_order_of_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grids, "LEAST_SAMPLES", 1)
    intake, partition = Intake(IngestSettings(), 4, SelfMetrics()), Partition(0, LATENESS_MS)
    blocks = [
        make_block(host, {"instance": host}, join_keys(["a", "b"]), START + tick * 20_000, [tick, tick + 0.5])
        for tick in range(5)
        for host in HOSTS
    ]
    chunk = chunk_of(intake, 0, START, blocks)
    bind_blocks(partition.registry, chunk, lambda series: {})
    gathered = gather(partition.registry, chunk)
    [grid] = gathered.grids
    assert len(gathered.dense) == 0
    assert grid.value.shape == (5, 2 * len(HOSTS))
    assert [tuple(run) for run in grid.runs] == [(START // MINUTE_MS, 0, 3), (START // MINUTE_MS + 1, 3, 5)]
    parts, applied = partition.apply(gathered, chunk)
    [samples] = days_of(*parts)
    assert (applied.counted, applied.late) == (len(samples.id), 0)
    assert samples.ts[:5].tolist() == [START + tick * 20_000 for tick in range(5)]
    assert len(set(samples.id[:5].tolist())) == 1
    assert (samples.id[1:] >= samples.id[:-1]).all()
