"""Reading /proc and /sys: whole small files, and numbers in them."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from producers.agent.samples import NoDataError


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the file systems to read are mounted; `root` is put before the mount points to measure."""

    proc: str = "/proc"
    sys: str = "/sys"
    root: str = ""

    def read_proc(self, path: str) -> str:
        """Text of a file under /proc; raises NoDataError when this kernel has none."""
        return read(f"{self.proc}/{path}")

    def read_sys(self, path: str) -> str:
        """Text of a file under /sys; raises NoDataError when this machine has none."""
        return read(f"{self.sys}/{path}")


def read(path: str) -> str:
    """Text of a file; raises NoDataError when it does not exist. Undecodable bytes survive as escapes."""
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoDataError(f"{PurePosixPath(path)} does not exist") from error
