"""Which samples count, which are duplicates, which come late, and when a one-minute bucket is finished.

Per series: a sample with the time of the last one and bitwise its value is a duplicate and dropped. Any other sample
not newer than the last one is not counted here: its bucket is dirty and is recomputed from the table. So is every
bucket that was touched before this engine existed (`inherited`), and every closed one that gets another sample.
A bucket closes when append time, the only clock, passes its end plus the lateness.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from fleetpulse.windows.arrange import Arranged
from fleetpulse.windows.grid import Grid
from fleetpulse.windows.minute import Minute, Rows
from fleetpulse.windows.registry import GONE, BoolArray, Int32Array, Int64Array, Moves

MINUTE_MS = 60_000
_NEVER = np.iinfo(np.int64).min
_NOWHERE: Int64Array = np.empty(0, dtype=np.int64)


class Applied(NamedTuple):
    """What became of a batch: numbers of samples, and the minutes (since the epoch) that it touched.

    `repeated` and `doubtful` (int64[k], ascending) are places in the batch: of samples whose series has one of the same
    time in this engine, and of those whose series may have had one from an earlier owner, or before its last. All
    others are certainly new.
    """

    counted: int
    duplicates: int
    late: int
    minutes: list[int]
    repeated: Int64Array
    doubtful: Int64Array


class Closed(NamedTuple):
    """One minute to be written: finished `rows`, and the series (dense ids) to recompute; `whole`: all of them."""

    minute: int
    rows: Rows | None
    dirty: Int32Array
    whole: bool


class Windows:
    """The windows of one partition. `inherited`: minutes that earlier owners touched; `dirty`: those not clean yet."""

    def __init__(self, lateness_ms: int, inherited: Iterable[int] = (), dirty: Iterable[int] = ()) -> None:
        self._lateness_ms = lateness_ms
        self._inherited = set(inherited)
        self._before_us = np.array(sorted(self._inherited), dtype=np.int64)  # unlike `_inherited` never shortened
        self._whole = set(dirty)
        self._dirty: dict[int, list[Int32Array]] = {}
        self._open: dict[int, Minute] = {}
        self._closed_before = -(1 << 62)
        self._last_ts: Int64Array = np.full(1024, _NEVER, dtype=np.int64)
        self._last_bits = np.zeros(1024, dtype=np.uint64)
        self._evicted_ms = _NEVER  # the newest time of a sample whose series was evicted

    @property
    def open_minutes(self) -> list[int]:
        """The minutes that have buckets, or something dirty, and are not closed."""
        pending = self._open.keys() | self._dirty.keys() | self._whole
        return sorted(minute for minute in pending if minute >= self._closed_before)

    @property
    def waiting(self) -> set[int]:
        """The minutes with something to recompute that `close` has not given out yet."""
        return self._whole | self._dirty.keys()

    def start(self, append_ms: int) -> None:
        """Begin at this append time: what lies before it, lateness included, is closed already."""
        self._closed_before = max(self._closed_before, (append_ms - self._lateness_ms) // MINUTE_MS)

    def apply(self, batch: Arranged, series: int) -> Applied:
        """Take an arranged batch; `series` is the number of series that the registry knows."""
        if not len(batch.ts):
            return Applied(0, 0, 0, [], _NOWHERE, _NOWHERE)
        self._grow(series)
        touched: set[int] = set()
        counted, duplicates, late, repeated, doubtful = self._split(batch, touched)
        minutes = counted.ts // MINUTE_MS
        if len(minutes):
            touched.update(_distinct(minutes))
            self._accumulate(counted, minutes)
        return Applied(len(counted.ts), duplicates, late, sorted(touched), repeated, doubtful)

    def apply_grid(self, grid: Grid, series: int) -> Applied:
        """Take a grid; `series` as in `apply`. Places in it are column by column: column · times + row.

        Columns with a NaN, or with a time not newer than the series' last, are taken sample by sample.
        """
        self._grow(series)
        odd, touched = self._odd_columns(grid), set[int]()
        some = Applied(0, 0, 0, [], _NOWHERE, _NOWHERE)
        if odd.any():
            some = self._apply_columns(grid, np.flatnonzero(odd), series)
            touched.update(some.minutes)
            grid = grid.pick(np.flatnonzero(~odd))
        if len(grid.dense):
            self._last_ts[grid.dense] = grid.ts[-1]
            self._last_bits[grid.dense] = grid.value[-1].view(np.uint64)
            for minute, begin, end in grid.runs:
                touched.add(minute)
                bucket = self._bucket(minute, grid.dense)
                if bucket is not None:
                    bucket.add_rows(grid.dense, grid.value[begin:end])
        return some._replace(counted=some.counted + grid.value.size, minutes=sorted(touched))

    def _apply_columns(self, grid: Grid, columns: Int64Array, series: int) -> Applied:
        times, some = len(grid.ts), grid.pick(columns)
        batch = Arranged(np.repeat(some.dense, times), some.ts.T.ravel(), some.value.T.ravel())
        applied = self.apply(batch, series)
        repeated, doubtful = (
            columns[places // times] * times + places % times for places in (applied.repeated, applied.doubtful)
        )
        return applied._replace(repeated=repeated, doubtful=doubtful)

    def close(self, append_ms: int) -> list[Closed]:
        """Everything that is finished at this append time, late arrivals to closed minutes included."""
        self.start(append_ms)
        ready = {m for m in self._open.keys() | self._dirty.keys() | self._whole if m < self._closed_before}
        self._inherited = {minute for minute in self._inherited if minute >= self._closed_before}
        return [self._finish(minute) for minute in sorted(ready)]

    def settled(self, series: int) -> BoolArray:
        """bool[series]: those whose buckets have all closed, and which wait in no bucket to be recomputed."""
        self._grow(series)
        settled: BoolArray = self._last_ts[:series] // MINUTE_MS < self._closed_before
        for parts in self._dirty.values():
            for dense in parts:
                settled[dense] = False
        return settled

    def move(self, moves: Moves) -> None:
        """Series were evicted, all of them settled. Should one return, its time before that is not known any more: what
        comes at or before the newest time of any is doubtful."""
        gone = moves.to == GONE
        if not gone.any():
            return
        self._evicted_ms = max(self._evicted_ms, int(self._last_ts[: len(gone)][gone].max()))
        moves.columns(self._last_ts, self._last_bits)
        self._last_ts[moves.series : len(gone)] = _NEVER
        self._last_bits[moves.series : len(gone)] = 0
        for bucket in self._open.values():
            bucket.move(moves)
        self._dirty = {minute: [moves.to[dense] for dense in parts] for minute, parts in self._dirty.items()}

    def _finish(self, minute: int) -> Closed:
        whole = minute in self._whole
        self._whole.discard(minute)
        bucket = self._open.pop(minute, None)
        parts = self._dirty.pop(minute, None)
        dirty = np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int32)
        if whole or bucket is None:
            return Closed(minute, None, dirty, whole)
        leave_out: BoolArray | None = None
        if len(dirty):
            leave_out = np.zeros(len(self._last_ts), dtype=np.bool_)
            leave_out[dirty] = True
        return Closed(minute, bucket.rows(leave_out), dirty, False)

    def _split(self, batch: Arranged, touched: set[int]) -> tuple[Arranged, int, int, Int64Array, Int64Array]:
        """Leave out what must not be counted: what is left, how many duplicates, how many late, repeated, doubtful."""
        dense, ts, value = batch
        last = self._last_ts[dense]
        stale = ts <= last
        again = np.zeros(len(ts), dtype=np.bool_)
        again[1:] = (dense[1:] == dense[:-1]) & (ts[1:] == ts[:-1])
        duplicates = late = 0
        out = stale | again
        repeated, doubtful = self._doubts(ts, out | (ts <= self._evicted_ms), again | (ts == last))
        if out.any():
            bits = value.view(np.uint64)
            same = stale & (ts == last) & (bits == self._last_bits[dense])
            same[1:] |= again[1:] & (bits[1:] == bits[:-1])
            wrong = out & ~same
            self._mark(dense[wrong], ts[wrong] // MINUTE_MS, touched)
            duplicates, late = int(same.sum()), int(wrong.sum())
            keep = ~out
            dense, ts, value = dense[keep], ts[keep], value[keep]
        if len(dense):
            ends = np.flatnonzero(np.concatenate((dense[1:] != dense[:-1], [True])))
            at = dense[ends]
            self._last_ts[at] = ts[ends]
            self._last_bits[at] = value[ends].view(np.uint64)
        return Arranged(dense, ts, value), duplicates, late, repeated, doubtful

    def _odd_columns(self, grid: Grid) -> BoolArray:
        if len(self._before_us) and grid.runs[0].minute <= self._before_us[-1]:
            return np.ones(len(grid.dense), dtype=np.bool_)
        nan: BoolArray = np.isnan(grid.value.min(axis=0))
        stale: BoolArray = grid.ts[0] <= np.maximum(self._last_ts[grid.dense], self._evicted_ms)
        return nan | stale

    def _doubts(self, ts: Int64Array, out: BoolArray, same: BoolArray) -> tuple[Int64Array, Int64Array]:
        """Places of the samples that have the `same` time as one that was counted, and of the others that are `out` or
        in minutes whose times only earlier owners knew."""
        if len(self._before_us) and int(ts.min()) // MINUTE_MS <= self._before_us[-1]:
            out = out | np.isin(ts // MINUTE_MS, self._before_us)
        return np.flatnonzero(same), np.flatnonzero(out & ~same)

    def _mark(self, dense: Int32Array, minutes: Int64Array, touched: set[int]) -> None:
        for minute in _distinct(minutes):
            touched.add(minute)
            if minute in self._inherited:
                self._whole.add(minute)
            else:
                self._dirty.setdefault(minute, []).append(dense[minutes == minute])

    def _accumulate(self, batch: Arranged, minutes: Int64Array) -> None:
        distinct = _distinct(minutes)
        for minute in distinct:
            chosen = slice(None) if len(distinct) == 1 else minutes == minute
            dense = batch.dense[chosen]
            bucket = self._bucket(minute, dense)
            if bucket is not None:
                bucket.add(dense, batch.value[chosen])

    def _bucket(self, minute: int, dense: Int32Array) -> Minute | None:
        """Where samples of these series are counted; None when their buckets are to be recomputed instead."""
        if minute in self._inherited:
            self._whole.add(minute)
            return None
        if minute < self._closed_before:
            self._dirty.setdefault(minute, []).append(np.unique(dense))
            return None
        bucket = self._open.get(minute)
        if bucket is None:
            bucket = self._open[minute] = Minute(len(self._last_ts))
        return bucket

    def _grow(self, series: int) -> None:
        if series <= len(self._last_ts):
            return
        capacity = max(series, 2 * len(self._last_ts))
        grown = np.full(capacity, _NEVER, dtype=np.int64)
        grown[: len(self._last_ts)] = self._last_ts
        bits = np.zeros(capacity, dtype=np.uint64)
        bits[: len(self._last_bits)] = self._last_bits
        self._last_ts, self._last_bits = grown, bits
        for bucket in self._open.values():
            bucket.grow(capacity)


def join_applied(parts: Sequence[Applied]) -> Applied:
    """What became of batches whose samples stand one after the other."""
    sizes = [part.counted + part.duplicates + part.late for part in parts]
    begins = np.cumsum([0, *sizes[:-1]])
    return Applied(
        sum(part.counted for part in parts),
        sum(part.duplicates for part in parts),
        sum(part.late for part in parts),
        sorted({minute for part in parts for minute in part.minutes}),
        np.concatenate([part.repeated + begin for part, begin in zip(parts, begins, strict=True)]),
        np.concatenate([part.doubtful + begin for part, begin in zip(parts, begins, strict=True)]),
    )


def _distinct(minutes: Int64Array) -> list[int]:
    if not len(minutes):
        return []
    low, high = int(minutes.min()), int(minutes.max())
    return [low] if low == high else [int(minute) for minute in np.unique(minutes)]
