"""The simulated hosts: the value of every series as a function of seed, host and time, without memory in between."""

from dataclasses import dataclass
from random import Random

from fleetpulse.metric import host_of
from fleetpulse.wire import Block, join_keys, make_block
from producers.simulator.incident import Incident, busy_override, silent_from
from producers.simulator.layout import MODES, Kind, Series, cores_in, layout
from producers.simulator.walk import MASK, PERIOD, running_sum, walk

ORIGIN_S = 1_767_225_600  # 2026-01-01: the hosts booted in the weeks before
SPIKE_BUSY = 0.995
_SWAY = 0.5
_TABLES = 8
# How a core's busy time is divided; idle is the rest.
_SHARES = {
    "user": 0.62,
    "system": 0.25,
    "iowait": 0.06,
    "softirq": 0.03,
    "nice": 0.02,
    "irq": 0.005,
    "steal": 0.015,
}
_CORE_SHARES = tuple(_SHARES[mode] for mode in MODES[1:])
_USER = MODES.index("user")


@dataclass(frozen=True, slots=True)
class Host:
    """What is a host's own: its name, size, usual utilisation, boot time, and where it reads the tables."""

    common: dict[str, str]
    size: float
    busy: float
    boot_s: int
    offset: int
    spike: tuple[int, float] | None
    silent_from_s: float


class Fleet:
    """`hosts` hosts with `metrics` series each."""

    def __init__(self, hosts: int, metrics: int, seed: int, incidents: list[Incident] | None = None) -> None:
        random = Random(f"{seed}")
        self._walks = [walk(random) for _ in range(_TABLES)]
        self._sums = [running_sum(table) for table in self._walks]
        series = layout(metrics)
        self._cores = cores_in(series)
        self._cpu = [one for one in series if one.kind is Kind.CPU]
        self._loads = [one for one in series if one.kind is Kind.LOAD]
        self._fixed = [one for one in series if one.kind is Kind.FIXED]
        self._moving = [self._terms(one, random) for one in series if one.kind in (Kind.COUNTER, Kind.GAUGE)]
        self._series = join_keys(one.key for one in series)
        width = max(4, len(str(hosts)))
        self.hosts = [_host(f"sim-{number + 1:0{width}}", number, seed, incidents or []) for number in range(hosts)]
        self.metrics = metrics

    def block(self, host: Host, at_s: int) -> Block | None:
        """The host's samples at a second, or None when it is silent by then."""
        if at_s >= host.silent_from_s:
            return None
        return make_block(host_of(host.common), host.common, self._series, at_s * 1000, self.values(host, at_s))

    def values(self, host: Host, at_s: int) -> list[float]:
        """One value a series, in the layout's order."""
        uptime = at_s - host.boot_s
        second = at_s + host.offset
        values: list[float] = []
        self._add_cpu(values, host, at_s, uptime)
        level = self._cores * self._busy_now(host, at_s)
        values.extend([level * 1.1 * 100 // 1 / 100] * len(self._loads))
        values.extend([_fixed_value(one, host, at_s) for one in self._fixed])
        size = host.size
        values.extend(
            [
                size * (level + rate * uptime + sway * table[(second + offset) & MASK]) // quantum * quantum
                for level, rate, sway, table, offset, quantum in self._moving
            ]
        )
        return values

    def _terms(self, one: Series, random: Random) -> tuple[float, float, float, list[float], int, float]:
        tables, sway = (self._sums, one.rate * one.sway) if one.kind is Kind.COUNTER else (self._walks, one.sway)
        # a counter starts above zero, so that the running sum never takes it below
        level = one.rate * PERIOD if one.kind is Kind.COUNTER else one.level
        return level, one.rate, sway, tables[random.randrange(_TABLES)], random.randrange(PERIOD), one.quantum

    def _add_cpu(self, values: list[float], host: Host, at_s: int, uptime: int) -> None:
        needed = len(self._cpu)
        core = 0
        while needed > 0:
            usual, spike = self._busy_seconds(host, at_s, core)
            times = [uptime + PERIOD - usual - spike, *(usual * share for share in _CORE_SHARES)]
            times[_USER] += spike
            values.extend([seconds * 100 // 1 / 100 for seconds in times[:needed]])
            needed -= len(times)
            core += 1

    def _busy_seconds(self, host: Host, at_s: int, core: int) -> tuple[float, float]:
        """CPU time that a core was busy up to a second: as usual, and in a spike that takes the place of the usual."""
        usual = self._usual_seconds(host, at_s, core)
        if host.spike is None or at_s <= host.spike[0]:
            return usual, 0.0
        begin, end = host.spike
        until = int(min(at_s, end))
        replaced = self._usual_seconds(host, until, core) - self._usual_seconds(host, begin, core)
        return usual - replaced, SPIKE_BUSY * (until - begin)

    def _usual_seconds(self, host: Host, at_s: int, core: int) -> float:
        sway = self._sums[core % _TABLES][(at_s + host.offset) & MASK]
        return host.busy * (at_s - host.boot_s + PERIOD + _SWAY * sway)

    def _busy_now(self, host: Host, at_s: int) -> float:
        if host.spike and host.spike[0] < at_s <= host.spike[1]:
            return 2.5
        return host.busy * (1 + _SWAY * self._walks[0][(at_s + host.offset) & MASK])


def _fixed_value(one: Series, host: Host, at_s: int) -> float:
    if one.key == "node_time_seconds":
        return float(at_s)
    return float(host.boot_s) if one.key == "node_boot_time_seconds" else one.level


def _host(name: str, number: int, seed: int, incidents: list[Incident]) -> Host:
    random = Random(f"{seed}:{number}")
    return Host(
        common={"instance": name, "job": "node", "simulated": "true"},
        size=random.choice((0.25, 0.5, 1.0, 1.0, 2.0, 4.0)),
        busy=random.uniform(0.03, 0.35),
        boot_s=ORIGIN_S - random.randrange(60 * 86400),
        offset=random.randrange(PERIOD),
        spike=busy_override(incidents, number),
        silent_from_s=silent_from(incidents, number),
    )
