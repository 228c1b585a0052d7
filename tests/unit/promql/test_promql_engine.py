"""The engine beside the plain reference, at the ticks themselves and over disordered input."""

import random

import pytest

from fleetpulse.metric import STALE_NAN
from fleetpulse.promql.parse import parse
from fleetpulse.promql.rings import NEVER
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.wire import Block, join_keys, make_block
from tests.support.promql_cases import EXPRESSIONS, TICKS, blocks_at, fleet, points, recordings, results, same
from tests.support.promql_reference import EvaluationError, Labels, Points, Reference

START = 1_700_000_000_000


def expected(data: dict[Labels, Points], expr: str, at_ms: int) -> dict[Labels, float] | None:
    """The reference's vector as a rule has it: without names, None when it is refused."""
    try:
        vector = Reference(data).vector(parse(expr), at_ms)
    except EvaluationError:
        return None
    bare = {frozenset(p for p in labels if p[0] != "__name__"): value for labels, value in vector.items()}
    return bare if len(bare) == len(vector) else None


def check(evaluator: StreamEvaluator, data: dict[Labels, Points], exprs: tuple[str, ...], at_ms: int) -> None:
    found = results(evaluator, at_ms)
    for i, expr in enumerate(exprs):
        want, got = expected(data, expr, at_ms), found.get(f"r{i}", {})
        agree = want is got if want is None or got is None else same(want, got)
        assert agree, f"{expr} at {at_ms - START}: engine {got}, reference {want}"


@pytest.mark.parametrize("offset_ms", [0, 1, 9_999])
def test_every_expression_at_and_beside_the_ticks(offset_ms: int) -> None:
    series = fleet()
    data = points(series, START)
    evaluator = StreamEvaluator(recordings(EXPRESSIONS), complete_from_ms=NEVER)
    for tick in range(TICKS):
        evaluator.observe(list(blocks_at(series, tick, START)), evaluate=False)
        if tick % 9 == 0 or tick > TICKS - 3:
            check(evaluator, data, EXPRESSIONS, START + 10_000 * tick + offset_ms)


def test_evaluations_on_the_stream_are_those_of_the_reference() -> None:
    series = fleet()
    data = points(series, START)
    evaluator = StreamEvaluator(recordings(EXPRESSIONS), complete_from_ms=NEVER)
    compared = 0
    for tick in range(TICKS):
        evaluations = evaluator.observe(list(blocks_at(series, tick, START)))
        if tick % 8:
            continue
        for evaluation in evaluations:
            want = expected(data, evaluation.rule.expr, START + 10_000 * tick)
            got = [
                (evaluation.hosts[i], frozenset(evaluator.labels_of(int(key)).items()), float(value))
                for i, key, value in zip(evaluation.host_index, evaluation.key, evaluation.value, strict=True)
            ]
            assert {host for host, _, _ in got}.isdisjoint(evaluation.hosts[i] for i in evaluation.errors)
            assert len(got) == len({labels for _, labels, _ in got})
            if want is None:
                assert evaluation.errors
                continue
            assert evaluation.at_ms.tolist() == [START + 10_000 * tick] * len(evaluation.hosts)
            assert all(dict(labels)["instance"].partition(":")[0] == host for host, labels, _ in got)
            mine = {labels: value for labels, value in want.items() if _host(labels) in evaluation.hosts}
            assert same(mine, {labels: value for _, labels, value in got}), evaluation.rule.expr
            compared += len(mine)
    assert compared > 1000


def _host(labels: Labels) -> str:
    return dict(labels)["instance"].partition(":")[0]


def test_older_times_can_be_asked_for_when_newer_samples_are_in() -> None:
    series = fleet()
    data = points(series, START)
    evaluator = StreamEvaluator(recordings(EXPRESSIONS), complete_from_ms=NEVER)
    for tick in range(TICKS):
        evaluator.observe(list(blocks_at(series, tick, START)), evaluate=False)
    # Windows are kept for five minutes: a range of one minute can be read up to four minutes back.
    exprs = tuple(expr for expr in EXPRESSIONS if "5m" not in expr and "[" in expr)
    evaluator = StreamEvaluator(recordings((*exprs, "c", "gauge", "odd", "late", "total")), complete_from_ms=NEVER)
    for tick in range(TICKS):
        evaluator.observe(list(blocks_at(series, tick, START)), evaluate=False)
    for tick in (TICKS - 1, TICKS - 20, TICKS - 10):
        check(evaluator, data, exprs, START + 10_000 * tick)


def disordered(rng: random.Random) -> tuple[list[Block], dict[Labels, Points]]:
    """Blocks of two hosts with random gaps, late and repeated samples, several times a block; and their points."""
    blocks: list[Block] = []
    data: dict[Labels, dict[int, float]] = {}
    for host in ("a", "b"):
        keys = [f'c{{n="{n}"}}' for n in range(3)] + ["gauge", 'late{x="1"}']
        times = [START + 10_000 * tick + (rng.randrange(3000) if host == "b" else 0) for tick in range(60)]
        for i in range(len(times) - 3):
            if rng.random() < 0.15:  # a sample overtaken by the next ones
                times[i], times[i + rng.randrange(1, 3)] = times[i + rng.randrange(1, 3)], times[i]
        for ts in times:
            picked = sorted(rng.sample(range(len(keys)), rng.choice((5, 5, 5, 4, 2))))
            if not picked:
                continue
            moments = [ts] if rng.random() < 0.8 else [ts, ts + 3000]
            index = [i for _ in moments for i in range(len(picked))]
            stamps = [moment for moment in moments for _ in picked]
            values = [STALE_NAN if rng.random() < 0.03 else float(rng.randrange(100)) for _ in index]
            series = [keys[i] for i in picked]
            blocks.append(make_block(host, {"instance": host}, join_keys(series), stamps, values, index))
            for i, stamp, value in zip(index, stamps, values, strict=True):
                name, _, rest = series[i].partition("{")
                own = {tuple(pair.split("=")) for pair in rest.rstrip("}").replace('"', "").split(",") if pair}
                labels: Labels = frozenset({("__name__", name), ("instance", host), *own})  # type: ignore[arg-type]
                kept = data.setdefault(labels, {}).get(stamp)
                # Of two samples for one time the larger stays, NaN above all.
                if kept is None or value > kept or value != value:
                    data[labels][stamp] = value
    return blocks, {labels: sorted(found.items()) for labels, found in data.items()}


EXPRS = (
    "c",
    "rate(c[1m])",
    "increase(c[2m])",
    "gauge",
    "max_over_time(late[1m])",
    "sum by (instance) (c)",
    "c - on (instance, n) c",
    "avg_over_time(gauge[90s])",
    'rate({__name__=~"c|gauge"}[1m])',
)


@pytest.mark.parametrize("seed", range(12))
def test_disordered_samples_fill_the_same_windows(seed: int) -> None:
    rng = random.Random(seed)
    blocks, data = disordered(rng)
    evaluator = StreamEvaluator(recordings(EXPRS), complete_from_ms=NEVER)
    rng.shuffle(blocks)  # hosts and times in any order, but no older than the windows
    blocks.sort(
        key=lambda block: int.from_bytes(block.ts[:8], "little") // 60_000 if isinstance(block.ts, bytes) else 0
    )
    while blocks:
        size = rng.randrange(1, 6)
        evaluator.observe(blocks[:size], evaluate=False)
        del blocks[:size]
    for back in (0, 1, 15_000, 61_234):
        check(evaluator, data, EXPRS, START + 600_000 - back)
