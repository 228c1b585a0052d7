"""Python packages from hashed locks, and how far pip is with them."""

import re
from pathlib import Path

from infra.setup import layout
from infra.setup.progress import Progress, megabytes
from infra.setup.running import run

COMPILE = ("-m", "compileall", "-q", "-j", "0", "-x", "/tests/")
_SIZE = re.compile(r"^# (\d+) bytes$")


class PipProgress:
    """Reads the output of ``pip install --progress-bar raw``."""

    def __init__(self, packages: int, total_bytes: int) -> None:
        self._packages = packages
        self._total_bytes = total_bytes
        self._seen = 0
        self._finished_bytes = 0
        self._current_bytes = 0
        self._name = ""

    def read(self, line: str) -> str | None:
        """What to show after this line, or None when it changes nothing."""
        if line.startswith("Collecting "):
            self._finished_bytes += self._current_bytes
            self._current_bytes = 0
            self._seen += 1
            self._name = line.split()[1].partition("==")[0]
        elif line.startswith("Progress "):
            self._current_bytes = int(line.split()[1])
        elif line.startswith("Installing collected packages"):
            return f"unpacking {self._seen} packages"
        else:
            return None
        done = megabytes(self._finished_bytes + self._current_bytes)
        return f"{self._seen}/{self._packages}  {done} of {megabytes(self._total_bytes)} downloaded  {self._name}"


def locked(*names: str) -> tuple[int, int]:
    """How many packages the locks have and the bytes of their wheels; of two versions of one, the first."""
    sizes: dict[str, int] = {}
    for name in names:
        size = 0
        for line in layout.lock(name).read_text().splitlines():
            if match := _SIZE.match(line):
                size = int(match[1])
            elif "==" in line and not line.startswith((" ", "#")):
                sizes.setdefault(line.partition("==")[0], size)
    return len(sizes), sum(sizes.values())


def install(python: Path, names: tuple[str, ...], progress: Progress) -> None:
    """Install the packages of the locks, each checked against its hash, into the environment of `python`."""
    files = [argument for name in names for argument in ("-r", str(layout.lock(name)))]
    options = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-input", "--no-compile"]
    raw = [] if names == ("build",) else ["--progress-bar", "raw"]  # the pip that a Python brings may not know it
    command: list[Path | str] = [python, "-m", "pip", "install", *options, *raw, *files]
    folder = python.parents[1]
    run(command, progress, grows=folder, read=PipProgress(*locked(*names)).read)
    # On all cores, where pip would use one; a first start would otherwise pay for it.
    run([python, *COMPILE, folder / "lib"], progress, grows=folder, read=lambda line: "compiling")
