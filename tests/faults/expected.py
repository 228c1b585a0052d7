"""What must be visible in the end, by the generator alone: raw samples, and rollups of a minute or an hour."""

import math
import struct
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tests.faults.generator import Hosts, Step

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
KEY_SHIFT = 44  # a time in ms has 41 bits


class Samples(NamedTuple):
    """`key` int64[n]: place of the series · 2^44 + time in ms, ascending; `bits` uint64[n]: the value's."""

    key: npt.NDArray[np.int64]
    bits: npt.NDArray[np.uint64]


class Rollup(NamedTuple):
    """One finished bucket; `size` is Σ|x|, which says how far sums in another order may be apart."""

    samples: int
    sum: float
    min: float
    max: float
    first: float
    last: float
    increase: float
    size: float


class Expected:
    """Grows with every step that was sent; the place of a series is host · series + series."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self.refused = 0  # samples that nobody may store
        self._rows: dict[int, dict[int, list[float]]] = {}  # host → time → a value a series

    def add(self, steps: Iterable[Step], earliest_ms: float = -math.inf, latest_ms: float = math.inf) -> None:
        """Everything of these steps; what a host stamps outside [`earliest_ms`, `latest_ms`] is refused."""
        for step in steps:
            for host in range(self.hosts.count):
                ts = self.hosts.time_of(host, step.ts)
                if not earliest_ms <= ts <= latest_ms:
                    self.refused += self.hosts.series
                    continue
                values = self.hosts.values(host, ts, step.bump)
                rows = self._rows.setdefault(host, {})
                old = rows.get(ts, values)
                rows[ts] = [larger(one, other) for one, other in zip(old, values, strict=True)]

    def forget(self, host: int, ts: int) -> None:
        """That host's samples of that time were given up, and its producer said so."""
        del self._rows[host][ts]

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows.values()) * self.hosts.series

    @property
    def range_ms(self) -> tuple[int, int]:
        """The first and the last time."""
        times = [ts for rows in self._rows.values() for ts in rows]
        return min(times), max(times)

    def samples(self) -> Samples:
        """Every sample."""
        keys, bits = [], bytearray()
        for host, rows in self._rows.items():
            for ts, values in rows.items():
                keys += [(host * self.hosts.series + series << KEY_SHIFT) + ts for series in range(self.hosts.series)]
                bits += struct.pack(f"<{len(values)}d", *values)
        key = np.array(keys, dtype=np.int64)
        order = np.argsort(key)
        return Samples(key[order], np.frombuffer(bytes(bits), dtype="<u8")[order])

    def series(self, host: int, series: int) -> list[tuple[int, float]]:
        """(time in ms, value) of one series, by time."""
        return [(ts, values[series]) for ts, values in sorted(self._rows.get(host, {}).items())]

    def rollups(self, bucket_ms: int = MINUTE_MS) -> dict[tuple[int, int], Rollup]:
        """(place of the series, start of the bucket in ms) → what its rollup must be; none where all is NaN."""
        return dict(self._rollups(bucket_ms))

    def _rollups(self, bucket_ms: int) -> Iterator[tuple[tuple[int, int], Rollup]]:
        for host, rows in self._rows.items():
            buckets: dict[int, list[list[float]]] = {}
            for ts, values in sorted(rows.items()):
                buckets.setdefault(ts // bucket_ms * bucket_ms, []).append(values)
            for start, rows_of_bucket in buckets.items():
                for series, column in enumerate(zip(*rows_of_bucket, strict=True)):
                    numbers = [value for value in column if not math.isnan(value)]
                    if numbers:
                        yield (host * self.hosts.series + series, start), rollup_of(numbers)


def rollup_of(numbers: list[float]) -> Rollup:
    """The definition, in plain Python: a counter that falls was reset, and counts from zero."""
    return Rollup(
        len(numbers),
        sum(numbers),
        min(numbers),
        max(numbers),
        numbers[0],
        numbers[-1],
        sum(b - a if b >= a else b for a, b in pairwise(numbers)),
        sum(map(abs, numbers)),
    )


def larger(one: float, other: float) -> float:
    """Of two values for one time the larger stays; NaN ranks highest."""
    if math.isnan(one):
        return one
    return other if math.isnan(other) or other > one else one
