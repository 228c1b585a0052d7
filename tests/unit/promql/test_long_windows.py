"""Long windows beside functions written the plain way, whatever the batches and however late samples come."""

import math
import random
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from fleetpulse.metric import STALE_NAN
from fleetpulse.promql.rings import NEVER
from fleetpulse.promql.summaries import FIELDS_OF
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.wire import Block, join_keys, make_block
from tests.support.promql_cases import recordings

START = 1_800_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
Points = Sequence[tuple[int, float]]


class Window:
    """What is read of (t - offset - range, t - offset]: the edges that are not exact lie on sub-buckets."""

    def __init__(self, at_ms: int, range_ms: int, offset_ms: int = 0) -> None:
        width = 10_000 if range_ms + offset_ms <= HOUR else MINUTE
        self.at, self.range = at_ms, range_ms
        self.end = at_ms - offset_ms
        self.begin = (self.end - range_ms + width // 2) // width * width
        if offset_ms > 4 * MINUTE:
            self.end = (self.end + width // 2) // width * width

    def value(self, function: str, points: Points) -> float | None:
        inside = [(ts, value) for ts, value in points if self.begin < ts <= self.end]
        values = [value for _, value in inside]
        if not values:
            return None
        plain = _plain(function, values)
        if plain is not None:
            return plain
        return None if len(values) < 2 else self._of_pairs(function, inside, values)

    def _of_pairs(self, function: str, inside: Points, values: list[float]) -> float:
        gain = values[-1] - values[-2]
        if function == "idelta":
            return gain
        if function == "irate":
            return (values[-1] if gain < 0 else gain) / ((inside[-1][0] - inside[-2][0]) / 1000)
        if function in ("deriv", "predict_linear"):
            seconds = [(ts - self.at) / 1000 for ts, _ in inside]
            middle, mean = sum(seconds) / len(seconds), sum(values) / len(values)
            together = sum((s - middle) * (v - mean) for s, v in zip(seconds, values, strict=True))
            slope = together / sum((s - middle) ** 2 for s in seconds)
            return slope if function == "deriv" else mean + slope * (3600 - middle)
        return self._extrapolated(function, inside, values)

    def _extrapolated(self, function: str, inside: Points, values: list[float]) -> float:
        gain = values[-1] - values[0]
        if function != "delta":
            gain += sum(a for a, b in pairwise(values) if b < a)
        interval = (inside[-1][0] - inside[0][0]) / 1000
        average = interval / (len(values) - 1)
        to_start, to_end = (inside[0][0] - self.begin) / 1000, (self.end - inside[-1][0]) / 1000
        to_start = average / 2 if to_start >= average * 1.1 else to_start
        to_end = average / 2 if to_end >= average * 1.1 else to_end
        if function != "delta" and gain > 0 and values[0] >= 0:
            to_start = min(to_start, interval * values[0] / gain)
        rate = gain * (interval + to_start + to_end) / interval / ((self.end - self.begin) / 1000)
        return rate if function == "rate" else rate * self.range / 1000


def _plain(function: str, values: list[float]) -> float | None:
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    pairs = list(pairwise(values))
    return {
        "avg_over_time": mean,
        "changes": float(sum(a != b for a, b in pairs)),
        "count_over_time": float(len(values)),
        "first_over_time": values[0],
        "last_over_time": values[-1],
        "max_over_time": max(values),
        "min_over_time": min(values),
        "present_over_time": 1.0,
        "resets": float(sum(a > b for a, b in pairs)),
        "stddev_over_time": math.sqrt(variance),
        "stdvar_over_time": variance,
        "sum_over_time": sum(values),
    }.get(function)


def near(want: float | None, got: float | None, scale: float) -> bool:
    if want is None or got is None:
        return want is got
    return math.isclose(want, got, rel_tol=1e-9, abs_tol=1e-9 * scale)


def text_of(function: str, window: str, offset: str) -> str:
    after = f" offset {offset}" if offset else ""
    more = ", 3600" if function == "predict_linear" else ""
    return f"{function}(m[{window}]{after}{more})"


WINDOWS = (
    ("30m", 30 * MINUTE, "", 0),
    ("90m", 90 * MINUTE, "", 0),
    ("20m", 20 * MINUTE, "40m", 40 * MINUTE),
    ("30m", 30 * MINUTE, "3m", 3 * MINUTE),
)
CASES = [(function, *window) for window in WINDOWS for function in sorted(FIELDS_OF)]
SOME = [(function, *window) for window in WINDOWS for function in ("rate", "predict_linear", "min_over_time")]


class Fleet:
    """Hosts with gaps, resets, stale markers and times of their own; what they sent, and what is kept of it."""

    def __init__(self, seed: int, hosts: int = 2, ticks: int = 450) -> None:
        rng = random.Random(seed)
        self.points: dict[tuple[str, int], list[tuple[int, float]]] = {}
        self.blocks: list[tuple[int, Block]] = []  # (when it came, the block)
        for host in (f"h{number}" for number in range(hosts)):
            shift, step = rng.choice((0, 0, 137, 9_999)), rng.choice((10_000, 15_000))
            level = [0.0, 1e9, 5.0]
            silent = range(rng.randrange(500), 1_000_000) if host == "h9" else range(200, 260 + rng.randrange(99))
            for tick in range(ticks * 10_000 // step):
                level = [level[0] + rng.randrange(5), level[1] + rng.gauss(0, 3), float(rng.randrange(3))]
                level[0] = 0.0 if rng.random() < 0.01 else level[0]
                if tick in silent or rng.random() < 0.03:
                    continue
                late = rng.choice((0, 0, 0, 0, 0, 15_000, 45_000, 200_000)) if rng.random() < 0.1 else 0
                self._add(rng, host, START + shift + tick * step, level, late)
        self.blocks.sort(key=lambda each: each[0])

    def _add(self, rng: random.Random, host: str, ts: int, level: list[float], late_ms: int) -> None:
        kept = [n for n in range(3) if rng.random() > 0.03]
        if not kept:
            return
        values = [STALE_NAN if rng.random() < 0.02 else level[n] for n in kept]
        for n, value in zip(kept, values, strict=True):
            if value == value:
                self.points.setdefault((host, n), []).append((ts, value))
        keys = join_keys([f'm{{n="{n}"}}' for n in kept])
        self.blocks.append((ts + late_ms, make_block(host, {"instance": host}, keys, ts, values)))


@pytest.mark.parametrize("seed", range(2))
def test_every_function_whatever_the_batches(seed: int) -> None:
    fleet, rng = Fleet(seed), random.Random(seed)
    evaluator = StreamEvaluator(recordings([text_of(f, w, o) for f, w, _, o, _ in CASES]), complete_from_ms=NEVER)
    compared, came, next_ms = 0, 0, START + 30 * MINUTE
    while came < len(fleet.blocks):
        size = rng.choice((1, 3, 10, 60))
        evaluator.observe([block for _, block in fleet.blocks[came : came + size]], evaluate=False)
        came += size
        at_ms = fleet.blocks[min(came, len(fleet.blocks)) - 1][0]
        if at_ms < next_ms:
            continue
        next_ms = at_ms + rng.randrange(20 * MINUTE)
        known: set[tuple[str, object]] = {(block.host, block.ts) for _, block in fleet.blocks[:came]}
        compared += check(evaluator, fleet, known, at_ms)
    assert compared > 500


def check(evaluator: StreamEvaluator, fleet: Fleet, came: set[tuple[str, object]], at_ms: int) -> int:
    compared = 0
    for evaluation in evaluator.evaluate_at(at_ms):
        function, _, range_ms, _, offset_ms = CASES[int(evaluation.rule.name[1:])]
        window = Window(at_ms, range_ms, offset_ms)
        got = {
            (labels["instance"], int(labels["n"])): float(value)
            for labels, value in zip(map(evaluator.labels_of, evaluation.key.tolist()), evaluation.value, strict=True)
        }
        for series, points in fleet.points.items():
            if series[0] not in evaluation.hosts:
                continue
            mine = [(ts, value) for ts, value in points if (series[0], ts) in came]
            want = window.value(function, mine)
            scale = 1e9 if series[1] == 1 else 1.0
            where = f"{evaluation.rule.expr} of {series} at {at_ms - START}"
            assert near(want, got.get(series), scale), f"{where}: {got.get(series)}, expected {want}"
            compared += want is not None
    return compared


def test_evaluations_are_the_same_tick_by_tick_and_in_large_batches() -> None:
    fleet = Fleet(7, hosts=2, ticks=300)
    rules = recordings([text_of(f, w, o) for f, w, _, o, _ in SOME])
    single, many = (StreamEvaluator(rules, complete_from_ms=NEVER) for _ in range(2))
    ordered = [block for _, block in sorted(fleet.blocks, key=lambda each: (each[1].ts, each[1].host))]
    found: list[dict[tuple[str, str, int, str], float]] = []
    for evaluator, size in ((single, 1), (many, 100)):
        results: dict[tuple[str, str, int, str], float] = {}
        for start in range(0, len(ordered), size):
            for each in evaluator.observe(ordered[start : start + size]):
                for place, key, value in zip(each.host_index.tolist(), each.key, each.value, strict=True):
                    n = evaluator.labels_of(int(key))["n"]
                    results[each.rule.name, each.hosts[place], int(each.at_ms[place]), n] = float(value)
        found.append(results)
    assert found[0].keys() == found[1].keys()
    assert len(found[0]) > 5_000
    for key, value in found[0].items():
        assert near(value, found[1][key], 1e9 if key[3] == "1" else 1.0), key


def test_a_backlog_fills_the_hole_that_an_outage_left_and_comes_twice_to_no_effect() -> None:
    evaluator = StreamEvaluator(recordings(["count_over_time(m[2h])", "sum_over_time(m[2h])"]), complete_from_ms=NEVER)
    times = [START + 10_000 * tick for tick in range(720)]
    fresh = [ts for ts in times if not 200 <= (ts - START) // 10_000 < 500]
    backlog = [ts for ts in times if ts not in set(fresh)]
    for ts in (*fresh, *backlog, *backlog):
        block = make_block("a", {"instance": "a"}, join_keys(["m"]), ts, [1.0])
        evaluator.observe([block], evaluate=False)
    found = [evaluation.value.tolist() for evaluation in evaluator.evaluate_at(times[-1])]
    # The first tick lies before the window, and one of the backlog before a fresh one of the same minute.
    assert found == [[718.0], [718.0]]


def test_equal_values_have_no_slope_and_no_deviation_at_all() -> None:
    exprs = ["deriv(m[1h])", "predict_linear(m[1h], 86400)", "stddev_over_time(m[1h])"]
    evaluator = StreamEvaluator(recordings(exprs), complete_from_ms=NEVER)
    for tick in range(400):
        block = make_block("a", {"instance": "a"}, join_keys(["m"]), START + 10_000 * tick, [0.1])
        evaluator.observe([block], evaluate=False)
    found = [evaluation.value.tolist() for evaluation in evaluator.evaluate_at(START + 3_990_000)]
    assert found == [[0.0], [0.1], [0.0]]


def test_series_that_come_and_go_keep_what_they_had() -> None:
    evaluator = StreamEvaluator(recordings(["max_over_time(m[2h])"]), complete_from_ms=NEVER)
    for tick in range(500):
        names = ['m{n="0"}', f'm{{n="{1 + tick // 100}"}}']
        values = [float(tick), float(1000 + tick)]
        block = make_block("a", {"instance": "a"}, join_keys(names), START + 10_000 * tick, values)
        evaluator.observe([block], evaluate=False)
    (found,) = evaluator.evaluate_at(START + 4_990_000)
    highest = {evaluator.labels_of(int(key))["n"]: value for key, value in zip(found.key, found.value, strict=True)}
    assert highest == {"0": 499.0, "1": 1099.0, "2": 1199.0, "3": 1299.0, "4": 1399.0, "5": 1499.0}


def test_memory_is_that_of_the_hosts_and_flat_for_idle_ones() -> None:
    evaluator = StreamEvaluator(recordings(["avg_over_time(m[6h])"]), complete_from_ms=NEVER)
    blocks = [make_block(f"h{n}", {"instance": f"h{n}"}, join_keys(["m"]), START, [1.0]) for n in range(64)]
    evaluator.observe(blocks, evaluate=False)
    metric = evaluator._intake.metrics["m"]
    before = [minutes.nbytes for store in metric.stores.values() for minutes in store.minutes.values()]
    evaluator.observe([], evaluate=False, now_ms=START + 6 * HOUR)
    assert before == [minutes.nbytes for store in metric.stores.values() for minutes in store.minutes.values()]
    assert sum(before) / 64 < 366 * (8 + 2 + 2 + 8) * 1.2


def test_infinite_samples_do_not_outlive_the_window() -> None:
    evaluator = StreamEvaluator(recordings(["sum_over_time(m[20m])", "rate(m[20m])"]), complete_from_ms=NEVER)
    for tick in range(400):
        value = np.inf if tick == 100 else float(tick)
        block = make_block("a", {"instance": "a"}, join_keys(["m"]), START + 10_000 * tick, [value])
        evaluator.observe([block], evaluate=False)
    total, rate = (evaluation.value.tolist() for evaluation in evaluator.evaluate_at(START + 3_990_000))
    assert total == [float(sum(range(280, 400)))]
    assert rate == [0.1]
