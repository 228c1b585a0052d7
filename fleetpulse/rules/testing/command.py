"""`fleetpulse rules test FILE…`: run unit tests of rules; promtool's files work as they are."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleetpulse.arguments import Parser
from fleetpulse.errors import RuleError
from fleetpulse.rules.testing.suite import Check, Suite
from fleetpulse.rules.testing.unit_file import read_unit_file

DESCRIPTION = """\
Run unit tests of rules. The files are those of `promtool test rules`; besides promtool's fields
an input series may have 'delay' (how much later it arrives), an expected alert 'exp_stale', and a test
'event_test': [{alertname, until, exp_events: [{at, status, severity, reason, stale, host, value, labels, …}]}].
Rules with Prometheus' fields only are evaluated on Prometheus' clock, at each evaluation_interval; a note says where
the stream, which evaluates at every sample, would do otherwise. Rules with ours, and event_test, run on the stream.
"""


def main(argv: Sequence[str]) -> int:
    """0 when all expectations hold, 1 when one does not, 2 when a file cannot be used."""
    parser = Parser(
        prog="fleetpulse rules test",
        description=DESCRIPTION,
        example="fleetpulse rules test tests.yaml",
    )
    parser.add_argument("file", nargs="+", type=Path, help="a file of unit tests")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    arguments = parser.parse_args(argv)
    reports = [_tested(path) for path in arguments.file]
    if arguments.json:
        print(json.dumps({"files": reports}, indent=2))
    else:
        for report in reports:
            _print(report)
    worst = [2 if report["error"] else 1 if report["failed"] else 0 for report in reports]
    return max(worst)


def _tested(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = {"file": str(path), "error": "", "passed": 0, "failed": 0, "notes": [], "checks": []}
    try:
        suite = Suite(read_unit_file(path))
        checks = list(suite.checks())
    except RuleError as error:
        return {**report, "error": str(error)}
    failed = sum(not check.passed for check in checks)
    counts = {"passed": len(checks) - failed, "failed": failed}
    return {**report, **counts, "notes": suite.notes, "checks": [_as_json(check) for check in checks]}


def _as_json(check: Check) -> dict[str, Any]:
    return {
        "line": check.line,
        "what": check.what,
        "passed": check.passed,
        "differences": [{"line": line, "text": text} for line, text in check.differences],
        "notes": check.notes,
    }


def _print(report: dict[str, Any]) -> None:
    file = report["file"]
    if report["error"]:
        print(report["error"], file=sys.stderr)
        return
    for note in report["notes"]:
        print(f"{file}: note: {note}")
    for check in report["checks"]:
        if not check["passed"]:
            print(f"{file}:{check['line']}: FAILED {check['what']}")
        for each in check["differences"]:
            place = "" if each["line"] == check["line"] else f"line {each['line']}: "
            print(f"    {place}{each['text']}")
        for note in check["notes"]:
            print(f"{file}:{check['line']}: note: {check['what']}: {note}")
    failed, passed = report["failed"], report["passed"]
    print(f"{file}: {passed} passed, {failed} failed")
