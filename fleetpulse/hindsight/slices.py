"""Stored samples of many series, slice of time after slice, read ahead by a thread in pieces of several slices.

ClickHouse unpacks at least a granule (8,192 rows) of a series to hand out any of it, five days of one-minute rows:
what is read in many short pieces is unpacked as many times.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from fleetpulse.promql.rings import IntArray
from fleetpulse.storage.history import History, StoredSamples
from fleetpulse.storage.tiers import Tier

READ_AT_ONCE = 3_000_000  # samples, about; as int64 and float64 they take 72 MB, twice while they are received
MOST_SLICES = 100  # of a piece


class Slices:
    """Slices [start, end) of `step_ms`; each has its samples by series, as they are numbered, then time."""

    def __init__(self, history: History, ids: Sequence[int], tier: Tier, times: tuple[int, int, int]) -> None:
        """`times`: from, until, and the length of a slice, in ms."""
        self._history, self._ids, self._tier = history, ids, tier
        self._next_ms, self._end_ms, self._step_ms = times
        self._number = 1  # of slices in the next piece; how many samples a slice has is not known yet

    def read(self, reader: ThreadPoolExecutor) -> Iterator[tuple[int, int, StoredSamples]]:
        """Start, end and samples of each; the next piece is read meanwhile. Raises UnavailableError."""
        coming: Future[list[tuple[int, int, StoredSamples]]] | None = reader.submit(self._piece)
        try:
            while coming is not None:
                piece = deque(coming.result())
                coming = reader.submit(self._piece) if self._next_ms < self._end_ms else None
                while piece:
                    yield piece.popleft()
        finally:
            if coming is not None:
                coming.cancel()

    def _piece(self) -> list[tuple[int, int, StoredSamples]]:
        begin, step = self._next_ms, self._step_ms
        end = self._next_ms = min(begin + self._number * step, self._end_ms)
        stored = self._history.samples(self._ids, begin, end, self._tier)
        of_slice = max(1, len(stored.ts) * step // (end - begin))
        self._number = max(1, min(MOST_SLICES, READ_AT_ONCE // of_slice))
        number = ((stored.ts - begin) // step).astype(np.int16)  # few bits: numpy sorts them in one pass
        order = _by_series(stored.series)
        order = order[np.argsort(number[order], kind="stable")]
        bounds = [0, *np.cumsum(np.bincount(number, minlength=-(-(end - begin) // step))).tolist()]
        found = []
        for place, start in enumerate(range(begin, end, step)):
            own = order[bounds[place] : bounds[place + 1]]
            samples = StoredSamples(stored.series[own], stored.ts[own], stored.value[own])
            found.append((start, min(start + step, end), samples))
        return found


def _by_series(series: IntArray) -> IntArray:
    """intp[n]: an order by series of samples that are in stretches of one series each; each keeps its order."""
    if not len(series):
        return np.zeros(0, dtype=np.intp)
    starts = np.flatnonzero(np.concatenate([[True], series[1:] != series[:-1]]))
    lengths = np.diff(starts, append=len(series))
    by_series = np.argsort(series[starts], kind="stable")
    starts, lengths = starts[by_series], lengths[by_series]
    before = np.cumsum(lengths) - lengths
    result: IntArray = np.repeat(starts - before, lengths) + np.arange(len(series))
    return result
