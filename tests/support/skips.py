"""Tests that need a Debian package or root are skipped with the line that helps; in CI every skip is a failure.

A plugin of the tests' conftest.py. CI means: FLEETPULSE_REQUIRE_SERVICES=1, as `.ci/run` sets it.
"""

import os
import shutil
import subprocess
from collections.abc import Generator

import pytest

REQUIRE = "FLEETPULSE_REQUIRE_SERVICES"
_REQUIRED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Read the variable before any test changes the environment."""
    config.stash[_REQUIRED] = os.environ.get(REQUIRE) == "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run."""
    for marker in item.iter_markers("debian"):
        if not is_installed(package := marker.args[0]):
            pytest.skip(f"needs {package}: apt-get install --no-install-recommends {package}")
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: sudo make test")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one where everything must run."""
    report = yield
    if item.config.stash[_REQUIRED] and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, although {REQUIRE}=1: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a file that skips itself as a whole."""
    report = yield
    if collector.config.stash[_REQUIRED] and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, although {REQUIRE}=1: {_reason(report.longrepr)}"
    return report


def is_installed(package: str) -> bool:
    """Whether a program of this name is on PATH, or dpkg has the package."""
    if shutil.which(package):
        return True
    if not shutil.which("dpkg-query"):
        return False
    query = subprocess.run(["dpkg-query", "-W", "-f=${Status}", package], capture_output=True, text=True, check=False)
    return query.stdout == "install ok installed"


def _reason(longrepr: object) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
