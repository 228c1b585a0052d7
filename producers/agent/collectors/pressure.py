"""Pressure stall information: time in which tasks waited for a resource, in seconds."""

from producers.agent.proc import Roots
from producers.agent.samples import Samples, series

# (resource, first word of the line) → metric; "full" of cpu is always zero for the whole system
_METRICS = {
    ("cpu", "some"): "node_pressure_cpu_waiting_seconds_total",
    ("io", "some"): "node_pressure_io_waiting_seconds_total",
    ("io", "full"): "node_pressure_io_stalled_seconds_total",
    ("memory", "some"): "node_pressure_memory_waiting_seconds_total",
    ("memory", "full"): "node_pressure_memory_stalled_seconds_total",
}


def pressure(roots: Roots) -> Samples:
    """node_pressure_…_seconds_total; no data on a kernel without it."""
    samples: Samples = []
    for resource in ("cpu", "io", "memory"):
        for line in roots.read_proc(f"pressure/{resource}").splitlines():
            metric = _METRICS.get((resource, line.partition(" ")[0]))
            if metric:
                samples.append((series(metric), int(line.rpartition("total=")[2]) / 1e6))
    return samples
