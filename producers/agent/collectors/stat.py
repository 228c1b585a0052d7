"""Kernel activity and boot time, from /proc/stat."""

from producers.agent.proc import Roots
from producers.agent.samples import Samples, series

_NAMES = {
    "intr": "node_intr_total",
    "ctxt": "node_context_switches_total",
    "btime": "node_boot_time_seconds",
    "processes": "node_forks_total",
    "procs_running": "node_procs_running",
    "procs_blocked": "node_procs_blocked",
}


def stat(roots: Roots) -> Samples:
    """Interrupts, context switches, forks, running and blocked processes, boot time in Unix seconds."""
    samples: Samples = []
    for line in roots.read_proc("stat").splitlines():
        field, _, rest = line.partition(" ")
        if field in _NAMES:
            samples.append((series(_NAMES[field]), float(rest.partition(" ")[0])))
    return samples
