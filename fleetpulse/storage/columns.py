"""Samples on their way into the raw table: as columns or as matrices, and put into the table's order.

A batch of many partitions is a list of parts, each with few series and many samples of each. Only the series are
sorted; every sample is written once, to its place.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

UInt64Array = npt.NDArray[np.uint64]
Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]


class SampleColumns(NamedTuple):
    """`id` uint64[n], `ts` int64[n] ms, `value` float64[n]."""

    id: UInt64Array
    ts: Int64Array
    value: Float64Array

    def pick(self, chosen: npt.NDArray[Any]) -> "SampleColumns":
        """The rows at these places, or where the mask is true."""
        return SampleColumns(self.id[chosen], self.ts[chosen], self.value[chosen])


class SampleMatrix(NamedTuple):
    """Series with one and the same number of samples each: `id` uint64[series], all different; `ts` int64[times,
    series] ms, rising down every column; `value` float64[times, series].
    """

    id: UInt64Array
    ts: Int64Array
    value: Float64Array

    def columns(self) -> SampleColumns:
        """Series after series."""
        return SampleColumns(np.repeat(self.id, len(self.ts)), self.ts.T.ravel(), self.value.T.ravel())


Part = SampleColumns | SampleMatrix


def flat(parts: Sequence[Part]) -> SampleColumns:
    """The parts one after the other."""
    flats = [part.columns() if isinstance(part, SampleMatrix) else part for part in parts]
    if len(flats) == 1:
        return flats[0]
    return SampleColumns(*map(np.concatenate, zip(*flats, strict=True)))


def by_id(parts: Sequence[Part]) -> SampleColumns:
    """All samples sorted by id; those of one id as they stand in the parts, which have them in order of time."""
    if len(parts) == 1 and isinstance(parts[0], SampleColumns) and (parts[0].id[1:] >= parts[0].id[:-1]).all():
        return parts[0]
    begins = [_begins(part) for part in parts]
    ids = np.concatenate([part.id[begin] for part, begin in zip(parts, begins, strict=True)])
    lengths = np.concatenate([_lengths(part, begin) for part, begin in zip(parts, begins, strict=True)])
    order = np.argsort(ids, kind="stable")
    ordered = lengths[order]
    ends = np.cumsum(ordered)
    places = np.empty_like(ends)
    places[order] = ends - ordered  # where each run of one id begins
    rows = int(ends[-1]) if len(ends) else 0
    ts, value = np.empty(rows, dtype=np.int64), np.empty(rows)
    at = 0
    for part, begin in zip(parts, begins, strict=True):
        to = places[at : at + len(begin)]
        at += len(begin)
        if isinstance(part, SampleMatrix):
            for stamps, values in zip(part.ts, part.value, strict=True):
                ts[to] = stamps
                value[to] = values
                to += 1
        else:
            place = np.repeat(to - begin, _lengths(part, begin))
            place += np.arange(len(place))
            ts[place] = part.ts
            value[place] = part.value
    return SampleColumns(np.repeat(ids[order], ordered), ts, value)


def span_of(part: Part) -> tuple[int, int]:
    """The first and the last time of a part that is not empty."""
    if isinstance(part, SampleMatrix):
        return int(part.ts[0].min()), int(part.ts[-1].max())
    return int(part.ts.min()), int(part.ts.max())


def _begins(part: Part) -> Int64Array:
    """Where the runs of one id begin."""
    if isinstance(part, SampleMatrix):
        return np.arange(len(part.id))
    return np.flatnonzero(np.concatenate((np.ones(min(1, len(part.id)), bool), part.id[1:] != part.id[:-1])))


def _lengths(part: Part, begins: Int64Array) -> Int64Array:
    if isinstance(part, SampleMatrix):
        return np.full(len(begins), len(part.ts))
    return np.diff(begins, append=len(part.id))
