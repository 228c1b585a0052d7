"""Recorded series: Prometheus' names and labels, one block a host and tick."""

import math

from fleetpulse.frames import columns_of
from fleetpulse.metric import host_of, with_common
from fleetpulse.promql.rings import NEVER
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.load import read_text
from fleetpulse.rules.model import RuleSet
from fleetpulse.rules.recorded import RecordedSeries
from fleetpulse.wire import Block, make_block

RULES = """
groups:
- name: g
  rules:
  - {record: "host:total", expr: sum without (n) (x), labels: {unit: bytes, job: ""}}
  - {record: "host:each", expr: x * 2}
  - {alert: A, expr: x > 0}
"""


def engine() -> tuple[StreamEvaluator, RecordedSeries]:
    rules = RuleSet(tuple(read_text("f.yaml", RULES)[0]))
    evaluator = StreamEvaluator(rules, complete_from_ms=NEVER)
    return evaluator, RecordedSeries(rules, evaluator.labels_of)


def samples(block: Block) -> dict[str, float]:
    keys = [with_common(key, block.common) for key in block.series.decode().split("\n")]
    return dict(zip(keys, columns_of(block).value.tolist(), strict=True))


def test_each_host_and_tick_is_one_block() -> None:
    evaluator, recorded = engine()
    blocks = [
        make_block(host, {"instance": host, "job": "node", "simulated": "true"}, b'x{n="1"}\nx{n="2"}', ts, [1.0, ts])
        for ts in (10, 20)
        for host in ("b", "a")
    ]
    out = recorded.blocks(evaluator.observe(blocks))
    assert [(block.host, block.ts) for block in out] == [("a", 10), ("a", 20), ("b", 10), ("b", 20)]
    assert out[0].common == {"instance": "a", "simulated": "true"}
    assert samples(out[1]) == {
        'host:total{instance="a",simulated="true",unit="bytes"}': 21.0,
        'host:each{instance="a",job="node",n="1",simulated="true"}': 2.0,
        'host:each{instance="a",job="node",n="2",simulated="true"}': 40.0,
    }
    assert all(host_of({**block.common}) == block.host for block in out)


def test_values_travel_as_they_are_and_alerts_are_not_recorded() -> None:
    evaluator, recorded = engine()
    (block,) = recorded.blocks(evaluator.observe([make_block("a", {"instance": "a"}, b"x", 10, [math.inf])]))
    assert samples(block) == {'host:total{instance="a",unit="bytes"}': math.inf, 'host:each{instance="a"}': math.inf}
    (block,) = recorded.blocks(evaluator.observe([make_block("a", {"instance": "a"}, b"x", 20, [math.nan])]))
    assert all(math.isnan(value) for value in samples(block).values())
    assert recorded.blocks([]) == []


def test_a_recorded_series_can_be_read_by_a_rule() -> None:
    evaluator, recorded = engine()
    out = recorded.blocks(evaluator.observe([make_block("a", {"instance": "a", "job": "n"}, b"x", 10, [3.0])]))
    rules = RuleSet(tuple(read_text("f.yaml", RULES.replace("expr: x * 2", "expr: \"{__name__='host:total'}\""))[0]))
    second = StreamEvaluator(rules, complete_from_ms=NEVER)
    (evaluation,) = second.observe(out)
    assert evaluation.value.tolist() == [3.0]
    assert second.labels_of(int(evaluation.key[0])) == {"instance": "a", "unit": "bytes"}
