"""What the simulated hosts of the fault matrix measure: a pure function of seed, host, series and time.

A host has a counter that is reset now and then, and gauges that jump; some of their values are NaN, infinite, negative
zero or the least number there is. Two callers that agree on the seed agree on every bit.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fleetpulse.metric import STALE_NAN
from fleetpulse.wire import Block, join_keys, make_block

COUNTER = "faults_requests_total"
GAUGE = "faults_gauge"
LOADS = ("node_load1", "node_load5", "node_load15")  # which the host dashboard shows
RESET_SECONDS = 37
_MASK = (1 << 64) - 1
_ODD = (math.nan, STALE_NAN, math.inf, -0.0, 5e-324)
_ODD_EVERY, _TICK_MS = 11, 250  # so that two infinities never follow each other


@dataclass(frozen=True, slots=True)
class Step:
    """One scrape of all hosts at `ts` (ms). `bump` is added to the finite values: the same time, another value."""

    ts: int
    bump: int = 0


@dataclass(frozen=True)
class Hosts:
    """`count` hosts named `<prefix>-0000` and so on, with `series` series each; `skews` are wrong clocks, in ms."""

    prefix: str
    count: int
    series: int
    seed: int
    skews: Sequence[int] = field(default=())

    @property
    def names(self) -> list[str]:
        return [f"{self.prefix}-{number:04}" for number in range(self.count)]

    @property
    def keys(self) -> list[tuple[str, dict[str, str]]]:
        """(metric, own labels) of each series."""
        gauges = ((GAUGE, {"n": f"{number:02}"}) for number in range(self.series))
        return [(COUNTER, {}), *((name, {}) for name in LOADS), *gauges][: self.series]

    def time_of(self, host: int, ts: int) -> int:
        """What the host's clock says at that time."""
        return ts + self.skews[host % len(self.skews)] if self.skews else ts

    def value(self, host: int, series: int, ts: int, bump: int = 0) -> float:
        """The value of one series at one time of the host's own clock."""
        if series == 0:
            second = ts // 1000
            return float((second + host) % RESET_SECONDS * (host % 7 + 1) + bump)
        mixed = _mix(((self.seed * 1_000_003 + host) * 1_000_003 + series) * 1_000_003 + ts)
        if series > len(LOADS) and (ts // _TICK_MS + host + series) % _ODD_EVERY == 0:
            return _ODD[mixed % len(_ODD)]
        scale = 10.0 ** (series % 5 - 2)
        return (mixed >> 11) * 2.0**-53 * scale + bump

    def values(self, host: int, ts: int, bump: int = 0) -> list[float]:
        """One value a series."""
        return [self.value(host, series, ts, bump) for series in range(self.series)]

    def blocks(self, step: Step, hosts: Iterable[int] | None = None) -> Iterator[Block]:
        """What the hosts send at a step."""
        series = join_keys(name + _labels(labels) for name, labels in self.keys)
        names = self.names
        for host in range(self.count) if hosts is None else hosts:
            ts = self.time_of(host, step.ts)
            common = {"instance": names[host], "job": "faults"}
            yield make_block(names[host], common, series, ts, self.values(host, ts, step.bump))


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""


def _mix(number: int) -> int:
    """splitmix64's finaliser, https://prng.di.unimi.it/splitmix64.c"""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
