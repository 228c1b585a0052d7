"""The guard ends the children of a parent that was killed.

It is a process that reads ``+PID`` and ``-PID`` from a pipe whose other end only the parent holds. When the pipe
closes, what is still watched gets SIGTERM in reverse order of start and, after `GRACE_SECONDS`, SIGKILL. A pipe and
not PR_SET_PDEATHSIG: it works on macOS too, keeps the order, and a child that ignores SIGTERM ends as well.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

GRACE_SECONDS = 6.0
STEP_SECONDS = 0.5


class Guard:
    """The parent's end: starts the guard process and tells it what to watch."""

    def __init__(self, remove: Iterable[Path] = ()) -> None:
        """``remove``: files that the guard deletes after the parent was killed."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "infra.embedded.guard", *map(str, remove)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def watch(self, pid: int) -> None:
        """End this process group when we are gone."""
        self._tell(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """The process has ended; its number may be used again."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """End the guard; what it still watches ends with it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


def watch_pipe(lines: Iterable[str], end_all: Callable[[list[int]], None]) -> bool:
    """Follow the pipe until it closes, then end what is left; True when something was."""
    watched: dict[int, None] = {}
    for line in lines:
        pid = int(line[1:])
        if line.startswith("+"):
            watched[pid] = None
        else:
            watched.pop(pid, None)
    left = list(watched)
    if left:
        end_all(left)
    return bool(left)


def end_groups(pids: list[int]) -> None:
    """SIGTERM in reverse order, a moment apart so that a worker can still finish with its servers; then SIGKILL."""
    deadline = time.monotonic() + GRACE_SECONDS
    for pid in reversed(pids):
        _signal_group(pid, signal.SIGTERM)
        step = time.monotonic() + STEP_SECONDS
        while _alive(pid) and time.monotonic() < step:
            time.sleep(0.05)
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in pids:
        _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _alive(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main() -> int:
    """The guard process: ``python -P -m infra.embedded.guard FILE_TO_REMOVE…``."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if watch_pipe(sys.stdin, end_groups):
        for name in sys.argv[1:]:
            Path(name).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
