"""What counts as a pass, and what the page about the fault matrix says of the rest."""

import json
from pathlib import Path

import pytest

from tests.faults.expected import Expected, larger, rollup_of
from tests.faults.generator import Hosts, Step
from tests.faults.matrix import SCENARIOS, SHORT
from tests.faults.report import remember, report
from tests.faults.runner import Outcome
from tests.faults.verdict import Verdict

NAN = float("nan")


def outcome(number: int = 0, verdict: Verdict | None = None, skipped: str = "") -> Outcome:
    return Outcome(SCENARIOS[number], verdict or Verdict(sent=10, stored=10, evidence="seen"), 1.0, 7, skipped)


def one_of(kind: str) -> Verdict:
    verdict = Verdict(evidence="seen")
    setattr(verdict, kind, 1)
    return verdict


@pytest.mark.parametrize("kind", ["missing", "twice", "wrong", "rollups", "unexplained"])
def test_one_of_anything_is_no_pass(kind: str) -> None:
    assert outcome().passed
    assert not outcome(verdict=one_of(kind)).passed


def test_a_fault_that_did_not_happen_is_no_pass_and_neither_is_a_skip() -> None:
    assert not outcome(verdict=Verdict(notes=["not injected: nothing died"])).passed
    assert not outcome(skipped="needs root").passed


def test_two_looks_keep_the_worse() -> None:
    verdict = Verdict(sent=10, stored=9, missing=1, notes=["missing: x"])
    verdict.merge(Verdict(stored=10, twice=2, notes=["missing: x", "visible twice: y"]))
    assert (verdict.missing, verdict.twice, verdict.stored) == (1, 2, 10)
    assert verdict.notes == ["missing: x", "visible twice: y"]


def test_the_page_names_what_failed_and_what_was_skipped() -> None:
    failed = outcome(1, Verdict(missing=3, notes=["missing: killed-0000 series 1 at 7"]))
    page = report([outcome(), failed, outcome(2, skipped="needs root")])
    assert "**1 of 2 faults passed**, 1 skipped" in page
    assert "**FAILED**" in page
    assert f"- {failed.scenario.name}: missing: killed-0000 series 1 at 7" in page
    assert f"- {SCENARIOS[2].name}: needs root" in page


def test_a_part_of_the_matrix_replaces_its_own_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "results" / "faults.json"
    remember(path, [outcome(), outcome(1)])
    known = remember(path, [outcome(1, Verdict(missing=1)), outcome(0, skipped="the time was up")])
    assert [one.scenario for one in known] == list(SCENARIOS[:2])
    assert [one.passed for one in known] == [True, False]
    assert set(json.loads(path.read_text())) == {SCENARIOS[0].name, SCENARIOS[1].name}


def test_every_fault_has_a_name_of_its_own_and_no_short_one_breaks_a_server() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    assert not [one.name for one in SCENARIOS for other in names if other.startswith(f"{one.name}-")]
    assert not [one.name for one in SHORT if one.root]


def test_the_generator_is_a_pure_function_of_seed_host_series_and_time() -> None:
    one, same, other = Hosts("a", 3, 8, 1), Hosts("b", 3, 8, 1), Hosts("a", 3, 8, 2)
    times = range(1_795_440_000_000, 1_795_440_060_000, 250)
    assert repr([one.values(2, ts) for ts in times]) == repr([same.values(2, ts) for ts in times])
    assert repr([one.values(2, ts) for ts in times]) != repr([other.values(2, ts) for ts in times])
    assert any(value != value for ts in times for value in one.values(2, ts)), "some are NaN"


def test_of_two_values_the_larger_is_expected_and_nan_is_the_largest() -> None:
    assert [larger(1.0, 2.0), larger(2.0, 1.0)] == [2.0, 2.0]
    assert repr([larger(NAN, 1.0), larger(1.0, NAN)]) == "[nan, nan]"
    hosts = Hosts("a", 1, 1, 1)
    expected = Expected(hosts)
    expected.add([Step(60_000), Step(60_000, bump=3), Step(60_000, bump=-3)])
    assert expected.series(0, 0) == [(60_000, hosts.value(0, 0, 60_000) + 3)]


def test_a_rollup_counts_a_reset_from_zero() -> None:
    assert rollup_of([5.0, 7.0, 1.0, 4.0]) == (4, 17.0, 1.0, 7.0, 5.0, 4.0, 6.0, 17.0)


def test_every_row_of_the_page_has_every_column() -> None:
    page = report([outcome(), outcome(1, Verdict(missing=3)), outcome(2, skipped="needs root")])
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1, rows
    assert len(rows) == 2 + 3
