"""What the set-up shows: how far pip is, plain lines without a terminal, the tail of a command that failed."""

import io
import sys
from pathlib import Path

import pytest

from infra.setup import layout
from infra.setup.packages import PipProgress
from infra.setup.progress import Progress
from infra.setup.running import StepError, folder_bytes, run

PIP = """\
Collecting numpy==2.4.6 (from -r services.txt (line 3))
  Downloading numpy-2.4.6-cp311-manylinux_2_28_x86_64.whl (16.9 MB)
Progress 0 of 16900000
Progress 8000000 of 16900000
Progress 16900000 of 16900000
Collecting yarl==1.2 (from -r services.txt (line 9))
Progress 100000 of 100000
Installing collected packages: numpy, yarl
"""


def test_pips_output_becomes_packages_and_bytes() -> None:
    progress = PipProgress(packages=2, total_bytes=17_000_000)
    said = [progress.read(line) for line in PIP.splitlines()]
    assert said[3] == "1/2  8.0 MB of 17 MB downloaded  numpy"
    assert said[5] == "2/2  17 MB of 17 MB downloaded  yarl"
    assert said[1] is None
    assert said[-1] == "unpacking 2 packages"


def test_without_a_terminal_a_step_is_a_few_plain_lines() -> None:
    out = io.StringIO()
    progress = Progress("[1/2] Packages", out)
    for _ in range(50):
        progress.update("half of it")
    progress.done("12 MB on disk")
    assert out.getvalue().splitlines() == ["[1/2] Packages", "[1/2] Packages  12 MB on disk  0 s"]


def test_on_a_terminal_the_line_is_refreshed_in_place() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    Progress("Packages", out).update("half of it")
    assert out.getvalue().count("\r") == 2
    assert "\n" not in out.getvalue()


def test_a_command_that_fails_shows_its_last_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "LOG", tmp_path / "setup.log")
    program = "print('first'); print('no space left'); raise SystemExit(3)"
    with pytest.raises(StepError, match="ended with 3") as caught:
        run([sys.executable, "-c", program], Progress("step", io.StringIO()), grows=tmp_path, read=lambda line: None)
    assert "no space left" in str(caught.value)
    assert "first" in (tmp_path / "setup.log").read_text()


def test_a_folders_size_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 1000)
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a" / "b")
    assert 1000 <= folder_bytes(tmp_path) < 1100
    assert folder_bytes(tmp_path / "absent") == 0
