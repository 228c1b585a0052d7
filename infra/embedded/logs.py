"""`fleetpulse logs`: one process's log file; ``-f`` follows it."""

import argparse
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fleetpulse.errors import FatalError
from infra.embedded.child import tail
from infra.embedded.folder import DataFolder

FOLLOW_SECONDS = 0.3


def main(argv: list[str]) -> int:
    """Print the end of a log, or list the logs when no name is given."""
    parser = argparse.ArgumentParser(prog="fleetpulse logs", description=__doc__, allow_abbrev=False)
    parser.add_argument("name", nargs="?", help="a process, e.g. ingest; without it the logs are listed")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now on")
    parser.add_argument("-n", "--lines", type=int, default=50, help="how many lines of the end to show (50)")
    parser.add_argument("--data-dir", type=Path, help="the data folder (default: .fleetpulse)")
    arguments = parser.parse_args(argv)
    folder = DataFolder.at(arguments.data_dir)
    if arguments.name is None:
        return _list(folder)
    path = folder.log_file(arguments.name)
    if not path.is_file():
        raise FatalError(f"there is no log {path}; {_known(folder)}")
    size = path.stat().st_size
    if text := tail(path, arguments.lines):
        print(text, flush=True)
    if arguments.follow:
        for more in follow(path, size):
            sys.stdout.write(more)
            sys.stdout.flush()
    return 0


def follow(path: Path, position: int) -> Iterator[str]:
    """What is written after ``position``, for ever; a log that was emptied or replaced is read from its start."""
    while True:
        try:
            if path.stat().st_size < position:
                position = 0
            with path.open("rb") as file:
                file.seek(position)
                more = file.read()
        except FileNotFoundError:
            more, position = b"", 0
        position += len(more)
        if more:
            yield more.decode(errors="replace")
        else:
            time.sleep(FOLLOW_SECONDS)


def _list(folder: DataFolder) -> int:
    paths = sorted(folder.logs.glob("*.log"))
    for path in paths:
        kilobytes = math.ceil(path.stat().st_size / 1000)  # 0 says empty
        print(f"{path.stem:<12} {kilobytes:>9,} kB  {path}")
    if not paths:
        print(f"there are no logs in {folder.logs}; `fleetpulse up` writes them")
    return 0


def _known(folder: DataFolder) -> str:
    names = sorted(path.stem for path in folder.logs.glob("*.log"))
    return f"there are: {', '.join(names)}" if names else "`fleetpulse up` has not run here yet"
