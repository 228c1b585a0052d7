"""In CI a skipped test is a failed one; elsewhere it says what would make it run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TESTS = """
import pytest

@pytest.mark.debian("no-such-package")
def test_needs_a_package():
    raise AssertionError("ran")

def test_skips_itself(monkeypatch):
    monkeypatch.delenv("FLEETPULSE_REQUIRE_SERVICES", raising=False)
    pytest.skip("not today")

@pytest.mark.xfail(strict=True)
def test_is_expected_to_fail():
    raise AssertionError

@pytest.mark.debian("sh")
def test_runs():
    pass
"""


ALONE: tuple[str, ...] = ()
PARALLEL = ("-n", "2", "--dist", "loadfile")  # as `make test` runs it


def run_pytest(folder: Path, required: str, how: tuple[str, ...] = ALONE) -> str:
    """The output of a pytest of its own, which does not stop at a file that cannot be collected."""
    (folder / "test_inner.py").write_text(TESTS)
    (folder / "test_absent.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    debian(package): x\n    root: x\n")
    options = ["-p", "tests.support.skips", "-p", "no:cacheprovider", "-ra", "--continue-on-collection-errors"]
    command = [sys.executable, "-m", "pytest", *options, *how, str(folder)]
    environment = os.environ | {"FLEETPULSE_REQUIRE_SERVICES": required}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return result.stdout


def test_elsewhere_a_skip_names_the_line_that_helps(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, "")
    assert "1 passed, 3 skipped, 1 xfailed" in output
    assert "apt-get install --no-install-recommends no-such-package" in output


@pytest.mark.parametrize("how", [ALONE, PARALLEL], ids=["alone", "parallel"])
def test_in_ci_a_skip_is_a_failure(tmp_path: Path, how: tuple[str, ...]) -> None:
    output = run_pytest(tmp_path, "1", how)
    assert "skipped, although FLEETPULSE_REQUIRE_SERVICES=1" in output
    for reason in ("no-such-package", "not today", "no_such_module"):
        assert reason in output
    assert " skipped" not in output.splitlines()[-1]
    assert "1 failed, 1 passed, 1 xfailed, 2 errors" in output
