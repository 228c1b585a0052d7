"""What Debian's promtool and ours say about the same file of unit tests, brought to one shape."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from fleetpulse.rules.testing.suite import Check, Suite
from fleetpulse.rules.testing.unit_file import read_unit_file

Failures = dict[str, list[str]]  # "alert NAME at TIME" or "EXPR at TIME" → what came, sorted label sets

_ALERT = re.compile(r"^\s*alertname: (?P<name>\S+), time: (?P<time>\S+),")
_EXPR = re.compile(r'^\s*expr: (?P<expr>".*"), time: (?P<time>[^,]+),')
_LABELS = re.compile(r"^\s*Labels:(?P<labels>\{.*\})$")


def promtool_failures(path: Path) -> Failures:
    """The expectations that promtool finds not met, and the alerts that it got; of expressions only that they fail."""
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=300)
    found: Failures = {}
    got: list[str] | None = None
    for line in (done.stdout + done.stderr).splitlines():
        if alert := _ALERT.match(line):
            current = found.setdefault(f"alert {alert['name']} at {alert['time']}", [])
            got = None
        elif expr := _EXPR.match(line):
            found[f"{expr['expr'][1:-1]} at {expr['time']}".replace('\\"', '"')] = []
            got = None
        elif line.strip().startswith("got:"):
            got = current if found else None
        elif got is not None and (labels := _LABELS.match(line)):
            got.append(labels["labels"])
    assert (done.returncode == 0) == (not found), done.stdout + done.stderr
    return {what: sorted(labels) for what, labels in found.items()}


def our_failures(path: Path) -> Failures:
    """As `promtool_failures`; every alert that fires was expected nowhere, where it is to be listed."""
    return {check.what: sorted(_got(check.differences)) for check in _failed(path)}


def _failed(path: Path) -> Iterator[Check]:
    return (check for check in Suite(read_unit_file(path)).checks() if not check.passed)


def _got(differences: list[tuple[int, str]]) -> Iterator[str]:
    for _, text in differences:
        if text.startswith("unexpected: {"):
            yield text.removeprefix("unexpected: ").partition(" annotations ")[0]
