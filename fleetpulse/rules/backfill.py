"""Long windows after a start: their past is in storage, and becomes the sub-buckets that the stream would have made.

The seam: storage has every sample of the messages before the offset at which the stream goes on (the caller asks for
no less), and the stream read the messages of some minutes before that again. So each sub-bucket comes whole from one
of the two: up to the one with the first sample that the stream saw of a host from storage, later ones from the stream.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.promql.layout import LabelSet, Layouts
from fleetpulse.promql.metric_windows import MetricWindows, Need
from fleetpulse.promql.rings import IntArray, is_gap
from fleetpulse.promql.summaries import Summaries, merged, of_samples
from fleetpulse.promql.syntax import Selector


class Lack(NamedTuple):
    """Samples of a selector's series of the last `reach_ms` are needed."""

    selector: Selector
    reach_ms: int


class Stored(NamedTuple):
    """Samples of series of one metric: those numbered `series` int64[n], sorted by series and time, at `ts`, `value`.

    `host` and `labels` (without ``__name__``) are by number of a series.
    """

    metric: str
    host: Sequence[str]
    labels: Sequence[Mapping[str, str]]
    series: Int64Array
    ts: Int64Array
    value: Float64Array


def sub_buckets(need: Need, stored: Stored) -> tuple[Int64Array, Int64Array, Summaries]:
    """(series int64[m], number int64[m], summaries [m, 1]) of the sub-buckets that have samples."""
    kept = ~is_gap(stored.value)
    series, ts, value = stored.series[kept], stored.ts[kept], stored.value[kept]
    number = (ts - 1) // need.width_ms
    fresh = np.ones(len(ts), dtype=np.bool_)
    fresh[1:] = (series[1:] != series[:-1]) | (number[1:] != number[:-1])
    starts = np.flatnonzero(fresh)
    sizes = np.diff(starts, append=len(ts))
    width = int(sizes.max(initial=1))
    place = np.minimum(starts[:, None] + np.arange(width), max(len(ts) - 1, 0))
    valid = (np.arange(width) < sizes[:, None])[:, :, None]
    items = of_samples(need.fields, ts[place], value[place][:, :, None], valid, number[starts] * need.width_ms)
    return series[starts], number[starts], merged(items)


def adopt(
    metric: MetricWindows, layouts: Layouts, hosts: IntArray, columns: Sequence[LabelSet], stored: Stored
) -> None:
    """Put stored samples into a metric's windows; `hosts` and `columns` are by number of a series."""
    for need in metric.needs:
        series, number, summary = sub_buckets(need, stored)
        order = np.lexsort((series, number, hosts[series]))
        series, number = series[order], number[order]
        summary = {field: value[order] for field, value in summary.items()}
        owner = hosts[series]
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), len(owner)], strict=True):
            own = np.unique(series[begin:end])
            rows, row = np.unique(number[begin:end], return_inverse=True)
            cells = (row.reshape(-1), np.searchsorted(own, series[begin:end]))
            wide: Summaries = {}
            for field, value in summary.items():
                wide[field] = np.zeros((len(rows), len(own)), dtype=value.dtype)
                wide[field][cells] = value[begin:end, 0]
            layout = layouts.of(columns[each] for each in own.tolist())
            metric.adopt(int(owner[begin]), layout, need.width_ms, rows, wide)
