"""One spool folder, one process: a lock that the kernel gives back when the process ends, however it ends."""

import fcntl
import os
from pathlib import Path

from fleetpulse.errors import SettingsError
from fleetpulse.settings import PublishSettings, data_dir

LOCK = "lock"
MOST_FOLDERS = 100


class Claim:
    """A locked folder."""

    def __init__(self, folder: Path, file: int) -> None:
        self.folder = folder
        self._file = file

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._file)


def claim(publish: PublishSettings, process: str, several: bool) -> Claim:
    """The folder of a process: ``<spool folder>/<process>``, made when it is missing.

    `several`: when it is taken by a running process, the first of ``<process>-2``, ``<process>-3``… that is not.
    Raises SettingsError when it is taken, and OSError.
    """
    root = Path(publish.spool_dir) if publish.spool_dir else data_dir() / "spool"
    first = root.absolute() / process
    for number in range(1, MOST_FOLDERS if several else 2):
        folder = first if number == 1 else first.with_name(f"{process}-{number}")
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        except OSError:
            os.close(file)
            raise
        os.ftruncate(file, 0)
        os.pwrite(file, b"%d\n" % os.getpid(), 0)
        return Claim(folder, file)
    raise SettingsError(
        f"the spool folder {first} is in use by the running process {_owner(first)}: stop that process, or give this "
        f"one a folder of its own with FLEETPULSE_PUBLISH_SPOOL_DIR"
    )


def _owner(folder: Path) -> str:
    try:
        return (folder / LOCK).read_text().strip() or "?"
    except OSError:
        return "?"
