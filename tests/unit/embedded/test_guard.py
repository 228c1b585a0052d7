"""The guard ends what a killed parent leaves, also what ignores SIGTERM."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from infra.embedded import guard
from tests.support.eventually import eventually
from tests.support.patience import patient

_PARENT = """
import subprocess, sys, time
from pathlib import Path
from infra.embedded.child import Child, Command
from infra.embedded.guard import Guard
folder = Path(sys.argv[1])
guard = Guard(remove=[folder / "state"])
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
commands = [("meek", "import time; time.sleep(60)"), ("stubborn", stubborn)]
start = lambda name, code: Child(Command(name, (sys.executable, "-c", code), folder / f"{name}.log"), guard)
children = [start(*command) for command in commands]
ended = start("ended", "")
while ended.exit_code() is None or not (folder / "stubborn.log").read_text():
    time.sleep(0.05)
print(*(child.pid for child in children), flush=True)
time.sleep(60)
"""


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_children_of_a_killed_parent_end_and_its_files_go(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    parent.stdout.close()
    assert len(pids) == 2
    assert not any(_gone(pid) for pid in pids)
    parent.kill()
    parent.wait()
    killed = time.monotonic()
    eventually(lambda: all(_gone(pid) for pid in pids), timeout=10.0)
    assert time.monotonic() - killed < patient(10.0)
    eventually(lambda: not (tmp_path / "state").exists(), timeout=10.0)


def test_only_what_still_runs_is_ended() -> None:
    ended: list[list[int]] = []
    assert guard.watch_pipe(["+10\n", "+11\n", "-10\n", "+12\n"], ended.append)
    assert ended == [[11, 12]]


@pytest.mark.parametrize("lines", [[], ["+10\n", "-10\n"]])
def test_an_orderly_end_leaves_the_guard_nothing_to_do(lines: list[str]) -> None:
    ended: list[list[int]] = []
    assert not guard.watch_pipe(lines, ended.append)
    assert ended == []
