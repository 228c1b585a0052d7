"""The engine's values of expressions over `promql_language.language_fleet`, and how far others agree with them."""

import math
from collections.abc import Sequence
from pathlib import Path

from fleetpulse.promql.rings import NEVER
from fleetpulse.rules.evaluator import StreamEvaluator
from tests.support import promtool
from tests.support.promql_cases import INTERVAL_S, TICKS, blocks_at, recordings
from tests.support.promql_language import for_engine, language_fleet
from tests.support.promql_reference import Labels

Vector = dict[Labels, float]


def agree_with_prometheus(
    folder: Path, exprs: Sequence[str], times: Sequence[int], program: promtool.Promtool = promtool.DEBIAN
) -> tuple[int, int]:
    """Compare the expressions at the times in seconds, ascending; returns how many (samples, failures) agreed."""
    return agree(exprs, times, prometheus_values(folder, exprs, times, program))


def prometheus_values(
    folder: Path, exprs: Sequence[str], times: Sequence[int], program: promtool.Promtool
) -> list[Vector | None]:
    """What a rule with each expression has at each time, for time after time; None: it is refused."""
    queries = [(expr, at) for at in times for expr in exprs]
    return [_nameless(each) for each in promtool.evaluate(folder, language_fleet(), INTERVAL_S, queries, program)]


def agree(exprs: Sequence[str], times: Sequence[int], expected: Sequence[Vector | None]) -> tuple[int, int]:
    """Compare what `prometheus_values` gave with the engine; returns how many (samples, failures) agreed."""
    wrong: list[str] = []
    compared = failed = 0
    queries = [(expr, at) for at in times for expr in exprs]
    for (expr, at), prometheus, own in zip(queries, expected, _engine_values(exprs, times), strict=True):
        if prometheus is None or own is None:
            failed += 1
            if prometheus is not own:
                wrong.append(f"{expr} at {at} s: engine {own}, Prometheus {prometheus} (None: refused)")
            continue
        compared += len(own)
        if own.keys() != prometheus.keys() or not all(_near(own[each], prometheus[each]) for each in own):
            wrong.append(f"{expr} at {at} s: engine {_shown(own)}, Prometheus {_shown(prometheus)}")
    assert not wrong, f"{len(wrong)} of {len(queries)}:\n" + "\n".join(wrong[:40])
    return compared, failed


def _engine_values(exprs: Sequence[str], times: Sequence[int]) -> list[Vector | None]:
    series = language_fleet()
    evaluator = StreamEvaluator(recordings([for_engine(expr) for expr in exprs]), complete_from_ms=NEVER)
    engine: list[Vector | None] = []
    for tick in range(TICKS):
        evaluator.observe(list(blocks_at(series, tick)), evaluate=False)
        for at in (at for at in times if at // INTERVAL_S == tick):
            found = results_at(evaluator, 1000 * at)
            engine += [found.get(f"r{i}", {}) for i in range(len(exprs))]
    return engine


def results_at(evaluator: StreamEvaluator, at_ms: int) -> dict[str, Vector | None]:
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
