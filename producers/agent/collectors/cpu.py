"""CPU time by core and mode, in seconds since boot; user time includes guest time, as the kernel counts it."""

import psutil

from producers.agent.proc import Roots
from producers.agent.samples import Samples, series

_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_GUEST = (("user", "guest"), ("nice", "guest_nice"))


def cpu(roots: Roots) -> Samples:
    """node_cpu_seconds_total{cpu,mode} and node_cpu_guest_seconds_total{cpu,mode}."""
    psutil.PROCFS_PATH = roots.proc
    samples: Samples = []
    for number, times in enumerate(psutil.cpu_times(percpu=True)):
        core = str(number)
        for mode in _MODES:
            samples.append((series("node_cpu_seconds_total", cpu=core, mode=mode), getattr(times, mode)))
        for mode, field in _GUEST:
            samples.append((series("node_cpu_guest_seconds_total", cpu=core, mode=mode), getattr(times, field)))
    return samples
