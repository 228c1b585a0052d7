"""The whole language beside Prometheus: the same samples, expressions and times in Debian's promtool.

Its 2.42 closes windows on the left, so the times lie between two sample ticks, where 2 and 3 agree; where they do not
(`LATER`), the value is that of Prometheus 3.
"""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest

from fleetpulse.promql.rings import NEVER
from fleetpulse.rules.evaluator import StreamEvaluator
from tests.support import promtool
from tests.support.promql_cases import INTERVAL_S, TICKS, blocks_at, recordings
from tests.support.promql_language import TIMES, expressions, for_engine, language_fleet
from tests.support.promql_random import random_expressions
from tests.support.promql_reference import Labels

Vector = dict[Labels, float]


@pytest.mark.debian("prometheus")
def test_every_function_and_operator_has_the_values_of_prometheus(tmp_path: Path) -> None:
    compared, failed = agree_with_prometheus(tmp_path, expressions(), TIMES)
    assert compared > 9000
    assert failed > 20  # what Prometheus refuses to evaluate the engine refuses too


@pytest.mark.debian("prometheus")
@pytest.mark.parametrize("seed", [1, 2])
def test_random_expressions_have_the_values_of_prometheus(tmp_path: Path, seed: int) -> None:
    compared, _ = agree_with_prometheus(tmp_path, random_expressions(seed, 150), TIMES[4:8])
    assert compared > 500


def test_windows_have_no_left_edge_and_what_2_42_does_not_know() -> None:
    """At a tick: Prometheus 3 takes the six samples of a minute, 2 took seven."""
    exprs = ("count_over_time(gauge[1m])", "first_over_time(gauge[1m])", "mad_over_time(gauge[1m])")
    series = language_fleet()
    evaluator = StreamEvaluator(recordings(exprs), complete_from_ms=NEVER)
    for tick in range(20):
        evaluator.observe(list(blocks_at(series, tick)), evaluate=False)
    found = _results(evaluator, 190_000)
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


def agree_with_prometheus(folder: Path, exprs: Sequence[str], times: Sequence[int]) -> tuple[int, int]:
    """Compare the expressions at the times in seconds; returns how many (samples, failures) agreed."""
    series = language_fleet()
    answers = promtool.evaluate(folder, series, INTERVAL_S, [(expr, at) for at in times for expr in exprs])
    evaluator = StreamEvaluator(recordings([for_engine(expr) for expr in exprs]), complete_from_ms=NEVER)
    engine: list[Vector | None] = []
    for tick in range(TICKS):
        evaluator.observe(list(blocks_at(series, tick)), evaluate=False)
        if 10 * tick + 5 in times:
            found = _results(evaluator, 10_000 * tick + 5000)
            engine += [found.get(f"r{i}", {}) for i in range(len(exprs))]
    wrong: list[str] = []
    compared = failed = 0
    queries = [(expr, at) for at in times for expr in exprs]
    for (expr, at), answer, own in zip(queries, answers, engine, strict=True):
        prometheus = _nameless(answer)
        if prometheus is None or own is None:
            failed += 1
            if prometheus is not own:
                wrong.append(f"{expr} at {at} s: engine {own}, Prometheus {answer}")
            continue
        compared += len(own)
        if own.keys() != prometheus.keys() or not all(_near(own[each], prometheus[each]) for each in own):
            wrong.append(f"{expr} at {at} s: engine {_shown(own)}, Prometheus {_shown(prometheus)}")
    assert not wrong, f"{len(wrong)} of {len(queries)}:\n" + "\n".join(wrong[:40])
    return compared, failed


def _results(evaluator: StreamEvaluator, at_ms: int) -> dict[str, Vector | None]:
    """Rule → its samples, without the host that is added where the labels do not name it; None: it failed."""
    found: dict[str, Vector | None] = {}
    for evaluation in evaluator.evaluate_at(at_ms):
        samples = {
            frozenset((n, v) for n, v in evaluator.labels_of(int(key)).items() if n != "host"): float(value)
            for key, value in zip(evaluation.key, evaluation.value, strict=True)
        }
        found[evaluation.rule.name] = None if evaluation.errors else samples
    return found


def _nameless(answer: frozenset[promtool.Sample] | str) -> Vector | None:
    """The answer as a rule has it; None when it is refused."""
    if isinstance(answer, str):
        return None
    bare = {frozenset(pair for pair in labels if pair[0] != "__name__"): value for labels, value in answer}
    return bare if len(bare) == len(answer) else None


def _near(left: float, right: float) -> bool:
    return (
        left == right
        or (math.isnan(left) and math.isnan(right))
        or math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    )


def _shown(vector: Vector) -> str:
    return str(sorted((sorted(labels), value) for labels, value in vector.items()))[:600]
