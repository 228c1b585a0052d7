"""One child process in a process group of its own, with its output in a log file."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fleetpulse.settings import PREFIX
from infra.embedded.guard import Guard

MOST_LOG_BYTES = 50_000_000


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: arguments, working directory, the FLEETPULSE_… variables and the log file."""

    name: str
    arguments: tuple[str, ...]
    log_file: Path
    working_directory: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """A started command. Ctrl-C of the terminal does not reach it, and the guard ends it if we are killed."""

    def __init__(self, command: Command, guard: Guard) -> None:
        self.command = command
        self.started_at = time.monotonic()
        self._guard = guard
        with command.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=command.working_directory,
                env={**_inherited_environment(), **command.environment},
                process_group=0,
            )
        guard.watch(self.pid)
        self._guarded = True

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def pid(self) -> int:
        return self.process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        code = self.process.poll()
        if code is not None:
            self._forget()
        return code

    def terminate(self) -> None:
        """Ask it to end; the process itself, so that it decides what happens to its own children."""
        if self.process.poll() is None:
            self.process.terminate()

    def stop(self, within: float) -> bool:
        """End it by SIGTERM, after ``within`` seconds by SIGKILL; True when SIGTERM was enough."""
        self.terminate()
        try:
            self.process.wait(max(within, 0.0))
            gentle = True
        except subprocess.TimeoutExpired:
            gentle = False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # the group: what the process left behind goes with it
        self.process.wait()
        self._forget()
        return gentle

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would."""
        self.process.kill()
        self.process.wait()
        self._forget()

    def _forget(self) -> None:
        if self._guarded:
            self._guard.forget(self.pid)
            self._guarded = False


def _inherited_environment() -> dict[str, str]:
    """The environment without our settings: those of a child are given, never inherited."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}


def tail(path: Path, lines: int = 10) -> str:
    """The last lines of a log file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            return b"\n".join(file.read().splitlines()[-lines:]).decode(errors="replace")
    except OSError:
        return ""


def keep_bounded(path: Path, most_bytes: int = MOST_LOG_BYTES) -> None:
    """Move a log that has grown too long to ``NAME.log.1`` and go on in the same, emptied file.

    The writer appends and keeps its descriptor, so the file is copied and truncated, not renamed.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size > most_bytes:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)
