"""The engine beside Prometheus: the same samples, expressions and times in Debian's promtool.

Its 2.42 closes windows on the left, so the times lie between two sample ticks, where 2 and 3 agree.
"""

from pathlib import Path

import pytest

from fleetpulse.promql.parse import parse
from fleetpulse.promql.rings import NEVER
from fleetpulse.rules.evaluator import StreamEvaluator
from tests.support import promtool
from tests.support.promql_cases import (
    EXPRESSIONS,
    INTERVAL_S,
    TICKS,
    blocks_at,
    fleet,
    points,
    recordings,
    results,
    same,
)
from tests.support.promql_reference import EvaluationError, Labels, Points, Reference

TIMES = [10 * tick + 5 for tick in range(0, TICKS, 2)]


def nameless(vector: dict[Labels, float]) -> dict[Labels, float]:
    return {frozenset(pair for pair in labels if pair[0] != "__name__"): value for labels, value in vector.items()}


def reference(data: dict[Labels, Points], expr: str, at_s: int, version: int) -> dict[Labels, float] | None:
    try:
        vector = Reference(data, version=version).vector(parse(expr), 1000 * at_s)
    except EvaluationError:
        return None
    names = {frozenset(p for p in labels if p[0] != "__name__") for labels in vector}
    return nameless(vector) if len(names) == len(vector) else None


@pytest.mark.debian("prometheus")
def test_values_are_those_of_prometheus_between_ticks(tmp_path: Path) -> None:
    series = fleet()
    answers = iter(promtool.evaluate(tmp_path, series, INTERVAL_S, [(e, t) for t in TIMES for e in EXPRESSIONS]))
    evaluator = StreamEvaluator(recordings(EXPRESSIONS), complete_from_ms=NEVER)
    data = points(series)
    compared = 0
    for tick in range(TICKS):
        evaluator.observe(list(blocks_at(series, tick)), evaluate=False)
        at_s = 10 * tick + 5
        if at_s not in TIMES:
            continue
        found = results(evaluator, 1000 * at_s)
        for i, expr in enumerate(EXPRESSIONS):
            answer = next(answers)
            old, new = reference(data, expr, at_s, 2), reference(data, expr, at_s, 3)
            prometheus = None if isinstance(answer, str) else dict(answer)
            if prometheus is not None and len(nameless(prometheus)) < len(prometheus):
                prometheus = None  # a rule's result has no name: Prometheus would refuse the twins
            else:
                prometheus = None if prometheus is None else nameless(prometheus)
            where = f"{expr} at {at_s} s"
            assert _agree(prometheus, old), f"reference: {where}: {old}, Prometheus {prometheus}"
            engine = found.get(f"r{i}", {})
            assert _agree(new, engine), f"engine: {where}: {engine}, expected {new}"
            compared += _agree(old, new)
    assert compared > 0.95 * len(TIMES) * len(EXPRESSIONS)


def _agree(left: dict[Labels, float] | None, right: dict[Labels, float] | None) -> bool:
    if left is None or right is None:
        return left is right
    return same(left, right)
