"""Samples of refused series, by host and hour, for the accounts; looked at only when there are any."""

import numpy as np

from fleetpulse.windows.registry import Registry
from stream_processors.ingest.accounts import HOUR_MS
from stream_processors.ingest.intake import Chunk

TIMESTAMP = "timestamp"  # the reason for which the intake refuses samples, and counts them itself


def count_refused_series(registry: Registry, chunk: Chunk) -> None:
    """Enter them in the chunk's accounts; its blocks are bound and gathered."""
    if chunk.refused.total() == chunk.refused[TIMESTAMP]:
        return
    for taken in chunk.blocks:
        block, dense = taken.block, np.frombuffer(registry.block(taken.key) or b"", dtype=np.int32)
        if not (dense < 0).any():
            continue
        if block.index:
            dense = dense[np.frombuffer(block.index, dtype="<u4")]
        bad = dense < 0 if taken.keep is None else (dense < 0) & taken.keep
        if isinstance(block.ts, int):
            chunk.accounts.refuse(block.host, block.ts // HOUR_MS, int(bad.sum()))
        else:
            hours = np.frombuffer(block.ts, dtype="<i8")[bad] // HOUR_MS
            for hour, number in zip(*np.unique(hours, return_counts=True), strict=True):
                chunk.accounts.refuse(block.host, int(hour), int(number))
