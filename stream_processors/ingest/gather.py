"""From a chunk's bound blocks to matrices and three columns."""

from collections.abc import Sequence

import numpy as np

from fleetpulse.windows.registry import Float64Array, Int32Array, Int64Array, Registry
from stream_processors.ingest.grids import stack
from stream_processors.ingest.intake import Chunk, TakenBlock
from stream_processors.ingest.naming import REASONS
from stream_processors.ingest.partition import Gathered


def gather(registry: Registry, chunk: Chunk) -> Gathered:
    """The samples of a chunk whose blocks are bound; counts the refused ones in the chunk and leaves them out."""
    grids, blocks, refused = stack(registry, chunk.blocks)
    dense, ts, value = _columns(registry, blocks)
    bad = dense < 0
    if bad.any():
        for number, samples in zip(*np.unique(dense[bad], return_counts=True), strict=True):
            refused[int(number)] += int(samples)
        dense, ts, value = dense[~bad], ts[~bad], value[~bad]
    for place, count in refused.items():
        chunk.refused[REASONS[-1 - place]] += count
    return Gathered(dense, ts, value, grids)


def _columns(registry: Registry, blocks: Sequence[TakenBlock]) -> tuple[Int32Array, Int64Array, Float64Array]:
    ids, values = [], []
    times: list[int | Int64Array] = []
    counts: list[int] = []
    for block, key, _, keep in blocks:
        packed = registry.block(key) or b""
        value, ts = block.value, block.ts
        if block.index:
            packed = np.frombuffer(packed, dtype=np.int32)[np.frombuffer(block.index, dtype="<u4")].tobytes()
        if keep is not None and not isinstance(ts, int):
            packed = np.frombuffer(packed, dtype=np.int32)[keep].tobytes()
            value = np.frombuffer(value, dtype="<f8")[keep].tobytes()
            times.append(np.frombuffer(ts, dtype="<i8")[keep])
        else:
            times.append(ts if isinstance(ts, int) else np.frombuffer(ts, dtype="<i8"))
        ids.append(packed)
        values.append(value)
        counts.append(len(value) >> 3)
    dense = np.frombuffer(b"".join(ids), dtype=np.int32)
    return dense, _times(times, counts), np.frombuffer(b"".join(values), dtype="<f8")


def _times(times: list[int | Int64Array], counts: list[int]) -> Int64Array:
    if all(isinstance(ts, int) for ts in times):
        return np.repeat(np.array(times, dtype=np.int64), counts)
    parts = [
        np.full(count, ts, dtype=np.int64) if isinstance(ts, int) else ts
        for ts, count in zip(times, counts, strict=True)
    ]
    return np.concatenate(parts)
