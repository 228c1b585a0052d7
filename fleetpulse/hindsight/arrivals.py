"""Stored samples of one host in the order in which they arrived, as far as the ledger tells."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fleetpulse.metric import canonical_key
from fleetpulse.promql.syntax import NAME
from fleetpulse.rules.presence import OWN_JOB
from fleetpulse.storage.history import StoredSamples, StoredSeries
from fleetpulse.storage.tiers import MINUTE_MS
from fleetpulse.wire import Block, join_keys, make_block

LATE_MS = 90_000  # a minute's samples that were appended so long after its end came late


def arrivals(
    series: Sequence[StoredSeries], samples: StoredSamples, appended_ms: Mapping[int, int]
) -> Iterator[tuple[int, list[Block]]]:
    """Append times with the blocks of one host that came then, in order.

    `appended_ms`: minute (its start) → when it was first appended, where that was late. All others came in time.
    """
    if not len(samples.ts):
        return
    own = np.array([each.labels.get("job") == OWN_JOB for each in series], dtype=np.bool_)
    left_out = [(NAME, "job") if ours else (NAME,) for ours in own.tolist()]  # our processes are no sign of life
    keys = [
        canonical_key(each.labels[NAME], {name: text for name, text in each.labels.items() if name not in out})
        for each, out in zip(series, left_out, strict=True)
    ]
    at = samples.ts.copy()
    for minute_ms, append_ms in appended_ms.items():
        inside = (samples.ts >= minute_ms) & (samples.ts < minute_ms + MINUTE_MS)
        at[inside] = np.maximum(append_ms, samples.ts[inside])
    order = np.lexsort((own[samples.series], samples.ts, at))
    at, ts, number, value = at[order], samples.ts[order], samples.series[order], samples.value[order]
    others = np.diff(own[number], prepend=False)
    starts = np.flatnonzero((np.diff(at, prepend=-1) != 0) | (np.diff(ts, prepend=-1) != 0) | others).tolist()
    coming: list[Block] = []
    for begin, end in zip(starts, [*starts[1:], len(ts)], strict=True):
        if coming and at[begin] != at[begin - 1]:
            yield int(at[begin - 1]), coming
            coming = []
        host = series[int(number[begin])].host
        text = join_keys(keys[place] for place in number[begin:end].tolist())
        common = {"job": OWN_JOB} if own[number[begin]] else {}
        coming.append(make_block(host, common, text, int(ts[begin]), value[begin:end].tolist()))
    if coming:
        yield int(at[-1]), coming
