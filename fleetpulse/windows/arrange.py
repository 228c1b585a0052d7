"""A batch of one partition's samples in the order that both the table and the windows want: (stored id, time)."""

from typing import NamedTuple

import numpy as np

from fleetpulse.windows.registry import Float64Array, Int32Array, Int64Array

_MAX_SPAN = 1 << 40


class Arranged(NamedTuple):
    """Columns of one length, sorted by (rank of the series, time): equal (series, time) stand side by side."""

    dense: Int32Array
    ts: Int64Array
    value: Float64Array


def arrange(dense: Int32Array, ts: Int64Array, value: Float64Array, rank: Int64Array) -> Arranged:
    """Sort a batch. `dense` int32[n] ids, `ts` int64[n] ms, `value` float64[n], `rank` int64[series]."""
    if len(dense) < 2:
        return Arranged(dense, ts, value)
    place = rank[dense]
    low = int(ts.min())
    span = int(ts.max()) - low + 1
    if span < _MAX_SPAN and len(rank) < (1 << 62) // span:
        key = place * span
        key += ts
        key -= low
        if (key[1:] >= key[:-1]).all():
            return Arranged(dense, ts, value)
        order = np.argsort(key)
    else:
        order = np.lexsort((ts, place))
    return Arranged(dense[order], ts[order], value[order])
