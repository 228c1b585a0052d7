"""Which series a simulated host has, under node_exporter's names, and how each moves."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from fleetpulse.metric import canonical_key

MODES = ("idle", "user", "system", "iowait", "softirq", "nice", "irq", "steal")
GIB = float(2**30)
PAGE = 4096.0
SWAY = 0.5  # by how much of itself a counter's rate goes up and down
Labels = Mapping[str, str]
NONE: Labels = {}


class Kind(Enum):
    """Where the value comes from; `fleet.py` has one rule for each."""

    CPU = "cpu"  # seconds of one core in one mode
    LOAD = "load"
    FIXED = "fixed"  # up, clock, boot time, and what is the same on every host
    COUNTER = "counter"  # level + rate · (t + sway · the walk's running sum)
    GAUGE = "gauge"  # level + sway · the walk


@dataclass(frozen=True, slots=True)
class Series:
    """One series. `level`, `rate` (a second) and `sway` are of a host of size 1; `quantum` is the smallest step."""

    key: str
    kind: Kind
    level: float = 0.0
    rate: float = 0.0
    sway: float = 0.0
    quantum: float = 1.0


def layout(count: int) -> list[Series]:
    """The `count` most telling series, grouped by kind; more cores are added until there are enough."""
    series = [*_core(0), *_core(1), *_FIRST, *_REST]
    core = 2
    while len(series) < count:
        series += _core(core)
        core += 1
    order = list(Kind)
    return sorted(series[:count], key=lambda one: order.index(one.kind))


def cores_in(series: list[Series]) -> int:
    """How many cores the layout shows."""
    return sum('mode="idle"' in one.key for one in series)


def _core(number: int) -> list[Series]:
    name = "node_cpu_seconds_total"
    return [Series(canonical_key(name, {"cpu": str(number), "mode": mode}), Kind.CPU) for mode in MODES]


def _fixed(name: str, level: float = 0.0) -> Series:
    return Series(name, Kind.FIXED, level)


def _gauge(name: str, level: float, sway: float = 0.0, quantum: float = 1.0, labels: Labels = NONE) -> Series:
    return Series(canonical_key(name, labels), Kind.GAUGE, level, 0.0, sway, quantum)


def _counter(name: str, rate: float, quantum: float = 1.0, labels: Labels = NONE) -> Series:
    return Series(canonical_key(name, labels), Kind.COUNTER, 0.0, rate, SWAY, quantum)


def _memory(field: str, gib: float, sway_gib: float = 0.0) -> Series:
    return _gauge(f"node_memory_{field}_bytes", gib * GIB, sway_gib * GIB, PAGE)


def _filesystem(device: str, mountpoint: str, gib: float, used: float) -> list[Series]:
    labels = {"device": device, "mountpoint": mountpoint, "fstype": "ext4"}
    free = gib * (1 - used)
    return [
        _gauge("node_filesystem_size_bytes", gib * GIB, 0.0, PAGE, labels),
        _gauge("node_filesystem_avail_bytes", free * 0.95 * GIB, free * 0.03 * GIB, PAGE, labels),
        _gauge("node_filesystem_free_bytes", free * GIB, free * 0.03 * GIB, PAGE, labels),
        _gauge("node_filesystem_files", gib * 65536, labels=labels),
        _gauge("node_filesystem_files_free", gib * 65536 * (1 - used / 2), gib * 500, labels=labels),
        _gauge("node_filesystem_readonly", 0.0, labels=labels),
        _gauge("node_filesystem_device_error", 0.0, labels=labels),
    ]


def _network(device: str, bytes_per_second: float) -> list[Series]:
    labels = {"device": device}
    packets = bytes_per_second / 700
    return [
        _counter("node_network_receive_bytes_total", bytes_per_second, labels=labels),
        _counter("node_network_transmit_bytes_total", bytes_per_second * 0.8, labels=labels),
        _counter("node_network_receive_packets_total", packets, labels=labels),
        _counter("node_network_transmit_packets_total", packets * 0.9, labels=labels),
        _counter("node_network_receive_errs_total", 1e-5, labels=labels),
        _counter("node_network_transmit_errs_total", 1e-5, labels=labels),
        _counter("node_network_receive_drop_total", 1e-4, labels=labels),
        _counter("node_network_transmit_drop_total", 1e-5, labels=labels),
        Series(canonical_key("node_network_up", labels), Kind.FIXED, level=1.0),
    ]


def _disk(device: str, busy: float) -> list[Series]:
    labels = {"device": device}
    return [
        _counter("node_disk_reads_completed_total", 40 * busy, labels=labels),
        _counter("node_disk_writes_completed_total", 120 * busy, labels=labels),
        _counter("node_disk_read_bytes_total", 9e5 * busy, 512.0, labels=labels),
        _counter("node_disk_written_bytes_total", 4e6 * busy, 512.0, labels=labels),
        _counter("node_disk_read_time_seconds_total", 0.05 * busy, 0.001, labels=labels),
        _counter("node_disk_write_time_seconds_total", 0.3 * busy, 0.001, labels=labels),
        # A disk is busy for at most all of the time: below 1 a second on the largest host (size 4) too.
        _counter("node_disk_io_time_seconds_total", 0.03 * busy, 0.001, labels=labels),
        _counter("node_disk_io_time_weighted_seconds_total", 0.35 * busy, 0.001, labels=labels),
        _gauge("node_disk_io_now", 1.0, 1.0, labels=labels),
    ]


# What the shipped rules read comes first, so that a short layout still has it.
_FIRST = [
    _fixed("up", 1.0),
    _fixed("node_time_seconds"),
    _fixed("node_boot_time_seconds"),
    *(Series(f"node_load{minutes}", Kind.LOAD, quantum=0.01) for minutes in (1, 5, 15)),
    _memory("MemTotal", 16),
    _memory("MemAvailable", 9, 2),
    _memory("MemFree", 3, 1.5),
    _memory("Cached", 5, 0.5),
    _memory("Buffers", 0.4, 0.05),
    *_filesystem("/dev/vda1", "/", 100, 0.45),
    *_network("eth0", 2e6),
    *_disk("vda", 1.0),
]
_REST = [
    _memory("SwapTotal", 2),
    _memory("SwapFree", 2),
    _memory("SReclaimable", 0.5, 0.1),
    _memory("Active", 6, 1),
    _memory("Inactive", 4, 0.5),
    _memory("Dirty", 0.01, 0.009),
    _counter("node_context_switches_total", 8000),
    _counter("node_intr_total", 4000),
    _counter("node_forks_total", 9),
    _gauge("node_procs_running", 2, 1),
    _gauge("node_procs_blocked", 0),
    _gauge("node_filefd_allocated", 3000, 400, 32),
    _gauge("node_filefd_maximum", 1_000_000),
    _counter("node_vmstat_pgfault", 5000),
    _counter("node_vmstat_pgmajfault", 0.4),
    _counter("node_vmstat_pgpgin", 900),
    _counter("node_vmstat_pgpgout", 4000),
    _gauge("node_vmstat_pswpin", 0),
    _gauge("node_vmstat_pswpout", 0),
    _gauge("node_vmstat_oom_kill", 0),
    _counter("node_pressure_cpu_waiting_seconds_total", 0.02, 1e-6),
    _counter("node_pressure_io_waiting_seconds_total", 0.03, 1e-6),
    _counter("node_pressure_memory_waiting_seconds_total", 0.001, 1e-6),
    *_filesystem("/dev/vdb1", "/data", 400, 0.6),
    *_disk("vdb", 2.0),
    *_network("lo", 3e5),
]
