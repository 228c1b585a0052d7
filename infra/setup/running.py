"""Run a command with its output in the log and a line that shows how far it is."""

import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.setup import layout
from infra.setup.progress import Progress, megabytes

Read = Callable[[str], str | None]


class StepError(Exception):
    """A step failed; the message says with what and where the whole output is."""


def run(command: Sequence[Path | str], progress: Progress, *, grows: Path, read: Read, cwd: Path = layout.ROOT) -> None:
    """Run a command to its end.

    `read` turns a line of its output into the state to show, or None. While it says nothing, the size of the
    folder that `grows` is shown. Raises StepError.
    """
    tail: deque[str] = deque(maxlen=40)
    state = ["", ""]  # what read said last, and what was shown for it
    with (
        layout.LOG.open("a") as log,
        subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=layout.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        log.write(f"$ {' '.join(map(str, command))}\n")
        reader = threading.Thread(target=_follow, args=(process, log.write, tail, state, read))
        reader.start()
        while reader.is_alive():
            reader.join(0.25 if state[0] != state[1] else 1.0)
            if state[0] != state[1]:
                state[1] = state[0]
                progress.update(state[0])
            else:
                progress.update(f"{state[0]}  {megabytes(folder_bytes(grows))} on disk".strip())
    if process.returncode != 0:
        called = " ".join(map(str, [Path(command[0]).name, *command[1:4]]))
        shown = "\n  ".join(tail)
        raise StepError(
            f"`{called} …` ended with {process.returncode}:\n  {shown}\n"
            f"When the cause is mended (often: no network), run make again; the whole output is in {layout.LOG}."
        )


def folder_bytes(folder: Path) -> int:
    """Bytes of the files below a folder; 0 when it is absent."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += folder_bytes(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    except OSError:  # removed while we looked
        pass
    return total


def _follow(
    process: subprocess.Popen[str], log: Callable[[str], int], tail: deque[str], state: list[str], read: Read
) -> None:
    for line in process.stdout or ():
        said = read(line)
        if said is not None:
            state[0] = said
        if not line.startswith("Progress "):
            log(line)
            tail.append(line.rstrip())
