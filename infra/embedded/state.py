"""What runs in a data folder: the lock that one `up` holds, the state it writes, the settings it leaves for others."""

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from fleetpulse.errors import FatalError
from infra.embedded.folder import DataFolder

LEFTOVERS_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process of the run; `create_time` tells its pid from a later process with the same number."""

    name: str
    state: str
    pid: int | None
    create_time: float
    address: str
    self_url: str
    restarts: int
    last_exit: str

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.pid is not None and _alive(self.pid, self.create_time)


@dataclass(frozen=True, slots=True)
class RunState:
    """The content of ``run/state.json``."""

    version: str
    pid: int
    create_time: float
    started_ms: int
    addresses: Mapping[str, str]
    guard_pid: int
    guard_create_time: float
    processes: list[ProcessState] = field(default_factory=list)
    samples_per_second: float | None = None

    def alive(self) -> bool:
        """Whether the `up` that wrote it still runs."""
        return _alive(self.pid, self.create_time)


def create_time(pid: int | None) -> float:
    """When the process was started, Unix seconds; 0 when it is gone."""
    try:
        return psutil.Process(pid).create_time() if pid is not None else 0.0
    except psutil.Error:
        return 0.0


def own(folder: DataFolder) -> IO[bytes]:
    """Lock the folder for this process's life; raises FatalError naming the `up` that has it."""
    lock = folder.lock_file.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        state = read(folder)
        by = f" (pid {state.pid})" if state is not None else ""
        raise FatalError(
            f"Fleetpulse already runs on {folder.root}{by}; `fleetpulse status` shows it. "
            "Another folder: --data-dir FOLDER --ports auto"
        ) from None
    return lock


def is_owned(folder: DataFolder) -> bool:
    """Whether an `up` runs on the folder."""
    try:
        with folder.lock_file.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def wait_for_leftovers(folder: DataFolder) -> None:
    """Wait for the children of an `up` that was killed: their guard is ending them. Raises FatalError naming them."""
    state = read(folder)
    if state is None:
        return
    deadline = time.monotonic() + LEFTOVERS_SECONDS
    while left := _left(state):
        if time.monotonic() > deadline:
            names = ", ".join(left)
            raise FatalError(f"processes of an earlier run on {folder.root} are still there: {names}; end them first")
        time.sleep(0.2)


def _left(state: RunState) -> list[str]:
    left = [f"{one.name} (pid {one.pid})" for one in state.processes if one.alive()]
    if _alive(state.guard_pid, state.guard_create_time):  # it removes files of the old run when it is done
        left.append(f"guard (pid {state.guard_pid})")
    return left


def read(folder: DataFolder) -> RunState | None:
    """The state last written; None when there is none or it cannot be understood."""
    try:
        values: dict[str, Any] = json.loads(folder.state_file.read_text())
        processes = [ProcessState(**process) for process in values.pop("processes")]
        return RunState(**values, processes=processes)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(folder: DataFolder, state: RunState) -> None:
    """Replace the state file."""
    _replace(folder.state_file, json.dumps(asdict(state), indent=1))


def write_env(folder: DataFolder, values: Mapping[str, str]) -> None:
    """Replace the settings that other commands on this folder read; must hold no secret."""
    lines = "".join(f"{name}={value}\n" for name, value in values.items())
    _replace(folder.env_file, f"# Written by `fleetpulse up`, removed when it stops.\n{lines}")


def remove(folder: DataFolder) -> None:
    """Remove state and settings of the run that ended."""
    folder.state_file.unlink(missing_ok=True)
    folder.env_file.unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    scratch.write_text(text)
    scratch.replace(path)


def _alive(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
