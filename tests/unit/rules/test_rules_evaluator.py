"""The stream evaluator: ticks, late samples, hosts together, warmth, forgetting."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from fleetpulse.errors import FrameError, RuleError
from fleetpulse.promql.rings import NEVER
from fleetpulse.rules.evaluation import Evaluation
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.model import Rule, RuleKind, rule_set
from fleetpulse.wire import Block, join_keys, make_block

T = 1_700_000_000_000
Found = dict[tuple[str, str, int], dict[str, float]]  # (rule, host, tick) → labels → value


def rule(name: str, expr: str) -> Rule:
    return Rule(name, RuleKind.RECORD, expr, "f.yaml", 1, "g")


def evaluator(*exprs: str, complete_from_ms: int | None = NEVER) -> StreamEvaluator:
    return StreamEvaluator(rule_set([rule(f"r{i}", e) for i, e in enumerate(exprs)]), complete_from_ms=complete_from_ms)


def block(host: str, at: float, samples: Mapping[str, float], **common: str) -> Block:
    labels = {"instance": host, "job": "node", **common}
    return make_block(host, labels, join_keys(samples), T + round(1000 * at), samples.values())


def found(engine: StreamEvaluator, evaluations: Sequence[Evaluation]) -> Found:
    """What was evaluated; every evaluated host has an entry, held ones none."""
    results: Found = {}
    for evaluation in evaluations:
        for host, at_ms, held in zip(evaluation.hosts, evaluation.at_ms, evaluation.held, strict=True):
            if not held:
                results[evaluation.rule.name, host, int(at_ms) - T] = {}
        for index, key, value in zip(evaluation.host_index, evaluation.key, evaluation.value, strict=True):
            place = evaluation.rule.name, evaluation.hosts[index], int(evaluation.at_ms[index]) - T
            labels = ",".join(f"{n}={v}" for n, v in sorted(engine.labels_of(int(key)).items()))
            results[place][labels] = float(value)
    return results


def test_each_new_timestamp_is_evaluated_once() -> None:
    engine = evaluator("x")
    assert found(engine, engine.observe([block("a", 10, {"x": 1})])) == {
        ("r0", "a", 10_000): {"instance=a,job=node": 1.0}
    }
    assert engine.observe([block("a", 10, {"x": 1})]) == []
    assert engine.late_samples == 1
    assert found(engine, engine.observe([block("a", 20, {"x": 2}), block("a", 30, {"x": 3})])) == {
        ("r0", "a", 20_000): {"instance=a,job=node": 2.0},
        ("r0", "a", 30_000): {"instance=a,job=node": 3.0},
    }


def test_a_late_sample_updates_windows_and_evaluates_nothing() -> None:
    engine = evaluator("max_over_time(x[1m])")
    engine.observe([block("a", 20, {"x": 1})])
    assert engine.observe([block("a", 10, {"x": 50})]) == []
    assert (engine.late_samples, engine.matched_samples) == (1, 2)
    (result,) = found(engine, engine.observe([block("a", 30, {"x": 2})])).values()
    assert result == {"instance=a,job=node": 50.0}


def test_batches_do_not_change_what_is_evaluated() -> None:
    blocks = [
        block(host, at, {"x": at + n, "y": 1.0} if at % 20 else {"x": at + n})
        for at in (10, 20, 15, 30, 40, 40, 35, 50)
        for n, host in enumerate(("a", "b", "c"))
    ]
    one, many = evaluator("rate(x[1m])", "x / y", "y"), evaluator("rate(x[1m])", "x / y", "y")
    together = found(one, one.observe(blocks))
    apart: Found = {}
    for each in blocks:
        apart |= found(many, many.observe([each]))
    assert together == apart
    assert len(together) > 20
    assert one.late_samples == many.late_samples


def test_neighbouring_blocks_of_one_time_are_one_tick() -> None:
    engine = evaluator("x + y", "x")
    results = found(engine, engine.observe([block("a", 10, {"x": 1}), block("a", 10, {"y": 2})]))
    assert results["r0", "a", 10_000] == {"instance=a,job=node": 3.0}
    assert len(results) == 2


def test_a_block_of_several_times_is_evaluated_in_order() -> None:
    engine = evaluator("x", "y")
    stamps = [T + 20_000, T + 10_000, T + 10_000]
    several = make_block("a", {"instance": "a"}, b"x\ny", stamps, [2.0, 1.0, 7.0], [0, 0, 1])
    evaluations = engine.observe([several])
    assert [int(e.at_ms[0]) - T for e in evaluations if e.rule.name == "r0"] == [10_000, 20_000]
    assert set(found(engine, evaluations)) == {("r0", "a", 10_000), ("r1", "a", 10_000), ("r0", "a", 20_000)}


def test_hosts_of_one_layout_are_evaluated_together_also_at_different_times() -> None:
    engine = evaluator("sum without (n) (x)")
    hosts = [f"h{i}" for i in range(200)]
    blocks = [block(host, 10 + i / 1000, {'x{n="1"}': i, 'x{n="2"}': 1}) for i, host in enumerate(hosts)]
    (evaluation,) = engine.observe(blocks)
    assert evaluation.hosts == hosts
    assert (evaluation.at_ms - T).tolist() == [10_000 + i for i in range(200)]
    assert evaluation.value.tolist() == [i + 1 for i in range(200)]
    assert len(engine._plans.plans) == 1


def test_hosts_of_different_layouts_are_one_evaluation() -> None:
    engine = evaluator("max without (n) (x)", 'x{n="2"} > 5')
    samples = [{f'x{{n="{n}"}}': float(n + h) for n in range(h + 1)} for h in range(5)]
    evaluations = engine.observe([block(f"h{h}", 10, each) for h, each in enumerate(samples)])
    assert [sorted(e.hosts) for e in evaluations] == [["h0", "h1", "h2", "h3", "h4"], ["h2", "h3", "h4"]]
    results = found(engine, evaluations)
    assert [results["r0", f"h{h}", 10_000][f"instance=h{h},job=node"] for h in range(5)] == [0, 2, 4, 6, 8]
    assert results["r1", "h3", 10_000] == {}
    assert results["r1", "h4", 10_000] == {"instance=h4,job=node,n=2": 6.0}


def test_a_host_without_a_selected_series_is_not_evaluated() -> None:
    engine = evaluator('x{job="app"}', 'x{instance="b"}', "y")
    assert engine.observe([block("a", 10, {"z": 1})]) == []
    assert engine.matched_samples == 0
    assert engine.observe([block("a", 20, {"x": 1})]) == []
    assert (engine.late_samples, engine.evaluated) == (0, 0)
    assert set(found(engine, engine.observe([block("b", 20, {"x": 1})]))) == {("r1", "b", 20_000)}


def test_matchers_on_the_host_itself() -> None:
    engine = evaluator('x{instance=~"web-.*"}', 'x{instance!="web-1"}')
    results = found(engine, engine.observe([block(host, 10, {"x": 1}) for host in ("web-1", "web-2", "db-1")]))
    assert set(results) == {
        ("r0", "web-1", 10_000),
        ("r0", "web-2", 10_000),
        ("r1", "web-2", 10_000),
        ("r1", "db-1", 10_000),
    }


def test_label_sets_have_one_key_across_layouts_and_rules() -> None:
    engine = evaluator("x", "x + 1", "max without (m) (y)")
    (first, second, _) = engine.observe([block("a", 10, {'x{n="1"}': 1, "y": 1})])
    assert first.key.tolist() == second.key.tolist()
    third = engine.observe([block("a", 20, {'x{n="0"}': 2, 'x{n="1"}': 1, "y": 1})])[0]
    assert first.key[0] in third.key
    assert len(set(third.key.tolist())) == 2


def test_a_vanished_series_is_gone_after_the_lookback_and_its_column_later() -> None:
    engine = evaluator("x")
    engine.observe([block("a", 0, {'x{n="1"}': 1, 'x{n="2"}': 2})])
    sizes = []
    for tick in range(1, 80):
        (evaluation,) = engine.observe([block("a", 10 * tick, {'x{n="1"}': 1})])
        sizes.append(len(evaluation.value))
    assert sizes[:29] == [2] * 29
    assert sizes[29:] == [1] * 50
    (store,) = engine._intake.metrics["x"].stores.values()
    assert len(store.layout.columns) == 1


def test_the_windows_hold_what_the_longest_range_needs_and_no_more() -> None:
    engine = evaluator("count by (instance) (x)", "increase(x[10m])")
    for tick in range(500):
        evaluations = engine.observe([block("a", tick, {"x": float(tick)})])
    assert found(engine, evaluations)["r1", "a", 499_000]["instance=a,job=node"] == pytest.approx(499)
    (store,) = engine._intake.metrics["x"].stores.values()
    for tick in range(500, 1500):
        evaluations = engine.observe([block("a", tick, {"x": float(tick)})])
    assert found(engine, evaluations)["r1", "a", 1_499_000]["instance=a,job=node"] == pytest.approx(600)
    (store,) = engine._intake.metrics["x"].stores.values()
    assert store.rings.capacity == 1024


def test_rules_are_held_until_their_windows_are_warm() -> None:
    engine = evaluator("rate(x[1m])", "x", complete_from_ms=None)
    early = engine.observe([block("a", 0, {"x": 1})], now_ms=T)
    assert [e.held.tolist() for e in early] == [[True], [True]]
    assert all(len(e.value) == 0 for e in early)
    later = engine.observe([block("a", 60, {"x": 1})], now_ms=T + 60_000)
    assert [e.held.tolist() for e in later] == [[False], [True]]
    last = engine.observe([block("a", 300, {"x": 1})], now_ms=T + 300_000)
    assert [e.held.tolist() for e in last] == [[False], [False]]


def test_warm_up_fills_and_evaluates_nothing() -> None:
    engine = evaluator("increase(x[1m])", complete_from_ms=T)
    for at in range(0, 60, 10):
        assert engine.observe([block("a", at, {"x": at})], evaluate=False) == []
    assert engine.last_tick(engine._program.rules[0], "a") is None
    results = found(engine, engine.observe([block("a", 60, {"x": 60})]))
    assert results["r0", "a", 60_000]["instance=a,job=node"] == pytest.approx(60)


def test_a_ring_of_a_quarter_of_an_hour_moves_once() -> None:
    engine = evaluator("avg_over_time(x[15m])")
    capacities = []
    for second in range(0, 1500, 10):
        engine.observe([block("a", second, {"x": 1})])
        (stores,) = (
            {store.rings.capacity for store in metric._by_key.values()} for metric in engine._intake.metrics.values()
        )
        capacities.append(max(stores))
    assert sorted(set(capacities)) == [4, 128]
    assert capacities.index(128) == 4


def test_restored_ticks_are_not_evaluated_again() -> None:
    engine = evaluator("x")
    (one,) = engine._program.rules
    engine.observe([block("a", 20, {"x": 1})], evaluate=False)
    engine.adopt_filled_ticks()
    assert engine.last_tick(one, "a") == T + 20_000
    assert engine.observe([block("a", 20, {"x": 1})]) == []
    assert len(engine.observe([block("a", 20.001, {"x": 1})])) == 1
    assert engine.last_tick(one, "a") == T + 20_001
    assert engine.last_tick(one, "nobody") is None


def test_a_forgotten_host_starts_anew() -> None:
    engine = evaluator("max_over_time(x[1m])")
    (first,) = engine.observe([block("a", 10, {"x": 9}), block("b", 10, {"x": 8})])
    engine.forget("a")
    engine.forget("nobody")
    with pytest.raises(KeyError):
        engine.labels_of(int(first.key[0]))
    results = found(
        engine, engine.observe([block("c", 5, {"x": 1}), block("a", 5, {"x": 2}), block("b", 20, {"x": 1})])
    )
    assert results == {
        ("r0", "c", 5000): {"instance=c,job=node": 1.0},
        ("r0", "a", 5000): {"instance=a,job=node": 2.0},
        ("r0", "b", 20_000): {"instance=b,job=node": 8.0},
    }


def test_ambiguous_matching_holds_the_hosts_concerned_alone() -> None:
    engine = evaluator("x / on (instance) y")
    twins = {"x": 4.0, 'y{n="1"}': 1.0, 'y{n="2"}': 2.0}
    (evaluation,) = engine.observe([block("a", 10, twins), block("b", 10, {"x": 4, 'y{n="1"}': 2})])
    assert evaluation.errors.keys() == {evaluation.hosts.index("a")}
    assert "duplicate series" in evaluation.errors[evaluation.hosts.index("a")]
    assert evaluation.held.tolist() == [host == "a" for host in evaluation.hosts]
    assert found(engine, [evaluation]) == {("r0", "b", 10_000): {"instance=b": 2.0}}


def test_twins_without_their_names_are_an_error_of_the_rule() -> None:
    engine = evaluator('{__name__=~"x|y"}')
    (evaluation,) = engine.observe([block("a", 10, {"x": 1, "y": 2}), block("b", 10, {"x": 1})])
    assert "same labelset" in evaluation.errors[evaluation.hosts.index("a")]
    assert found(engine, [evaluation]) == {("r0", "b", 10_000): {"instance=b,job=node": 1.0}}


def test_a_result_that_lost_its_host_gets_it_back() -> None:
    engine = evaluator("sum by (host) (x)")
    results = found(engine, engine.observe([block("a", 10, {"x": 1}), block("b", 10, {"x": 2})]))
    assert results == {("r0", "a", 10_000): {"host=a": 1.0}, ("r0", "b", 10_000): {"host=b": 2.0}}


def test_targets_of_one_host_stay_apart() -> None:
    engine = evaluator("x")
    node = make_block("a", {"instance": "a:9100", "job": "node"}, b"x", T, [1.0])
    app = make_block("a", {"instance": "a:8080", "job": "app"}, b"x", T, [2.0])
    results = found(engine, engine.observe([node, app]))
    assert results == {("r0", "a", 0): {"instance=a:9100,job=node": 1.0, "instance=a:8080,job=app": 2.0}}


def test_samples_from_the_future_are_left_out() -> None:
    engine = evaluator("x")
    assert engine.observe([block("a", 3600, {"x": 1})], now_ms=T) == []
    assert len(engine.observe([block("a", 10, {"x": 1})], now_ms=T + 10_000)) == 1


def test_absurd_times_are_left_out() -> None:
    engine = evaluator("rate(x[1m])")
    absurd = [make_block("a", {"instance": "a"}, b"x", ts, [1.0]) for ts in (2**62, -(2**62), 2**63, -(2**70))]
    assert engine.observe(absurd) == []
    assert len(engine.observe([block("a", 10, {"x": 1})])) == 1


def test_layouts_that_come_and_go_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetpulse.rules.plans._FEWEST_PLANS", 10)
    engine = evaluator("sum without (device) (rate(x[1m]))", "x > 3")
    for tick in range(480):
        samples = {f'x{{device="veth{tick // 12 + n}"}}': float(tick) for n in range(2)}
        evaluations = engine.observe([block(host, 10 * tick, samples) for host in ("a", "b")])
    assert found(engine, evaluations)["r0", "a", 4_790_000] == {"instance=a,job=node": pytest.approx(0.2)}
    assert len(engine._plans.plans) < 40
    (store,) = engine._intake.metrics["x"].stores.values()
    assert store.rings.nbytes < 40_000


def test_special_values_go_through() -> None:
    engine = evaluator("x", "x > 0", "x / 0")
    results = found(engine, engine.observe([block("a", 10, {"x": math.inf}), block("b", 10, {"x": math.nan})]))
    assert results["r0", "a", 10_000]["instance=a,job=node"] == math.inf
    assert math.isnan(results["r0", "b", 10_000]["instance=b,job=node"])
    assert results["r1", "b", 10_000] == {}
    assert results["r2", "a", 10_000]["instance=a,job=node"] == math.inf


def test_broken_blocks_are_refused() -> None:
    engine = evaluator("x")
    for broken in (
        Block("a", {"instance": "a"}, b"x\ny", T, np.array([1.0]).tobytes()),
        Block("a", {"instance": "a"}, b"x", T, b"123"),
        Block("a", {"instance": "a"}, b"x", T, np.array([1.0]).tobytes(), np.array([3], dtype=np.uint32).tobytes()),
        Block("a", {"instance": "a"}, b"x\xff{", T, np.array([1.0]).tobytes()),
    ):
        with pytest.raises(FrameError):
            engine.observe([broken])


def test_a_rule_that_does_not_compile_names_its_place() -> None:
    with pytest.raises(RuleError, match=r"f\.yaml:1: rule 'r0': .*did you mean rate"):
        evaluator("rte(x[1m])")


def test_each_rule_adopts_the_ticks_of_its_own_warm_up() -> None:
    engine = evaluator("x", "y")
    hosts = [f"h{number}" for number in range(100)]
    engine.observe([block("h0", 500, {"y": 1})], evaluate=False)
    engine.observe([block(host, 20, {"x": 1}) for host in hosts], evaluate=False)
    engine.observe([block("h0", 10, {"x": 1})], evaluate=False)
    x, y = engine._program.rules
    assert engine.last_tick(x, "h0") is None
    engine.adopt_filled_ticks()
    assert {engine.last_tick(x, host) for host in hosts} == {T + 20_000}
    assert (engine.last_tick(y, "h0"), engine.last_tick(y, "h1")) == (T + 500_000, None)
