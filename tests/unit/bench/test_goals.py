"""A goal is met by a measurement that reaches it, never by one that is missing."""

import json
import math
from pathlib import Path

import pytest

from bench.goals import Goal, ratio
from bench.report import Report, shown, table, write


@pytest.mark.parametrize(
    ("comparison", "target", "measured", "met"),
    [
        (">=", 1.5, 1.5, True),
        (">=", 1.5, 1.49, False),
        ("<=", 0.6, 0.59, True),
        ("<=", 0.6, 0.61, False),
        ("==", 0, 0, True),
        ("==", 0, 1, False),
        (">=", 1.5, None, False),
        ("<=", 1.5, None, False),
        (">=", 1.5, math.nan, False),
    ],
)
def test_met(comparison: str, target: float, measured: float | None, met: bool) -> None:
    assert Goal("g", comparison, target, measured).met is met


def test_a_ratio_without_a_peer_is_not_measured() -> None:
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(3.0, None) is None


def test_the_file_holds_figures_machine_peers_and_goals(tmp_path: Path) -> None:
    report = Report("ingest", {"x": 1}, [Goal("g", ">=", 2, 1.0, "x")], {"prometheus": None})
    machine = {"cpu": "c", "cores": 2, "memory_bytes": 2**30, "load": [0.0, 0.0, 0.0]}
    write(tmp_path / "out.json", [report.as_json(machine)])
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["goals"] == [{"name": "g", "comparison": ">=", "target": 2, "measured": 1.0, "unit": "x", "met": False}]
    assert told["machine"]["cores"] == 2
    assert told["peers"] == {"prometheus": None}
    text = report.as_text(machine)
    assert "prometheus not found: no figure" in text
    assert ">= 2 x" in text


def test_tables_are_as_wide_as_their_cells() -> None:
    lines = table(("what", "number"), [("a", 1_234_567), ("long name", None)])
    assert lines == ["what          number", "---------  ---------", "a          1,234,567", "long name          -"]
    assert [shown(value) for value in (0.123456, 42, 1234.5, None, True)] == ["0.123", "42", "1,234", "-", "yes"]
