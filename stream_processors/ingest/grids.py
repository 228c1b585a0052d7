"""Which blocks of a chunk stack up to grids: those of hosts that sent one and the same block a number of times.

Hosts that sent it equally often, in the same minutes, share a grid. All other blocks are gathered sample by sample, and
so are all blocks of a host that sent two different ones, for a series may be in both.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from fleetpulse.windows.engine import MINUTE_MS
from fleetpulse.windows.grid import Grid, runs_of
from fleetpulse.windows.registry import Registry
from stream_processors.ingest.intake import TakenBlock

LEAST_SAMPLES = 1024  # of a grid: below, taking them one by one costs less

Stack = list[TakenBlock]  # one host's blocks, in the order of arrival


def stack(registry: Registry, blocks: Sequence[TakenBlock]) -> tuple[list[Grid], Sequence[TakenBlock], Counter[int]]:
    """The grids, the blocks that are in none, and how many samples of each refusal (negative dense id) were left out.

    All blocks are bound.
    """
    shapes: dict[tuple[int, ...], list[Stack]] = {}
    for one in _stacks(blocks):
        minutes = tuple([taken.block.ts // MINUTE_MS for taken in one])  # type: ignore[operator]
        shapes.setdefault(minutes, []).append(one)
    grids: list[Grid] = []
    hosts: set[str] = set()
    refused: Counter[int] = Counter()
    for minutes, stacks in shapes.items():
        samples = len(minutes) * sum(len(one[0].block.value) >> 3 for one in stacks)
        grid = _grid(registry, minutes, stacks, refused) if samples >= LEAST_SAMPLES else None
        if grid is not None:
            grids.append(grid)
            hosts.update(one[0].block.host for one in stacks)
    return grids, [taken for taken in blocks if taken.block.host not in hosts] if hosts else blocks, refused


def _stacks(blocks: Sequence[TakenBlock]) -> list[Stack]:
    by_host: dict[str, Stack] = {}
    mixed: set[str] = set()
    for taken in blocks:
        host = taken.block.host
        one = by_host.setdefault(host, [])
        if host not in mixed and not _follows(taken, one[-1] if one else None):
            mixed.add(host)
        one.append(taken)
    return [one for host, one in by_host.items() if host not in mixed]


def _follows(taken: TakenBlock, before: TakenBlock | None) -> bool:
    ts = taken.block.ts
    if type(ts) is not int or taken.block.index:
        return False
    return before is None or (before.key == taken.key and before.block.ts < ts)  # type: ignore[operator]


def _grid(registry: Registry, minutes: Sequence[int], stacks: Sequence[Stack], refused: Counter[int]) -> Grid | None:
    """The grid of these stacks; None when a series is twice in one of the blocks."""
    dense = np.frombuffer(b"".join([registry.block(one[0].key) or b"" for one in stacks]), dtype=np.int32)
    times = len(minutes)
    columns = b"".join([one[row].block.value for row in range(times) for one in stacks])
    value = np.frombuffer(columns, dtype="<f8").reshape(times, len(dense))
    stamps = np.array([[one[row].block.ts for one in stacks] for row in range(times)], dtype=np.int64)
    ts = np.repeat(stamps, [len(one[0].block.value) >> 3 for one in stacks], axis=1)
    bad = dense < 0
    if len(dense) and int(np.bincount(dense[~bad], minlength=1).max()) > 1:
        return None
    if bad.any():
        for number, count in zip(*np.unique(dense[bad], return_counts=True), strict=True):
            refused[int(number)] += int(count) * times
        good = np.flatnonzero(~bad)
        dense, ts, value = dense[good], ts[:, good], value[:, good]
    return Grid(dense, ts, value, runs_of(minutes))
