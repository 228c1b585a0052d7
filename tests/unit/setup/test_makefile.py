"""`make`: lists its targets, and takes the newest Python on PATH that works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def make(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTHON"))}
    environment["PATH"] = path or os.environ["PATH"]
    command = [shutil.which("make") or "make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def program(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def tools(folder: Path) -> str:
    """A PATH with what make itself needs and no Python."""
    folder.mkdir()
    for name in ("sh", "awk"):
        (folder / name).symlink_to(shutil.which(name) or name)
    return str(folder)


def test_make_alone_lists_every_target_with_a_sentence() -> None:
    listed = dict(re.findall(r"^  make (\w+) +(\S.*\.)$", make().stdout, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(listed)
    assert {"demo", "setup", "test", "lint", "wheel", "lock", "clean"} <= set(listed)


def test_a_newer_python_that_fails_is_passed_over(tmp_path: Path) -> None:
    path = tools(tmp_path / "bin")
    program(tmp_path / "bin", "python3.14", "echo 'version manager: no such version' >&2; exit 127")
    program(tmp_path / "bin", "python3.12", f'case "$1" in -m) echo "took 3.12";; *) exec {sys.executable} "$@";; esac')
    program(tmp_path / "bin", "python3.11", 'case "$1" in -m) echo "took 3.11";; *) exit 0;; esac')
    assert make("check", path=path).stdout == "took 3.12\n"


def test_without_a_python_make_says_how_to_get_one(tmp_path: Path) -> None:
    result = make("setup", path=tools(tmp_path / "bin"))
    assert result.returncode != 0
    assert "apt-get install python3 python3-venv" in result.stderr
    assert "brew install python@" in result.stderr
    assert "infra.setup" not in result.stderr


def test_the_list_needs_no_python(tmp_path: Path) -> None:
    assert "make demo" in make(path=tools(tmp_path / "bin")).stdout


UNTIL_CTRL_C = """
import signal, sys, time
stop = []
signal.signal(signal.SIGINT, lambda *_: stop.append(1))
print("started with", sys.argv[1:], flush=True)
while not stop:
    time.sleep(0.05)
time.sleep(0.2)
print("stopped in order", flush=True)
"""


ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


def test_ctrl_c_ends_the_demo_in_order_and_make_with_0(tmp_path: Path) -> None:
    (tmp_path / "until_ctrl_c.py").write_text(UNTIL_CTRL_C)
    program(tmp_path, "fleetpulse", f'exec {sys.executable} {tmp_path}/until_ctrl_c.py "$@"')
    demo = ["make", "--old-file=setup", "demo", f"BIN={tmp_path}", "ARGS=--ports auto"]
    command = [sys.executable, "-c", ON_A_TERMINAL, *demo]
    outside_make = {name: value for name, value in os.environ.items() if "MAKE" not in name and name != "MFLAGS"}
    with subprocess.Popen(
        command, cwd=ROOT, env=outside_make, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first = process.stdout.readline()
        process.stdin.write(b"\x03")
        process.stdin.flush()
        shown = process.stdout.read()
    assert b"started with ['up', '--ports', 'auto']" in first
    assert b"stopped in order" in shown
    assert process.returncode == 0, shown.decode()
