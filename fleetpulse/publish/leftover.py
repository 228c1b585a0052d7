"""Spool folders that nobody uses any more, of processes that ran side by side: the first to look sends what they hold.

Each is sent by a publisher of its own, as if its process had started again. Without that they would wait for as many
processes as there once were.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from fleetpulse.errors import FatalError
from fleetpulse.logs import log_fields
from fleetpulse.publish.memo import read_memo

LOOK_SECONDS = 30.0
FLUSH_SECONDS = 3600.0

log = logging.getLogger(__name__)


class Sends(Protocol):
    """What is needed of a publisher."""

    def flush(self, timeout: float, stop: threading.Event | None = None) -> bool: ...

    def close(self, timeout: float = 5.0) -> bool: ...


def leftover(own: Path, process: str, topic: str) -> Iterator[str]:
    """Names of the process's other folders beside `own` that hold frames, or something that nobody was told.

    Only those of the same topic: what was meant for another one waits for its own process.
    """
    for folder in sorted(own.parent.glob(f"{process}*")):
        suffix = folder.name[len(process) :]
        if folder != own and (not suffix or (suffix[0] == "-" and suffix[1:].isdecimal())) and _holds(folder, topic):
            yield folder.name


def _holds(folder: Path, topic: str) -> bool:
    with suppress(OSError):
        memo = read_memo(folder)
        if memo is not None and memo.topic not in ("", topic):
            return False
        if next(folder.glob("*.seg"), None) is not None:
            return True
        return memo is not None and bool(memo.losses or memo.controls or memo.ended or (not memo.clean and memo.key))
    return False


class Leftovers:
    """Looks on a thread of its own, at once and then every `LOOK_SECONDS`, until it is stopped."""

    def __init__(self, own: Path, process: str, topic: str, open_publisher: Callable[[str], Sends]) -> None:
        """`open_publisher` opens the folder of this name, or raises FatalError when another process has it."""
        self._own, self._process, self._topic, self._open = own, process, topic, open_publisher
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leftovers", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """What is not sent by now stays on the disk."""
        self._stop.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            for name in leftover(self._own, self._process, self._topic):
                if self._stop.is_set():
                    return
                with suppress(FatalError):
                    self._send(name)
            self._stop.wait(LOOK_SECONDS)

    def _send(self, name: str) -> None:
        publisher = self._open(name)
        log.info("sending what another process left", extra=log_fields(folder=str(self._own.with_name(name))))
        try:
            publisher.flush(FLUSH_SECONDS, self._stop)
        finally:
            publisher.close(2.0)
