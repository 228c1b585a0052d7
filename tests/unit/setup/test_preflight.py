"""The checks before the set-up: each thing that is wrong is one sentence with its remedy."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.setup.preflight import GIB, Machine, problems, this_machine

ROOT = Path(__file__).resolve().parents[3]
NEEDED = 3 * GIB
GOOD = Machine(
    python="/usr/bin/python3.13",
    python_version="3.13",
    has_venv=True,
    is_64_bit=True,
    system="linux",
    machine="x86_64",
    libc=(2, 36),
    macos=(),
    free_disk_bytes=20 * GIB,
    memory_bytes=8 * GIB,
)
MAC = replace(GOOD, system="darwin", machine="arm64", libc=None, macos=(15, 1))


@pytest.mark.parametrize("machine", [GOOD, replace(GOOD, machine="aarch64"), MAC, replace(GOOD, memory_bytes=None)])
def test_a_machine_that_fits_has_no_problem(machine: Machine) -> None:
    assert problems(machine, NEEDED) == []


@pytest.mark.parametrize(
    ("change", "fact", "remedy"),
    [
        ({"has_venv": False}, "no venv module", "apt-get install python3.13-venv"),
        ({"free_disk_bytes": GIB}, "needs 3.0 GiB of free disk and there are 1.0 GiB", "free some"),
        ({"memory_bytes": GIB}, "has 1.0 GiB", "raise the container's limit"),
        ({"libc": None}, "musl", "Debian container"),
        ({"libc": (2, 17)}, "this is 2.17", "newer Linux"),
        ({"machine": "riscv64"}, "linux on riscv64", "x86_64 or aarch64"),
        ({"system": "win32", "machine": "AMD64"}, "win32 on AMD64", "Debian container"),
        ({"system": "darwin", "machine": "x86_64"}, "darwin on x86_64", "Apple silicon"),
        ({"system": "darwin", "machine": "arm64", "macos": (11, 7)}, "this is 11.7", "update macOS"),
        ({"is_64_bit": False}, "32-bit Python", "install a 64-bit Python"),
    ],
)
def test_each_problem_is_one_sentence_with_its_remedy(change: dict[str, Any], fact: str, remedy: str) -> None:
    (sentence,) = problems(replace(GOOD, **change), NEEDED)
    assert fact in sentence
    assert remedy in sentence
    assert "\n" not in sentence


def test_all_problems_are_told_at_once() -> None:
    found = problems(replace(GOOD, has_venv=False, free_disk_bytes=0, memory_bytes=1), NEEDED)
    assert len(found) == 3


def test_this_machine_is_looked_at(tmp_path: Path) -> None:
    machine = this_machine(tmp_path)
    assert machine.has_venv
    assert machine.free_disk_bytes > 0
    assert machine.memory_bytes is None or machine.memory_bytes > GIB // 2
    assert (machine.libc is not None) == (sys.platform == "linux")


@pytest.mark.parametrize("version", [(3, 10), (3, 15)])
def test_another_python_is_refused_before_anything_is_imported(version: tuple[int, int]) -> None:
    program = (
        f"import sys, runpy; sys.version_info = ({version[0]}, {version[1]}, 0); sys.argv = ['setup', 'check'];"
        "runpy.run_module('infra.setup', run_name='__main__')"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"is {version[0]}.{version[1]}: install one of those" in result.stderr
    assert result.stdout == ""


def test_it_needs_the_standard_library_alone() -> None:
    """With -S there is no site-packages; checking the machine downloads nothing."""
    command = [sys.executable, "-S", "-m", "infra.setup", "check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Python 3.")
