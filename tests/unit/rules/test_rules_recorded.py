"""Recorded series: Prometheus' names and labels, one block a host and tick."""

import math

from fleetpulse.frames import columns_of
from fleetpulse.metric import STALE_NAN, host_of, with_common
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


def ticks(block: Block) -> list[dict[str, float]]:
    """A block's series and values, by time."""
    keys = [with_common(key, block.common) for key in block.series.decode().split("\n")]
    columns = columns_of(block)
    index = range(len(keys)) if columns.index is None else columns.index.tolist()
    found: dict[int, dict[str, float]] = {}
    for ts, place, value in zip(columns.ts.tolist(), index, columns.value.tolist(), strict=True):
        found.setdefault(ts, {})[keys[place]] = value
    assert sorted(found) == list(found)
    return list(found.values())


def test_each_host_is_one_block_also_of_several_ticks() -> None:
    blocks = [
        make_block(host, {"instance": host, "job": "node", "simulated": "true"}, b'x{n="1"}\nx{n="2"}', ts, [1.0, ts])
        for ts in (10, 20)
        for host in ("b", "a")
    ]
    one_tick, recorded = engine()
    apart = recorded.blocks(one_tick.observe(blocks[:2])) + recorded.blocks(one_tick.observe(blocks[2:]))
    assert [(block.host, block.ts, block.index) for block in apart] == [
        ("b", 10, b""), ("a", 10, b""), ("b", 20, b""), ("a", 20, b""),
    ]  # fmt: skip
    assert apart[1].common == {"instance": "a", "simulated": "true"}
    assert ticks(apart[3]) == [
        {
            'host:total{instance="a",simulated="true",unit="bytes"}': 21.0,
            'host:each{instance="a",job="node",n="1",simulated="true"}': 2.0,
            'host:each{instance="a",job="node",n="2",simulated="true"}': 40.0,
        }
    ]
    evaluator, recorded = engine()
    evaluator.observe([make_block("b", blocks[0].common, blocks[0].series, 5, [1, 1])], evaluate=False)
    evaluator.observe([make_block("a", blocks[1].common, blocks[1].series, 5, [1, 1])], evaluate=False)
    together = recorded.blocks(evaluator.observe(blocks))
    assert [block.host for block in together] == ["b", "a"]
    assert [ticks(block) for block in together] == [ticks(apart[n]) + ticks(apart[n + 2]) for n in (0, 1)]
    assert all(host_of({**block.common}) == block.host for block in together)


def test_ticks_with_other_series_are_other_blocks() -> None:
    evaluator, recorded = engine()
    common = {"instance": "a", "job": "node"}
    for ts in (1, 2):
        evaluator.observe([make_block("a", common, b'x{n="1"}\nx{n="2"}', ts, [1.0, 2.0])])
    out = recorded.blocks(
        evaluator.observe(
            [
                make_block("a", common, b'x{n="1"}\nx{n="2"}', 10, [1.0, 2.0]),
                make_block("a", common, b'x{n="1"}\nx{n="2"}', 20, [STALE_NAN, 2.0]),
                make_block("a", common, b'x{n="1"}\nx{n="2"}', 30, [1.0, 2.0]),
            ]
        )
    )
    assert [[len(tick) for tick in ticks(block)] for block in out] == [[3], [2], [3]]


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
