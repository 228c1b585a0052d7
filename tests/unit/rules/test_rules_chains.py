"""Groups with an interval of their own, and recording rules that would feed themselves."""

from pathlib import Path

import pytest

from fleetpulse.errors import RuleError
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.load import load
from fleetpulse.rules.model import Rule, RuleGroup, RuleKind, RuleSet
from fleetpulse.wire import Block, join_keys, make_block

START = 1_800_000_000_000


def tick(host: str, ms: int) -> Block:
    return make_block(host, {"instance": host}, join_keys(["m"]), START + ms, [1.0])


def paced(interval_ms: int | None) -> RuleSet:
    rules = [Rule(f"r{n}", RuleKind.RECORD, "m", "f.yaml", n, f"g{n}") for n in (1, 2)]
    groups = (RuleGroup("g1", "f.yaml", 1, (rules[0],), interval_ms), RuleGroup("g2", "f.yaml", 2, (rules[1],)))
    return RuleSet(groups)


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_a_group_with_an_interval_is_evaluated_at_the_first_tick_of_each(at_once: int) -> None:
    evaluator = StreamEvaluator(paced(30_000), complete_from_ms=0)
    blocks = [tick(host, ms + shift) for ms in range(0, 120_000, 10_000) for host, shift in (("a", 0), ("b", 4000))]
    found: dict[tuple[str, str], list[int]] = {}
    for start in range(0, len(blocks), at_once):
        for evaluation in evaluator.observe(blocks[start : start + at_once], now_ms=START + 120_000):
            for host, at_ms in zip(evaluation.hosts, evaluation.at_ms.tolist(), strict=True):
                found.setdefault((evaluation.rule.name, host), []).append(at_ms - START)
    assert found["r1", "a"] == [0, 30_000, 60_000, 90_000]
    assert found["r1", "b"] == [4_000, 34_000, 64_000, 94_000]
    assert found["r2", "a"] == list(range(0, 120_000, 10_000))
    assert evaluator.late_samples == 0


def test_a_host_that_pauses_is_evaluated_at_its_next_tick_and_a_late_one_never() -> None:
    evaluator = StreamEvaluator(paced(60_000), complete_from_ms=0)
    times = [10_000, 20_000, 190_000, 130_000, 200_000, 240_000]
    evaluations = [each for ms in times for each in evaluator.observe([tick("a", ms)], now_ms=START + 250_000)]
    assert [int(each.at_ms[0]) - START for each in evaluations if each.rule.name == "r1"] == [10_000, 190_000, 240_000]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            ["{record: a, expr: a + 1}"],
            "recording rule 'a' feeds itself: a ({f}:5) reads a ({f}:5); record it under another name",
        ),
        (
            ["{record: a, expr: 'rate(b[1m])'}", "{record: b, expr: c * 2}", "{record: c, expr: 'a{x=\"1\"}'}"],
            "recording rule 'a' feeds itself: a ({f}:5) reads b ({f}:6) reads c ({f}:7) reads a ({f}:5)",
        ),
        (["{record: host_all, expr: '{__name__=~\"host_.*\"}'}"], "recording rule 'host_all' feeds itself"),
    ],
)
def test_a_recording_that_feeds_itself_is_an_error_that_shows_the_way(
    rules: list[str], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "\n".join(["groups:", "  - name: g", "    interval: 30s", "    rules:", *(f"      - {r}" for r in rules)])
    )
    with pytest.raises(RuleError) as raised:
        load([file])
    assert message.format(f=file) in str(raised.value)


def test_a_chain_and_another_label_feed_nobody(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    rules = ["{record: a, expr: m}", "{record: b, expr: a}", "{record: c, labels: {k: x}, expr: 'c{k=\"y\"}'}"]
    file.write_text("\n".join(["groups:", "  - name: g", "    rules:", *(f"      - {r}" for r in rules)]))
    assert len(load([file]).rules) == 3
