"""A rule that takes some columns of what another rule reads whole gets what it would read alone, to the bit."""

import random

import pytest

from fleetpulse.metric import STALE_NAN
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.model import Rule, RuleKind, rule_set
from fleetpulse.wire import Block, join_keys, make_block

T0 = 1_800_000_000_000
FUNCTIONS = ("rate", "increase", "avg_over_time", "max_over_time", "last_over_time")


def _rule(number: int, expr: str) -> Rule:
    return Rule(name=f"r:{number}", kind=RuleKind.RECORD, expr=expr, file="t.yaml", line=1, group="t")


def _blocks(seed: int) -> list[list[Block]]:
    """40 ticks of 3 hosts with resets, stale markers and missing ticks."""
    dice = random.Random(seed)
    value = [[100.0 * n for n in range(5)] for _ in range(3)]
    ticks = []
    for tick in range(40):
        blocks = []
        for host in range(3):
            value[host] = [0.5 if dice.random() < 0.04 else v + dice.uniform(0, 9) for v in value[host]]
            sent = [STALE_NAN if dice.random() < 0.01 else v for v in value[host]]
            keys = join_keys(f'work_total{{n="{n}"}}' for n in range(5))
            if dice.random() > 0.05:
                blocks.append(make_block(f"h{host}", {"instance": f"h{host}"}, keys, T0 + 10_000 * tick, sent))
        ticks.append(blocks)
    return ticks


def _found(exprs: list[str], seed: int, kept: int) -> dict[tuple[int, str, int, int], bytes]:
    """The last `kept` expressions' results: (expression, host, time, series) → the value's bytes."""
    rules = [_rule(number, expr) for number, expr in enumerate(exprs)]
    evaluator = StreamEvaluator(rule_set(rules), complete_from_ms=0)
    first = len(exprs) - kept
    results: dict[tuple[int, str, int, int], bytes] = {}
    for blocks in _blocks(seed):
        for evaluation in evaluator.observe(blocks):
            number = rules.index(evaluation.rule) - first
            places = enumerate(zip(evaluation.host_index.tolist(), evaluation.value, strict=True))
            for place, (row, value) in places if number >= 0 else ():
                series = place - evaluation.host_index.tolist().index(row)
                at_ms = int(evaluation.at_ms[row])
                results[number, evaluation.hosts[row], at_ms, series] = value.tobytes()
    return results


@pytest.mark.parametrize("seed", range(3))
def test_a_part_of_what_is_read_whole_is_the_same(seed: int) -> None:
    some = [f'{function}(work_total{{n=~"1|3"}}[1m])' for function in FUNCTIONS]
    whole = [f"{function}(work_total[1m])" for function in FUNCTIONS]
    alone = _found(some, seed, len(some))
    assert len(alone) > 500
    assert _found(whole + some, seed, len(some)) == alone
