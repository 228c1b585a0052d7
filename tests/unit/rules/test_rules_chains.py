"""Groups with an interval of their own, and recording rules that would feed themselves."""

from pathlib import Path

import pytest

from fleetpulse.errors import RuleError
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.load import load
from fleetpulse.rules.model import Rule, RuleGroup, RuleKind, RuleSet
from fleetpulse.rules.recorded import RecordedSeries
from fleetpulse.wire import Block, join_keys, make_block
from tests.support.promql_cases import recordings

START = 1_800_000_000_000
HOSTS = (("a", "instance", "a"), ("b", "instance", "b:9100"), ("c:1", "host", "c:1"))


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
        (
            ["{record: a, expr: sum(b)}", "{record: b, expr: 'max_over_time(c[1h:1m])'}", "{record: c, expr: 'a @ 0'}"],
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


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_a_chain_is_of_one_tick_and_what_comes_back_changes_nothing(at_once: int) -> None:
    rules = recordings(["r1 + r2", "m * 2", "r1 + 0 * m", "avg_over_time(r0[1m]) - m"])
    evaluator = StreamEvaluator(rules, complete_from_ms=0)
    recorded = RecordedSeries(rules, evaluator.labels_of)
    blocks = [
        make_block(host, {label: text}, join_keys(["m"]), START + ms, [ms / 1000 + number])
        for ms in range(0, 200_000, 10_000)
        for number, (host, label, text) in enumerate(HOSTS)
    ]
    found: dict[tuple[str, str, int], float] = {}
    for start in range(0, len(blocks), at_once):
        evaluations = evaluator.observe(blocks[start : start + at_once], now_ms=START + 400_000)
        for each in evaluations:
            for place, value in zip(each.host_index.tolist(), each.value.tolist(), strict=True):
                key = (each.rule.name, each.hosts[place], int(each.at_ms[place]) - START)
                assert key not in found
                found[key] = value
        assert evaluator.observe(recorded.blocks(evaluations), now_ms=START + 400_000) == []
    assert len(found) == 4 * len(blocks)
    for number, (host, _, _) in enumerate(HOSTS):
        values = {ms: ms / 1000 + number for ms in range(0, 200_000, 10_000)}
        for ms, value in values.items():
            assert found["r1", host, ms] == 2 * value
            assert found["r2", host, ms] == 2 * value
            assert found["r0", host, ms] == 4 * value
            window = [4 * each for at, each in values.items() if ms - 60_000 < at <= ms]
            assert found["r3", host, ms] == pytest.approx(sum(window) / len(window) - value)


def test_what_was_recorded_before_a_restart_comes_from_the_topic() -> None:
    rules = recordings(["m * 2", "count_over_time(r0[10m])"])
    evaluator = StreamEvaluator(rules, complete_from_ms=0)
    for ms in range(0, 100_000, 10_000):
        derived = make_block("a", {"instance": "a"}, join_keys(["r0"]), START + ms, [1.0])
        evaluator.observe([tick("a", ms), derived], evaluate=False, now_ms=START + ms)
    evaluator.adopt_filled_ticks()
    found = evaluator.observe([tick("a", 110_000)], now_ms=START + 700_000)
    assert {each.rule.name: each.value.tolist() for each in found} == {"r0": [2.0], "r1": [11.0]}
    # What the last owner had published after the position comes now, for the windows only.
    late = make_block("a", {"instance": "a"}, join_keys(["r0"]), START + 100_000, [1.0])
    assert evaluator.observe([late], now_ms=START + 700_000) == []
    found = evaluator.observe([tick("a", 120_000)], now_ms=START + 700_000)
    assert {each.rule.name: each.value.tolist() for each in found} == {"r0": [2.0], "r1": [13.0]}
