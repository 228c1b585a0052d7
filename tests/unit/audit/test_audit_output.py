"""What the audit prints, its exit codes, the document that docs/audit.md shows, and the own metrics of --every."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from fleetpulse.clock import SystemClock
from fleetpulse.errors import UnavailableError
from fleetpulse.selfmetrics import SelfMetrics
from stream_processors.audit.account import Report, Row
from stream_processors.audit.command import main
from stream_processors.audit.ranges import Hole, Place
from stream_processors.audit.run import Audit
from stream_processors.audit.show import as_json, as_lines
from stream_processors.audit.watch import Watcher

GOOD = Row("web-1", 490_000, stored=600)
BAD = Row("web-3", 490_001, stored=590, unexplained=10)
HOLE = Hole(Place("fleetpulse.metrics", 3, 0), 120, 128, "missing")


def audit(*rows: Row, holes: tuple[Hole, ...] = (), unread: int = 0, left_out: dict[int, str] | None = None) -> Audit:
    return Audit(Report(list(rows), list(holes)), 489_990, 490_010, 0, 0, 0, unread, left_out or {})


@pytest.mark.parametrize(
    ("found", "code"),
    [(audit(GOOD), 0), (audit(GOOD, BAD), 1), (audit(GOOD, holes=(HOLE,)), 1), (audit(unread=4), 2)],
)
def test_the_exit_code(found: Audit, code: int) -> None:
    assert found.exit_code == code


def test_a_loss_is_a_failure_unless_it_is_allowed() -> None:
    lost = replace(audit(Row("web-1", 490_000, stored=600, lost=7)), lost_messages=2)
    assert lost.exit_code == 1
    assert as_lines(lost, everything=False)[-1].startswith("LOST: 2 messages that Kafka deleted")
    allowed = replace(lost, allow_lost=True)
    assert (allowed.exit_code, as_lines(allowed, everything=False)[-1]) == (0, "everything is explained")


def test_only_what_is_unexplained_is_listed_unless_asked_for() -> None:
    lines = as_lines(audit(GOOD, BAD, holes=(HOLE,)), everything=False)
    assert [line.split() for line in lines[1:3]] == [
        ["2025-11-24T17h", "web-3", "600", "590", "0", "0", "0", "0", "0", "0", "10"],
        ["total", "1200", "1190", "0", "0", "0", "0", "0", "0", "10"],
    ]
    assert lines[3:] == [
        "fleetpulse.metrics partition 3 offsets 120 to 127: no row of the ledger has them",
        "NOT explained: 10 samples missing, 0 too many, in 1 rows; 1 ranges of offsets",
    ]
    assert any("web-1" in line for line in as_lines(audit(GOOD, BAD), everything=True))


def test_the_documented_example_has_exactly_the_fields() -> None:
    text = (Path(__file__).parents[3] / "docs" / "audit.md").read_text()
    example = json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])  # type: ignore[index]
    found = as_json(audit(BAD, holes=(HOLE,), left_out={489_990: "old"}), everything=False)
    assert example.keys() == found.keys()
    assert example["totals"].keys() == found["totals"].keys()
    for name in ("rows", "offsets", "left_out"):
        assert example[name][0].keys() == found[name][0].keys()


def test_the_newest_audit_is_in_the_own_metrics() -> None:
    results: list[Audit | UnavailableError] = [UnavailableError("away"), audit(GOOD, BAD, holes=(HOLE,)), audit(GOOD)]

    def run() -> Audit:
        result = results.pop(0)
        if isinstance(result, UnavailableError):
            raise result
        return result

    metrics = SelfMetrics()
    watcher = Watcher(run, metrics, SystemClock())
    assert not watcher.once()
    assert watcher.not_ready == "away"
    assert metrics.samples() == []
    for samples, messages in ((10, 8), (0, 0)):
        assert watcher.once()
        assert watcher.not_ready is None
        assert metrics.get("fleetpulse_audit_unexplained_samples") == samples
        assert metrics.get("fleetpulse_audit_unexplained_messages") == messages


@pytest.mark.parametrize("age", ["24", "h", "0h", "1w", "-1h"])
def test_an_age_that_is_none(age: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--since={age}"])
    assert ended.value.code == 2
    assert "is no age: write 90m, 24h or 7d" in capsys.readouterr().err
