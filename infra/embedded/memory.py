"""Resident memory of processes."""

import psutil


def resident_bytes(pid: int | None) -> int:
    """Of one process; 0 when it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss) if pid is not None else 0
    except psutil.Error:
        return 0
