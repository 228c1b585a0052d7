"""The machine that a figure was measured on; no figure is worth anything without it."""

import os
import platform
import time
from pathlib import Path
from typing import Any

from fleetpulse import __version__


def machine() -> dict[str, Any]:
    """Processor, cores, memory, kernel, Python, and the load of the last minutes."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "fleetpulse": __version__,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "load": load(),
    }


def load() -> list[float]:
    """The load average over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def in_one_line(facts: dict[str, Any]) -> str:
    """For the head of a table."""
    gib = facts["memory_bytes"] / 2**30
    loads = " ".join(map(str, facts["load"]))
    return f"{facts['cpu']}, {facts['cores']} cores, {gib:.0f} GiB, load {loads} when it began"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
