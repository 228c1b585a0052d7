"""Quantiles of the hour's exponential histogram, as SQL. The buckets: `recompute.py`."""

from fleetpulse.storage.recompute import INFINITE_BUCKET

# A quantile is the value at rank ceil(level * count) of the sorted numbers; from a histogram it is at most this far
# from that value, relative to it.
RELATIVE_ERROR = 1 / 17


def quantile(level: str, histogram: str, count: str, least: str, most: str) -> str:
    """SQL of the value at a rank: the middle of its bucket in the relative sense, and never outside the numbers."""
    return (
        f"arrayMap(k -> least(greatest({_middle('k')}, {least}), {most}), "
        f"[mapKeys({histogram})[arrayFirstIndex(upto -> upto >= greatest(1, ceil({level} * {count})), "
        f"arrayCumSum(mapValues({histogram})))]])[1]"
    )


def exact_quantile(level: str, values: str) -> str:
    """SQL of the same of an array of numbers."""
    return f"arraySort({values})[toUInt64(greatest(1, ceil({level} * length({values}))))]"


def _middle(key: str) -> str:
    low = f"reinterpretAsFloat64(bitShiftLeft(toUInt64(abs({key})), 49))"
    high = f"reinterpretAsFloat64(bitShiftLeft(toUInt64(abs({key}) + 1), 49))"
    return (
        f"multiIf({key} = 0, 0., {key} = {INFINITE_BUCKET}, inf, {key} = -{INFINITE_BUCKET}, -inf, sign({key}) * "
        f"if(abs({key}) = {INFINITE_BUCKET - 1}, {low}, {low} / (1 + {low} / {high}) * 2))"
    )
