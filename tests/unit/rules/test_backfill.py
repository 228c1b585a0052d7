"""Long windows that begin in the middle: their past comes from storage, nothing at the seam twice or missing."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from fleetpulse.rules.backfill import Stored
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.wire import Block, join_keys, make_block
from tests.support.promql_cases import recordings

START = 1_800_000_000_000
MINUTE = 60_000
EXPRS = (
    "count_over_time(m[90m])",
    "sum_over_time(m[30m])",
    "rate(m[2h])",
    "predict_linear(m[1h], 3600)",
    "changes(m[20m] offset 1h)",
    "avg_over_time(m[1m])",
)
Sample = tuple[int, str, str, float]  # (when, host, series, value)


def sent(rng: random.Random) -> list[Sample]:
    """Three hours of two hosts that begin, pause and end at other times; one of them counts and starts again."""
    samples: list[Sample] = []
    for host, begins, pause, shift in (("a", 0, range(0), 0), ("b", 40, range(300, 420), 4321)):
        value = 0.0
        for tick in range(begins, 1080):
            value = 0.0 if rng.random() < 0.01 else value + rng.randrange(5)
            if tick not in pause:
                samples.append((START + 10_000 * tick + shift, host, "m", value))
                if tick % 3:
                    samples.append((START + 10_000 * tick + shift, host, 'm{n="1"}', value * 2))
    return sorted(samples)


def block(host: str, samples: Sequence[Sample]) -> Block:
    keys = join_keys([key for _, _, key, _ in samples])
    return make_block(host, {"instance": host}, keys, samples[0][0], [value for *_, value in samples])


def feed(evaluator: StreamEvaluator, samples: Sequence[Sample], evaluate: bool = False) -> None:
    ticks: dict[tuple[int, str], list[Sample]] = {}
    for sample in samples:
        ticks.setdefault(sample[:2], []).append(sample)
    for (when, host), own in sorted(ticks.items()):
        evaluator.observe([block(host, own)], evaluate=evaluate, now_ms=when)


def stored(samples: Sequence[Sample]) -> Stored:
    """As storage gives them: every series by its number, sorted."""
    names = sorted({(host, key) for _, host, key, _ in samples})
    rows = sorted((names.index((host, key)), when, value) for when, host, key, value in samples)
    labels = [{"instance": host, **({"n": "1"} if "n" in key else {})} for host, key in names]
    series, ts, value = (np.array(column) for column in zip(*rows, strict=True))
    return Stored("m", [host for host, _ in names], labels, series, ts, value)


def shown(evaluator: StreamEvaluator, at_ms: int) -> dict[tuple[str, str, str], float]:
    found = {}
    for evaluation in evaluator.evaluate_at(at_ms):
        assert evaluation.warm, evaluation.rule.expr
        for key, value in zip(evaluation.key.tolist(), evaluation.value.tolist(), strict=True):
            labels = evaluator.labels_of(key)
            found[evaluation.rule.expr, labels["instance"], labels.get("n", "")] = value
    return found


@pytest.mark.parametrize(("begin_tick", "adopted_tick"), [(703, 0), (700, 100), (415, 3)])
def test_a_window_that_was_filled_back_is_the_one_that_saw_everything(begin_tick: int, adopted_tick: int) -> None:
    samples = sent(random.Random(5))
    begin_ms = START + 10_000 * begin_tick
    position_ms = begin_ms + 5 * MINUTE
    late_ms = position_ms + 10_000 * adopted_tick
    whole = StreamEvaluator(recordings(EXPRS), complete_from_ms=0)
    feed(whole, samples)
    evaluator = StreamEvaluator(recordings(EXPRS), complete_from_ms=begin_ms)
    feed(evaluator, [sample for sample in samples if begin_ms < sample[0] <= late_ms])
    assert {lack.selector.name for lack in evaluator.lacks()} == {"m"}
    assert max(lack.reach_ms for lack in evaluator.lacks()) == 120 * MINUTE
    evaluator.adopt(stored([sample for sample in samples if sample[0] <= position_ms]))
    evaluator.fill_back()
    assert evaluator.lacks() == []
    feed(evaluator, [sample for sample in samples if sample[0] > late_ms])
    for at_ms in (START + 10_800_000, START + 10_790_001):
        want, got = shown(whole, at_ms), shown(evaluator, at_ms)
        assert want.keys() == got.keys()
        assert len(want) >= 20
        assert got == pytest.approx(want, rel=1e-9, abs=1e-9)


def test_rules_hold_until_their_past_is_there_and_short_ones_do_not() -> None:
    samples = [(START + 10_000 * tick, "a", "m", float(tick)) for tick in range(1080)]
    evaluator = StreamEvaluator(recordings(EXPRS), complete_from_ms=START + 7_000_000)
    feed(evaluator, [sample for sample in samples if START + 7_000_000 < sample[0] <= START + 7_400_000])

    def warm() -> list[bool]:
        return [evaluation.warm for evaluation in evaluator.evaluate_at(START + 7_400_000)]

    assert warm() == [False] * 5 + [True]
    evaluator.adopt(stored(samples[:740]))
    assert warm() == [False] * 5 + [True]
    evaluator.fill_back()
    assert warm() == [True] * 6


def test_a_host_that_was_silent_meanwhile_has_its_past_when_it_returns() -> None:
    samples = [(START + 10_000 * tick, "a", "m", 1.0) for tick in range(300)]
    evaluator = StreamEvaluator(recordings(["count_over_time(m[90m])"]), complete_from_ms=START + 4_000_000)
    feed(evaluator, [(START + 4_000_000 + 10_000 * n, "b", "m", 1.0) for n in range(40)])
    evaluator.adopt(stored(samples))
    evaluator.fill_back()
    feed(evaluator, [(START + 4_500_000 + 10_000 * n, "a", "m", 1.0) for n in range(10)])
    found = shown(evaluator, START + 4_590_000)
    assert found["count_over_time(m[90m])", "a", ""] == 310.0
