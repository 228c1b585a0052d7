"""The stream that every benchmark sends: many hosts made of one recording. Pure: tick in, values and names out.

A host is a mix of two replays of different length, each from a place of its own, in a proportion of its own, scaled
and busy in its own way: no host is a shifted copy of another and none repeats itself, which would let a store look
better than it is. Some series are replaced by new ones as time goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.recorded import Float64Array, Recording, rounded
from fleetpulse.metric import canonical_key, parse_key

HOUR_SECONDS = 3600
REPLACED_AN_HOUR = 0.01
# What the shipped rules read; a host with few series has these first, and none of them is ever replaced.
_FIRST = (
    "node_cpu_seconds_total",
    "node_memory_MemTotal_bytes",
    "node_memory_MemAvailable_bytes",
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
    "node_filesystem_files",
    "node_disk_io_time_seconds_total",
    "node_network_receive_bytes_total",
    "node_network_receive_errs_total",
    "node_network_transmit_bytes_total",
    "node_network_transmit_errs_total",
    "node_load1",
)
# Scaled values of these would make no sense: a second is a second on every host.
_UNSCALED = ("_seconds", "_seconds_total", "_ratio", "_hertz", "_status", "_success", "up", "_readonly", "_error")
_SHORTER = 11
_SCALES = (0.25, 0.5, 1.0, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a stream is like. `noise`: random doubles in the place of the recording.

    `leave_out`: no series whose names begin so.
    """

    hosts: int
    series_per_host: int
    interval_seconds: float = 10.0
    noise: bool = False
    seed: int = 1
    replaced_an_hour: float = REPLACED_AN_HOUR
    leave_out: tuple[str, ...] = ()

    @property
    def series(self) -> int:
        """Series at any one time."""
        return self.hosts * self.series_per_host


class _Voice(NamedTuple):
    """A replay without end: every host at its own place, counters going on where they were."""

    recorded: Float64Array
    rise: Float64Array
    phase: npt.NDArray[np.int64]

    def values(self, tick: int) -> Float64Array:
        """float64[hosts, series]."""
        replay, at = np.divmod(tick + self.phase, len(self.recorded))
        return self.recorded[at] + replay[:, None] * self.rise


class Stream:
    """`values` and `names` of every host at a tick; ticks are taken in order, because names change."""

    def __init__(self, recording: Recording, shape: Shape) -> None:
        self.shape = shape
        kept = [place for place, key in enumerate(recording.keys) if not key.startswith(tuple(shape.leave_out))]
        recording = recording.pick(kept)
        self._recording = recording.pick(choose(recording.keys, shape.series_per_host))
        self.keys: list[str] = self._recording.keys
        self.hosts = [f"bench-{number:06}" for number in range(shape.hosts)]
        self._random = np.random.default_rng(shape.seed)
        self._voices = [self._voice(recording.ticks - less) for less in (0, _SHORTER)]
        self._varies = (self._recording.values != self._recording.values[0]).any(axis=0)
        self._weight = self._random.uniform(0.2, 0.8, (shape.hosts, 1))
        self._quanta = self._recording.quanta()
        self._scale = self._scales()
        self._busy = self._random.uniform(0.05, 0.6, shape.hosts)
        self._cpus = _by_cpu(self.keys)
        self._loads = [place for place, key in enumerate(self.keys) if key.startswith("node_load")]
        self._fixed = min(sum(key.startswith(_FIRST) for key in self.keys), shape.series_per_host - 1)
        self._own: dict[int, dict[int, str]] = {}  # host → slot → the key that replaced the recorded one
        self._replaced = 0

    def values(self, tick: int) -> Float64Array:
        """float64[hosts, series_per_host] of this tick."""
        shape = self.shape
        if shape.noise:
            noise = np.random.default_rng((shape.seed, tick))
            return noise.standard_normal((shape.hosts, shape.series_per_host))
        first, second = (voice.values(tick) for voice in self._voices)
        values = np.where(self._varies, self._weight * first + (1.0 - self._weight) * second, first)
        self._share_cpu(values)
        values *= self._scale
        return rounded(values, self._quanta)

    def replace(self, tick: int) -> list[int]:
        """Replace the series whose time has come by this tick; the hosts whose names changed."""
        shape = self.shape
        hours = tick * shape.interval_seconds / HOUR_SECONDS
        due = int(hours * shape.replaced_an_hour * shape.series)
        changed = set()
        for number in range(self._replaced, due):
            host = number * 7919 % shape.hosts
            slot = self._fixed + number // shape.hosts % (shape.series_per_host - self._fixed)
            name, labels = parse_key(self.keys[slot])
            self._own.setdefault(host, {})[slot] = canonical_key(name, labels | {"replacement": str(number)})
            changed.add(host)
        self._replaced = max(self._replaced, due)
        return sorted(changed)

    @property
    def replaced(self) -> int:
        """Series that were replaced so far."""
        return self._replaced

    def names(self, host: int) -> list[str]:
        """The host's series keys now, in the order of `values`, without instance and job."""
        own = self._own.get(host)
        if not own:
            return self.keys
        return [own.get(slot, key) for slot, key in enumerate(self.keys)]

    def common(self, host: int) -> dict[str, str]:
        """The labels that all series of a host share."""
        return {"instance": self.hosts[host], "job": "node"}

    def _voice(self, ticks: int) -> "_Voice":
        part = self._recording.first(ticks)
        return _Voice(part.values, part.rise(), self._random.integers(0, ticks, self.shape.hosts))

    def _scales(self) -> Float64Array:
        sizes = self._random.choice(_SCALES, self.shape.hosts)
        small = (np.abs(self._recording.values) <= 16).all(axis=0)
        steady = [key.partition("{")[0].endswith(_UNSCALED) for key in self.keys]
        return np.where(np.array(steady) | small, 1.0, sizes[:, None])

    def _share_cpu(self, values: Float64Array) -> None:
        """Give back to `idle` what this host uses less than the recorded one, whose cores were rarely idle."""
        for idle, busy in self._cpus:
            used = values[:, busy]
            kept = used * self._busy[:, None]
            values[:, idle] += (used - kept).sum(axis=1)
            values[:, busy] = kept
        values[:, self._loads] *= self._busy[:, None]


def choose(keys: list[str], count: int) -> list[int]:
    """The places of `count` series: what the rules read first, then evenly from the rest."""
    first = [place for place, key in enumerate(keys) if key.startswith(_FIRST)]
    rest = [place for place, key in enumerate(keys) if not key.startswith(_FIRST)]
    if count > len(keys):
        raise ValueError(f"the recording has {len(keys)} series, a host cannot have {count}")
    if count <= len(first):
        return first[:count]
    wanted = count - len(first)
    return first + [rest[number * len(rest) // wanted] for number in range(wanted)]


def _by_cpu(keys: list[str]) -> list[tuple[int, list[int]]]:
    """Of every core: the place of its idle counter, and those of its other modes."""
    cores: dict[str, dict[str, int]] = {}
    for place, key in enumerate(keys):
        if key.startswith("node_cpu_seconds_total{"):
            _, labels = parse_key(key)
            cores.setdefault(labels["cpu"], {})[labels["mode"]] = place
    return [(modes.pop("idle"), list(modes.values())) for modes in cores.values() if "idle" in modes]


def ticks_of(shape: Shape, samples: int) -> int:
    """How many ticks give at least so many samples."""
    return max(2, -(-samples // shape.series))


def evenly(total: int, most: int) -> Iterator[range]:
    """0…total in ranges of at most `most`."""
    for begin in range(0, total, most):
        yield range(begin, min(total, begin + most))
