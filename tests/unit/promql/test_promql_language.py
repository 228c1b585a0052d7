"""The whole language beside Prometheus: the same samples, expressions and times in promtool and in the engine.

Debian's 2.42 closes windows on the left, so its times lie between two sample ticks, where 2 and 3 agree. A promtool of
Prometheus 3 that FLEETPULSE_TEST_PROMTOOL names is asked at the ticks; what one gave is kept in `tests/golden`, so
that every run compares with it.
"""

import math
import statistics
from pathlib import Path

import pytest

from fleetpulse.promql.rings import NEVER
from fleetpulse.rules.evaluator import StreamEvaluator
from tests.support import promql_golden
from tests.support.promql_agreement import agree, agree_with_prometheus, results_at
from tests.support.promql_cases import blocks_at, recordings
from tests.support.promql_language import AT_TICKS, TIMES, expressions, language_fleet
from tests.support.promql_random import random_expressions
from tests.support.promtool import DEBIAN, Promtool, newer

PROGRAMS = [pytest.param(DEBIAN, marks=pytest.mark.debian("prometheus"), id="debian")]
PROGRAMS += [pytest.param(each, id="newer") for each in newer()]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_function_and_operator_has_the_values_of_prometheus(tmp_path: Path, program: Promtool) -> None:
    times = TIMES if program.version == 2 else AT_TICKS
    compared, failed = agree_with_prometheus(tmp_path, expressions(program.version), times, program)
    assert compared > 9000
    assert failed > 20  # what Prometheus refuses to evaluate the engine refuses too


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("program", PROGRAMS)
def test_random_expressions_have_the_values_of_prometheus(tmp_path: Path, seed: int, program: Promtool) -> None:
    times = TIMES[4:8] if program.version == 2 else AT_TICKS
    compared, _ = agree_with_prometheus(tmp_path, random_expressions(seed, 150, program.version), times, program)
    assert compared > 500


def test_the_values_at_the_ticks_are_those_that_prometheus_3_gave() -> None:
    golden = promql_golden.read()
    assert golden.exprs == promql_golden.asked(), "tests/golden/promql_3.jsonl is of other expressions: write it again"
    compared, failed = agree(golden.exprs, golden.times, golden.values)
    assert compared > 9000
    assert failed > 20


def test_windows_have_no_left_edge_and_what_2_42_does_not_know() -> None:
    """At a tick: Prometheus 3 takes the six samples of a minute, 2 took seven."""
    exprs = ("count_over_time(gauge[1m])", "first_over_time(gauge[1m])", "mad_over_time(gauge[1m])")
    series = language_fleet()
    evaluator = StreamEvaluator(recordings(exprs), complete_from_ms=NEVER)
    for tick in range(20):
        evaluator.observe(list(blocks_at(series, tick)), evaluate=False)
    found = results_at(evaluator, 190_000)
    for labels, value in (found["r0"] or {}).items():
        own = dict(labels)
        [text] = [each for key, each in series.items() if key.startswith("gauge") and _is_of(key, own)]
        window = [float(number) for number in text[14:20]]
        assert value == len(window) == 6
        assert (found["r1"] or {})[labels] == window[0]
        apart = [abs(each - statistics.median(window)) for each in window]
        assert math.isclose((found["r2"] or {})[labels], statistics.median(apart), rel_tol=1e-12)
    assert len(found["r0"] or {}) == 6


def _is_of(key: str, labels: dict[str, str]) -> bool:
    return all(f'{name}="{value}"' in key for name, value in labels.items())
