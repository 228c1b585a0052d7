"""Windows that are made of sub-buckets, beside promtool: equal where their edges lie on those of sub-buckets, and
elsewhere equal to the window between the nearest ones.

Samples come 5 seconds after a sub-bucket's edge, where Prometheus 2 and 3 see the same; a Prometheus 3 that is given by
its path gets them on the edges.
"""

import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from fleetpulse.promql.rings import NEVER
from fleetpulse.promql.summaries import FIELDS_OF
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.wire import Block, join_keys, make_block
from tests.support import promtool
from tests.support.promql_cases import number, recordings

START_MS = 1_800_000_000_000  # on a whole minute
STEP_S = 20
HOURS = 7
KINDS = ("counter", "gauge", "large", "gaps", "stale", "special", "constant")
PROGRAMS = [pytest.param(promtool.DEBIAN, marks=pytest.mark.debian("prometheus"), id="debian")]
PROGRAMS += [pytest.param(each, id="newer") for each in promtool.newer()]
# Range and offset in seconds, and the width of their sub-buckets.
WINDOWS = (
    *((1200, 0, 10), (2700, 600, 10), (3600, 0, 10)),
    *((7200, 0, 60), (21600, 0, 60), (10800, 7200, 60), (3600, 180, 60)),
)
EXACT_OFFSET_S = 240
TIMES = (7800, 18003, 22911)  # on an edge of both widths, soon after one, and soon before
# These read samples, and all edges are exact.
SAMPLED = ("quantile_over_time(0.9, m[1h])", "quantile_over_time(0, m[6h])", "quantile_over_time(0.5, m[6h])")


def fleet(seed: int) -> dict[str, list[str]]:
    """Kind → promtool's values: resets, gaps, stale markers, NaN and infinities anywhere in sub-buckets."""
    rng = random.Random(seed)
    series: dict[str, list[str]] = {kind: [] for kind in KINDS}
    counter, gauge = 0.0, 50.0
    for tick in range(HOURS * 3600 // STEP_S):
        counter = 0.0 if rng.random() < 0.005 else counter + rng.randrange(7)
        gauge += rng.gauss(0, 2)
        series["counter"].append(repr(counter))
        series["gauge"].append(repr(gauge))
        series["large"].append(repr(1e9 + gauge))
        series["gaps"].append("_" if rng.random() < 0.3 or tick % 500 > 400 else repr(gauge))
        series["stale"].append("stale" if rng.random() < 0.05 else repr(counter))
        odd = rng.random()
        series["special"].append("NaN" if odd < 0.02 else "Inf" if odd < 0.021 else repr(gauge))
        series["constant"].append("7.5")
    return series


def cases(at_s: int, version: int) -> list[tuple[str, str, float]]:
    """(what the engine is asked, what Prometheus is asked at the same time, what that is multiplied with)."""
    found = [(expr, expr, 1.0) for expr in SAMPLED]
    for range_s, offset_s, width_s in WINDOWS:
        begin, end = _nearest(at_s - offset_s - range_s, width_s), at_s - offset_s
        end = _nearest(end, width_s) if offset_s > EXACT_OFFSET_S else end
        for function in sorted({*FIELDS_OF, "absent_over_time"} - (set() if version > 2 else {"first_over_time"})):
            factor = range_s / (end - begin) if function in ("increase", "delta") else 1.0
            found.append((_text(function, range_s, offset_s), _text(function, end - begin, at_s - end), factor))
    return found


def _nearest(at_s: int, width_s: int) -> int:
    return (at_s + width_s // 2) // width_s * width_s


def _text(function: str, range_s: int, offset_s: int) -> str:
    offset = f" offset {offset_s}s" if offset_s else ""
    selector = 'm{instance="h",kind="gaps"}' if function == "absent_over_time" else "m"
    return f"{function}({selector}[{range_s}s]{offset}{', 600' if function == 'predict_linear' else ''})"


@pytest.mark.parametrize("program", PROGRAMS)
def test_long_windows_are_those_of_prometheus(tmp_path: Path, program: promtool.Promtool) -> None:
    after_s = 5 if program.version == 2 else 0
    asked = [(at, *case) for at in TIMES for case in cases(at, program.version)]
    series = fleet(seed=1)
    values = {f'm{{instance="h",kind="{kind}"}}': _spread(each, after_s) for kind, each in series.items()}
    queries = [(theirs, at) for at, _, theirs, _ in asked]
    answers = promtool.evaluate(tmp_path, values, 5 if after_s else STEP_S, queries, program)
    engine = _engine(series, [ours for ours, _, _ in cases(0, program.version)], after_s)
    wrong, compared = [], 0
    for (at, ours, theirs, factor), answer, own in zip(asked, answers, engine, strict=True):
        assert not isinstance(answer, str), (theirs, answer)
        expected = {dict(labels).get("kind", ""): value * factor for labels, value in answer}
        compared += len(own)
        if own.keys() != expected.keys() or not all(_near(own[kind], expected[kind], kind) for kind in own):
            found = {kind: (own.get(kind), expected.get(kind)) for kind in KINDS}
            wrong.append(f"{ours} at {at}: (engine, Prometheus' {theirs}) {found}")
    assert not wrong, f"{len(wrong)} of {len(queries)}:\n" + "\n".join(wrong[:40])
    assert compared > 2000


def _spread(values: Sequence[str], after_s: int) -> list[str]:
    return [text for value in values for text in (("_", value, "_", "_") if after_s else (value,))]


def _engine(series: dict[str, list[str]], exprs: Sequence[str], after_s: int) -> list[dict[str, float]]:
    """Kind → value, of each expression at the first time, then at the next."""
    evaluator = StreamEvaluator(recordings(exprs), complete_from_ms=NEVER)
    results: list[dict[str, float]] = []
    for tick in range(TIMES[-1] // STEP_S + 1):
        at_s = STEP_S * tick + after_s
        if at_s <= TIMES[-1]:
            evaluator.observe([_block(series, tick, START_MS + 1000 * at_s)], evaluate=False)
        for at in (at for at in TIMES if at_s <= at < at_s + STEP_S):
            evaluations = {each.rule.name: each for each in evaluator.evaluate_at(START_MS + 1000 * at)}
            for i in range(len(exprs)):
                each = evaluations.get(f"r{i}")
                pairs = () if each is None else zip(each.key, each.value, strict=True)
                results.append({evaluator.labels_of(int(key)).get("kind", ""): float(value) for key, value in pairs})
    return results


def _block(series: dict[str, list[str]], tick: int, at_ms: int) -> Block:
    there = [(kind, values[tick]) for kind, values in series.items() if values[tick] != "_"]
    keys = join_keys([f'm{{kind="{kind}"}}' for kind, _ in there])
    return make_block("h", {"instance": "h"}, keys, at_ms, [number(text) for _, text in there])


def _near(left: float, right: float, kind: str) -> bool:
    if left == right or (math.isnan(left) and math.isnan(right)):
        return True
    return math.isclose(left, right, rel_tol=1e-6 if kind == "large" else 1e-9, abs_tol=1e-9)
