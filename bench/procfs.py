"""CPU time and memory of whole process trees, from /proc."""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
LEAST_SECONDS = 1.0 / TICKS  # /proc knows nothing smaller
KIB = 1024
MERGES_SECONDS = 10.0  # of a store's own work after the last sample, at least, are part of its figure


def cpu_seconds(pids: Iterable[int]) -> float:
    """utime + stime of these processes, of their living descendants, and of children that have ended."""
    stats = _stats()
    below: dict[int, list[int]] = {}
    for pid, fields in stats.items():
        below.setdefault(int(fields[1]), []).append(pid)
    waiting, seen, ticks = list(pids), set[int](), 0
    while waiting:
        pid = waiting.pop()
        if pid in seen or pid not in stats:
            continue
        seen.add(pid)
        ticks += sum(map(int, stats[pid][11:15]))  # utime, stime, cutime, cstime
        waiting += below.get(pid, [])
    return ticks / TICKS


def _stats() -> dict[int, list[str]]:
    stats = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                text = Path(f"/proc/{name}/stat").read_text()
            except OSError:  # it ended
                continue
            stats[int(name)] = text[text.rindex(")") + 2 :].split()  # fields from the third, the state, on
    return stats


def resident_bytes(pid: int) -> int:
    """Memory of a process now; 0 when it is gone."""
    return _status(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """The most memory that the process ever had; 0 when it is gone."""
    return _status(pid, "VmHWM")


def reset_peak(pid: int) -> None:
    """Count the peak from now on, where the kernel lets us (proc(5), clear_refs)."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * KIB for line in lines if line.startswith(f"{field}:")), 0)


class Meter:
    """CPU seconds of named process trees since the meter was started."""

    def __init__(self, trees: dict[str, int]) -> None:
        self._trees = trees
        self._begun = {name: cpu_seconds([pid]) for name, pid in trees.items()}
        self._wall = time.monotonic()

    def read(self) -> dict[str, float]:
        """CPU seconds by name, and ``wall``."""
        spent = {name: cpu_seconds([pid]) - self._begun[name] for name, pid in self._trees.items()}
        return spent | {"wall": time.monotonic() - self._wall}


def settle(pid: int, busy: Callable[[], bool], at_least: float = 6.0, at_most: float = 90.0) -> float:
    """Wait until a server has nothing left to do: not ``busy()`` and under a tenth of a core, three seconds long.

    Returns the seconds waited; gives up after ``at_most``, because a machine may never be quiet.
    """
    begun, quiet = time.monotonic(), 0
    while True:
        before = cpu_seconds([pid])
        time.sleep(1.0)
        quiet = 0 if busy() or cpu_seconds([pid]) - before > 0.1 else quiet + 1
        waited = time.monotonic() - begun
        if waited > at_most or (quiet >= min(3, at_least) and waited >= at_least):
            return waited
