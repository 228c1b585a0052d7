"""What the machine must have, checked before anything is downloaded; each failure is a sentence with its remedy."""

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

GIB = 1024**3
LEAST_GLIBC = (2, 28)  # of the wheels in the lock
LEAST_MACOS = (12, 0)
LEAST_MEMORY_BYTES = 2 * GIB
PLATFORMS = {("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")}


@dataclass(frozen=True, slots=True)
class Machine:
    """What the checks look at. `libc` is glibc's version, None where the C library is another one."""

    python: str
    python_version: str
    has_venv: bool
    is_64_bit: bool
    system: str
    machine: str
    libc: tuple[int, ...] | None
    macos: tuple[int, ...]
    free_disk_bytes: int
    memory_bytes: int | None


def this_machine(folder: Path) -> Machine:
    """Look at this machine, and at the disk that `folder` is on."""
    return Machine(
        python=sys.executable,
        python_version=f"{sys.version_info[0]}.{sys.version_info[1]}",
        has_venv=all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
        is_64_bit=sys.maxsize > 2**32,
        system=sys.platform,
        machine=platform.machine(),
        libc=_glibc() if sys.platform == "linux" else None,
        macos=_numbers(platform.mac_ver()[0]),
        free_disk_bytes=shutil.disk_usage(folder).free,
        memory_bytes=_memory_bytes(),
    )


def problems(machine: Machine, needed_disk_bytes: int) -> list[str]:
    """A sentence for each thing that would make the set-up fail; empty when it can begin."""
    found = [_platform_problem(machine)]
    if not machine.has_venv:
        found.append(
            f"{machine.python} has no venv module: install it (Debian and Ubuntu: "
            f"`apt-get install python{machine.python_version}-venv`) and run make again."
        )
    if machine.free_disk_bytes < needed_disk_bytes:
        found.append(
            f"The set-up needs {needed_disk_bytes / GIB:.1f} GiB of free disk and there are "
            f"{machine.free_disk_bytes / GIB:.1f} GiB: free some, or clone to a larger disk."
        )
    if machine.memory_bytes is not None and machine.memory_bytes < LEAST_MEMORY_BYTES:
        found.append(
            f"Kafka, ClickHouse and the page's build need {LEAST_MEMORY_BYTES / GIB:.0f} GiB of memory and this "
            f"machine has {machine.memory_bytes / GIB:.1f} GiB: use a larger one, or raise the container's limit."
        )
    return [sentence for sentence in found if sentence]


def _platform_problem(machine: Machine) -> str | None:
    remedy = "use Linux with glibc (x86_64 or aarch64) or macOS on Apple silicon, for instance in a Debian container."
    if not machine.is_64_bit:
        return f"{machine.python} is a 32-bit Python and Fleetpulse's servers are 64-bit: install a 64-bit Python."
    if (machine.system, machine.machine) not in PLATFORMS:
        return f"ClickHouse and Java have no package for {machine.system} on {machine.machine}: {remedy}"
    if machine.system == "darwin":
        if machine.macos < LEAST_MACOS:
            return f"Fleetpulse needs macOS {_dotted(LEAST_MACOS)} and this is {_dotted(machine.macos)}: update macOS."
        return None
    if machine.libc is None:
        return f"This Linux has musl or another C library and ClickHouse's package needs glibc: {remedy}"
    if machine.libc < LEAST_GLIBC:
        return f"Fleetpulse needs glibc {_dotted(LEAST_GLIBC)} and this is {_dotted(machine.libc)}: use a newer Linux."
    return None


def _glibc() -> tuple[int, ...] | None:
    """glibc's version; musl does not know this name."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return None
    return _numbers(version) if name == "glibc" else None


def _memory_bytes() -> int | None:
    """Physical memory, or the container's limit where that is less; None when the system does not say."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    limits = [total]
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
