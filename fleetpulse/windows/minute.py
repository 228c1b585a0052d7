"""The open one-minute buckets of all series of a partition, as dense columns; every one a function of its samples.

`increase` adds the deltas between consecutive samples of the bucket; a smaller value is a counter reset and counts
from zero, as in Prometheus. NaN samples are left out of everything and counted in `nans`; infinity propagates.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fleetpulse.windows.registry import BoolArray, Float64Array, Int32Array, Moves

UInt32Array = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Rows:
    """Finished buckets of one minute; columns of one length. Columns of a bucket without numbers are NaN."""

    dense: Int32Array
    count: UInt32Array
    nans: UInt32Array
    sum: Float64Array
    min: Float64Array
    max: Float64Array
    first: Float64Array
    last: Float64Array
    increase: Float64Array


class Minute:
    """Accumulators for one minute, indexed by dense id."""

    def __init__(self, capacity: int) -> None:
        self._count = np.zeros(capacity, dtype=np.uint32)
        self._nans = np.zeros(capacity, dtype=np.uint32)
        self._sum = np.zeros(capacity)
        self._min = np.full(capacity, np.inf)
        self._max = np.full(capacity, -np.inf)
        self._first = np.zeros(capacity)
        self._last = np.zeros(capacity)
        self._increase = np.zeros(capacity)

    def add(self, dense: Int32Array, value: Float64Array) -> None:
        """Samples in (series, time) order, each later than what its series has here already."""
        nan = np.isnan(value)
        if nan.any():
            np.add.at(self._nans, dense[nan], 1)
            dense, value = dense[~nan], value[~nan]
        if not len(dense):
            return
        if int(dense.max()) >= len(self._count):
            raise IndexError("a series is past the capacity of its minute: grow first")
        starts = np.flatnonzero(np.concatenate(([True], dense[1:] != dense[:-1])))
        if len(starts) == len(dense):
            self._merge(dense, np.uint32(1), value, value, value, value, value, None)
            return
        ends = np.concatenate((starts[1:], [len(dense)]))
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf is NaN, as it is in the table
            steps = np.empty_like(value)
            steps[1:] = delta(value[:-1], value[1:])
            steps[starts] = 0.0
            self._merge(
                dense[starts],
                (ends - starts).astype(np.uint32),
                np.add.reduceat(value, starts),
                np.minimum.reduceat(value, starts),
                np.maximum.reduceat(value, starts),
                value[starts],
                value[ends - 1],
                np.add.reduceat(steps, starts),
            )

    def add_rows(self, dense: Int32Array, value: Float64Array) -> None:
        """As `add`, for a matrix without NaN: `value` float64[times, series], `dense` int32[series] all different."""
        if len(value) == 1:
            row = value[0]
            self._merge(dense, np.uint32(1), row, row, row, row, row, None)
            return
        with np.errstate(invalid="ignore", over="ignore"):
            self._merge(
                dense,
                np.uint32(len(value)),
                value.sum(axis=0),
                value.min(axis=0),
                value.max(axis=0),
                value[0],
                value[-1],
                delta(value[:-1], value[1:]).sum(axis=0),
            )

    def _merge(
        self,
        at: Int32Array,
        count: UInt32Array | np.uint32,
        total: Float64Array,
        low: Float64Array,
        high: Float64Array,
        first: Float64Array,
        last: Float64Array,
        increase: Float64Array | None,
    ) -> None:
        had = self._count[at]
        fresh = had == 0
        self._count[at] = had + count
        with np.errstate(invalid="ignore", over="ignore"):
            self._sum[at] += total
            if fresh.all():
                self._first[at] = first
                if increase is not None:
                    self._increase[at] = increase
            else:
                bridge = np.where(fresh, 0.0, delta(self._last[at], first))
                self._increase[at] += bridge if increase is None else bridge + increase
                self._first[at[fresh]] = first[fresh]
        self._min[at] = np.minimum(self._min[at], low)
        self._max[at] = np.maximum(self._max[at], high)
        self._last[at] = last

    def grow(self, capacity: int) -> None:
        """Make room for more series."""
        more = Minute(capacity)
        for name, column in vars(self).items():
            getattr(more, name)[: len(column)] = column
        self.__dict__ = more.__dict__

    def move(self, moves: Moves) -> None:
        """Series were evicted, none of which has a sample here."""
        columns = list(vars(self).values())
        moves.columns(*columns)
        freed = slice(moves.series, len(moves.to))
        for column, empty in zip(columns, vars(Minute(1)).values(), strict=True):
            column[freed] = empty[0]

    def rows(self, leave_out: BoolArray | None = None) -> Rows:
        """The buckets that have samples, without the series that are True in `leave_out` (bool[capacity])."""
        has = (self._count > 0) | (self._nans > 0)
        if leave_out is not None:
            has &= ~leave_out
        at = np.flatnonzero(has).astype(np.int32)
        count = self._count[at]
        numbers = [column[at] for column in (self._sum, self._min, self._max, self._first, self._last, self._increase)]
        for column in numbers[1:3]:
            column += 0.0  # the zero of min and max has no sign: which of two zeros is less depends on their order
        empty = count == 0
        if empty.any():
            for column in numbers:
                column[empty] = np.nan
        return Rows(at, count, self._nans[at], *numbers)


def delta(previous: Float64Array, current: Float64Array) -> Float64Array:
    """How much a counter rose from one sample to the next; after a reset, all of the new value."""
    return np.where(current >= previous, current - previous, current)
