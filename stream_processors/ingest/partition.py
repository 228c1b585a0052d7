"""What the sink holds for one partition: its series, its windows, and the buckets that wait to be recomputed."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fleetpulse.storage.columns import Part, SampleColumns, SampleMatrix
from fleetpulse.storage.pending import place_of
from fleetpulse.storage.writer import RollupColumns
from fleetpulse.windows.arrange import Arranged, arrange
from fleetpulse.windows.engine import Applied, Closed, Windows, join_applied
from fleetpulse.windows.grid import Grid
from fleetpulse.windows.minute import Rows
from fleetpulse.windows.registry import Float64Array, Int32Array, Int64Array, Registry
from stream_processors.ingest.intake import Chunk
from stream_processors.ingest.ledger import Touched
from stream_processors.ingest.progress import Progress

MINUTE_SECONDS = 60
EVICT_SHARE = 50  # a fiftieth of the series is to be evicted, or none
WHOLE_ABOVE = 100_000  # series to recompute: reading all costs no more than to look for so many


class Gathered(NamedTuple):
    """A chunk's samples: those in `grids`, and all others in columns of one length, in the order of arrival.

    No series is in two grids, or in a grid and the columns.
    """

    dense: Int32Array
    ts: Int64Array
    value: Float64Array
    grids: Sequence[Grid] = ()


class Work(NamedTuple):
    """Buckets to recompute: these minutes, for these stored ids (None: all series of the partition).

    All samples below `place` are stored. With it the minutes in `clean` are clean through this place: no other series
    came late to them before.
    """

    minutes: list[int]
    ids: list[int] | None
    clean: list[int]
    place: int


class Partition:
    """One partition's state; valid for `next_offset` only. Used by the sink's thread alone."""

    def __init__(self, number: int, lateness_ms: int) -> None:
        self.number = number
        self.registry = Registry()
        self.progress = Progress()
        self.expected: Counter[str] = Counter()  # series by host that were active before us and are not heard of again
        self.limited = False  # whether series were refused that may be let in when there is room
        self._taken_over_ms = 0
        self.next_offset = -1
        self.append_ms = 0
        self._lateness_ms = lateness_ms
        self._windows = Windows(lateness_ms)
        self._dirty: dict[int, set[int] | None] = {}  # minute → dense ids, None: all
        self.dirty_since: float | None = None
        self.refreshed = time.monotonic()  # when the table last heard that its series are alive

    @property
    def place(self) -> int:
        """The next offset, as the marks have it."""
        return place_of(self.progress.incarnation, self.next_offset)

    def missing_before(self, first_offset: int, stored: int | None) -> int:
        """Messages between what we or earlier owners (`stored`) got and this offset; nothing when nobody had any."""
        reached = max(self.next_offset, -1 if stored is None else stored)
        return max(0, first_offset - reached) if reached >= 0 else 0

    def restart(self, touched: Touched, append_ms: int) -> None:
        """Forget the windows: buckets touched before are recomputed from the table."""
        self._windows = Windows(self._lateness_ms, touched.minutes, touched.dirty)
        self._windows.start(append_ms)
        self._dirty = {}
        self.dirty_since = None
        self.append_ms = append_ms

    def apply(self, samples: Gathered, chunk: Chunk) -> tuple[list[Part], Applied]:
        """Count a chunk's samples in the windows: its rows for the raw table, the rows of a series side by side and in
        order of time, and what became of them; `doubtful` are places in these rows, one part after the other.
        """
        ids, series = self.registry.ids, len(self.registry)
        self.registry.hear(samples.dense, chunk.append_ms)
        arranged = Arranged(samples.dense, samples.ts, samples.value)
        if len(samples.dense):  # else the series need not be ranked
            arranged = arrange(*arranged, self.registry.rank)
        applied = [self._windows.apply(arranged, series)]
        parts: list[Part] = [SampleColumns(ids[arranged.dense], arranged.ts, arranged.value)]
        for grid in samples.grids:
            self.registry.hear(grid.dense, chunk.append_ms)
            applied.append(self._windows.apply_grid(grid, series))
            parts.append(SampleMatrix(ids[grid.dense], grid.ts, grid.value))
        self.next_offset = chunk.next_offset
        self.append_ms = max(self.append_ms, chunk.append_ms)
        return parts, join_applied(applied)

    def idle_watermark(self, now_ms: int) -> int:
        """At the end of a quiet partition wall time goes on, but no further than the last open bucket."""
        minutes = self._windows.open_minutes
        if not minutes:
            return self.append_ms
        return max(self.append_ms, min(now_ms, (minutes[-1] + 1) * MINUTE_SECONDS * 1000 + self._lateness_ms))

    def close(self, append_ms: int, now: float) -> tuple[list[RollupColumns], list[int]]:
        """Finished buckets at this append time: rows to insert, and the minutes that are clean with them."""
        rows, clean = [], []
        for closed in self._windows.close(append_ms):
            if closed.rows is not None and len(closed.rows.dense):
                rows.append(self._columns(closed.minute, closed.rows))
            if closed.whole or len(closed.dirty):
                self._remember(closed, now)
            elif closed.minute not in self._dirty:
                clean.append(closed.minute)
        return rows, clean

    def expect(self, active: Counter[str], append_ms: int) -> None:
        """What the table says to be active at the takeover, by host; some of it may be known here."""
        self.expected = Counter({host: number - self.registry.series_of(host) for host, number in active.items()})
        self.expected = +self.expected
        self._taken_over_ms = append_ms

    def evict(self, idle_ms: int) -> int:
        """Forget the series that were not heard of for so long and whose buckets are closed and clean; how many.

        Nothing is done for a few of many: what it costs goes by all.
        """
        registry = self.registry
        if self.append_ms - self._taken_over_ms > idle_ms:
            self.expected.clear()  # what was not heard of until now is idle
        gone = registry.idle(self.append_ms - idle_ms) & self._windows.settled(len(registry))
        for dense in self._dirty.values():
            gone[list(dense or ())] = False
        number = int(gone.sum())
        if number * EVICT_SHARE < len(registry) or not number:
            return 0
        moves = registry.evict(gone)
        self._windows.move(moves)
        self._dirty = {
            minute: None if dense is None else set(moves.to[list(dense)].tolist())
            for minute, dense in self._dirty.items()
        }
        return number

    @property
    def dirty_buckets(self) -> int:
        """Minutes that wait to be recomputed."""
        return len(self._dirty)

    def take_work(self) -> list[Work]:
        """What to recompute, once all that was applied is stored. It is not known here any more: what comes late from
        now on is dirty again, and whoever does not do the work leaves that to the next owner, who reads the ledger.
        """
        whole = [minute for minute, dense in self._dirty.items() if dense is None]
        partly = {minute: dense for minute, dense in self._dirty.items() if dense is not None}
        self._dirty, self.dirty_since = {}, None
        work = [self._work(whole, None)] if whole else []
        if partly:
            dense = set().union(*partly.values())
            ids = self.registry.ids[sorted(dense)].tolist()
            work.append(self._work(sorted(partly), None if len(ids) > WHOLE_ABOVE else ids))
        return work

    def _work(self, minutes: list[int], ids: list[int] | None) -> Work:
        waiting = self._windows.waiting
        clean = [minute for minute in minutes if minute not in waiting]
        return Work(minutes, ids, clean, self.place)

    def _remember(self, closed: Closed, now: float) -> None:
        if closed.whole:
            self._dirty[closed.minute] = None
        else:
            waiting = self._dirty.setdefault(closed.minute, set())
            if waiting is not None:
                waiting.update(closed.dirty.tolist())
        if self.dirty_since is None:
            self.dirty_since = now

    def _columns(self, minute: int, rows: Rows) -> RollupColumns:
        start = np.full(len(rows.dense), minute * MINUTE_SECONDS, dtype=np.uint32)
        return RollupColumns(
            self.registry.ids[rows.dense],
            start,
            rows.count,
            rows.nans,
            rows.sum,
            rows.min,
            rows.max,
            rows.first,
            rows.last,
            rows.increase,
        )
