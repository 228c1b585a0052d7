"""What is kept of the samples of a sub-bucket: fields that merge, so that a window is made of sub-buckets.

One sample is a summary of itself, a sub-bucket merges samples, a window merges sub-buckets, and `merged` does all
three. A function over a range needs some of the fields; `FIELDS_OF` says which.

Means and moments are merged as Chan, Golub and LeVeque do ("Updating formulae and a pairwise algorithm for computing
sample variances", 1979): around the mean of what is merged, so that large values with small changes keep their digits.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.promql.rings import BoolArray

Summaries: TypeAlias = dict[str, npt.NDArray[Any]]  # field → [h, w, k], ascending in time along w; or [h, k]

_REGRESSION = ("mean", "mean_s", "spread_s", "together")
_ENDS = ("first", "last", "first_ms")
FIELDS_OF: Mapping[str, tuple[str, ...]] = {
    "avg_over_time": ("sum",),
    "changes": (*_ENDS, "changes"),
    "count_over_time": (),
    "delta": _ENDS,
    "deriv": _REGRESSION,
    "first_over_time": ("first",),
    "idelta": ("last", "previous", "previous_ms"),
    "increase": (*_ENDS, "fallen"),
    "irate": ("last", "previous", "previous_ms"),
    "last_over_time": ("last",),
    "max_over_time": ("high",),
    "min_over_time": ("low",),
    "predict_linear": _REGRESSION,
    "present_over_time": (),
    "rate": (*_ENDS, "fallen"),
    "resets": (*_ENDS, "resets"),
    "stddev_over_time": ("mean", "spread"),
    "stdvar_over_time": ("mean", "spread"),
    "sum_over_time": ("sum",),
}
"""What each function needs beside `ALWAYS`. What is not here has no form that merges: quantiles and smoothing."""

ALWAYS = ("count", "last_ms")
_COUNTS = frozenset({"count", "changes", "resets"})
_TIMES = frozenset({"first_ms", "last_ms", "previous_ms"})


def fields_for(functions: Iterable[str]) -> tuple[str, ...]:
    """The fields that these functions need, in a fixed order."""
    return tuple(sorted({*ALWAYS, *(field for function in functions for field in FIELDS_OF[function])}))


def kind_of(field: str, width_ms: int) -> type[np.generic]:
    """How a field is stored: counts and times inside a sub-bucket fit into 16 bits up to 65 s, else into 32."""
    if field in _COUNTS or field in _TIMES:
        return np.uint16 if width_ms < 1 << 16 else np.uint32
    return np.float64


def is_time(field: str) -> bool:
    """Whether a field is a time in ms; it is stored from the start of its sub-bucket."""
    return field in _TIMES


def of_samples(
    fields: Sequence[str], ts: Int64Array, value: Float64Array, valid: BoolArray, origin_ms: Int64Array
) -> Summaries:
    """Each sample as a summary: `ts` int64[h, w], `value` and `valid` [h, w, k].

    `mean_s` is in seconds from `origin_ms` int64[h].
    """
    stamp = np.broadcast_to(ts[:, :, None], value.shape)
    zero = np.broadcast_to(np.float64(0.0), value.shape)
    nothing = np.broadcast_to(np.int64(0), value.shape)
    known: dict[str, npt.NDArray[Any]] = {
        "count": valid.astype(np.int64),
        **dict.fromkeys(("sum", "low", "high", "first", "last", "previous", "mean"), value),
        **dict.fromkeys(("first_ms", "last_ms", "previous_ms"), stamp),
        **dict.fromkeys(("fallen", "spread", "spread_s", "together"), zero),
        **dict.fromkeys(("changes", "resets"), nothing),
    }
    if "mean_s" in fields:
        seconds = (ts - origin_ms[:, None]) / 1000
        known["mean_s"] = np.broadcast_to(seconds[:, :, None], value.shape)
    return {field: known[field] for field in fields}


def joined(parts: Sequence[Summaries]) -> Summaries:
    """Parts [h, w, k] one after another along w."""
    if len(parts) == 1:
        return parts[0]
    return {field: np.concatenate([part[field] for part in parts], axis=1) for field in parts[0]}


def merged(items: Summaries) -> Summaries:
    """Summaries [h, w, k] as one [h, k]; those with count 0 are not there."""
    count = items["count"]
    total = count.sum(axis=1, dtype=np.int64)
    valid = count > 0
    whole = bool(valid.all())
    ends = None if whole else _Ends(valid)
    result: Summaries = {"count": total}
    for field, item in items.items():
        if field in ("last", "last_ms"):
            result[field] = item[:, -1] if ends is None else ends.newest(item)
        elif field in ("first", "first_ms"):
            result[field] = item[:, 0] if ends is None else ends.oldest(item)
        elif field == "sum":
            result[field] = (item if whole else np.where(valid, item, 0.0)).sum(axis=1)
        elif field in ("low", "high"):
            extreme = np.fmin if field == "low" else np.fmax
            result[field] = extreme.reduce(item if whole else np.where(valid, item, np.nan), axis=1)
    if not {"fallen", "changes", "resets"}.isdisjoint(items):
        result.update(_crossings(items, valid, whole))
    if "previous" in items:
        result.update(_previous(items, valid))
    if "mean" in items:
        result.update(_moments(items, np.where(valid, count, 0).astype(np.float64), np.maximum(total, 1), valid))
    return result


class _Ends:
    """The oldest and the newest of summaries that are there."""

    def __init__(self, valid: BoolArray) -> None:
        self._oldest = np.argmax(valid, axis=1)[:, None]
        self._newest = valid.shape[1] - 1 - np.argmax(valid[:, ::-1], axis=1)[:, None]

    def oldest(self, item: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.take_along_axis(item, self._oldest, axis=1)[:, 0]

    def newest(self, item: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.take_along_axis(item, self._newest, axis=1)[:, 0]


def _before(valid: BoolArray) -> npt.NDArray[np.intp]:
    """[h, w, k]: place of the summary before each one that is there; -1: none."""
    order = np.arange(valid.shape[1])[None, :, None]
    upto = np.maximum.accumulate(np.where(valid, order, -1), axis=1)
    return np.concatenate([np.full_like(upto[:, :1], -1), upto[:, :-1]], axis=1)


def _crossings(items: Summaries, valid: BoolArray, whole: bool) -> Summaries:
    """Falls, resets and changes: inside the summaries, and from each one's last sample to the next one's first."""
    first = items["first"]
    if whole:
        earlier, later = items["last"][:, :-1], first[:, 1:]
        followed: BoolArray = np.ones(later.shape, dtype=np.bool_)
    else:
        before = _before(valid)
        earlier = np.take_along_axis(items["last"], np.maximum(before, 0), axis=1)
        followed, later = valid & (before >= 0), first
    fell = followed & (later < earlier)
    result: Summaries = {}
    if "fallen" in items:
        inside = items["fallen"] if whole else np.where(valid, items["fallen"], 0.0)
        result["fallen"] = inside.sum(axis=1)
        if np.count_nonzero(fell):
            result["fallen"] = result["fallen"] + np.where(fell, earlier, 0.0).sum(axis=1)
    if "resets" in items:
        result["resets"] = np.where(valid, items["resets"], 0).sum(axis=1, dtype=np.int64) + fell.sum(axis=1)
    if "changes" in items:
        changed = followed & (later != earlier) & ~(np.isnan(later) & np.isnan(earlier))
        result["changes"] = np.where(valid, items["changes"], 0).sum(axis=1, dtype=np.int64) + changed.sum(axis=1)
    return result


def _previous(items: Summaries, valid: BoolArray) -> Summaries:
    """The last sample but one."""
    newest = valid.shape[1] - 1 - np.argmax(valid[:, ::-1], axis=1)[:, None]
    before = np.maximum(np.take_along_axis(_before(valid), newest, axis=1), 0)
    alone = np.take_along_axis(items["count"], newest, axis=1)[:, 0] < 2
    result: Summaries = {}
    for field, last in (("previous", "last"), ("previous_ms", "last_ms")):
        own = np.take_along_axis(items[field], newest, axis=1)[:, 0]
        result[field] = np.where(alone, np.take_along_axis(items[last], before, axis=1)[:, 0], own)
    return result


def _moments(items: Summaries, count: Float64Array, total: Int64Array, valid: BoolArray) -> Summaries:
    """Mean and sums of squares around it; equal values have exactly that mean and no spread."""
    result: Summaries = {}
    apart: dict[str, Float64Array] = {}
    for field in ("mean", "mean_s"):
        if field not in items:
            continue
        item = np.where(valid, items[field], 0.0)
        start = np.take_along_axis(item, np.argmax(valid, axis=1)[:, None], axis=1)
        mean = start[:, 0] + (count * np.where(valid, item - start, 0.0)).sum(axis=1) / total
        result[field] = mean
        apart[field] = np.where(valid, item - mean[:, None], 0.0)
    for field, left, right in (
        ("spread", "mean", "mean"),
        ("spread_s", "mean_s", "mean_s"),
        ("together", "mean", "mean_s"),
    ):
        if field in items:
            inside = np.where(valid, items[field], 0.0)
            result[field] = (inside + count * apart[left] * apart[right]).sum(axis=1)
    return result
