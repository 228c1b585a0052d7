"""Texts that would overflow a stack are complaints with a place, in a process that goes on."""

import subprocess
import sys

import pytest

from fleetpulse.errors import RuleError
from fleetpulse.promql.nesting import DEEPEST, MOST_OPERATORS
from fleetpulse.promql.parse import parse
from fleetpulse.promql.rings import NEVER
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.load import read_text
from fleetpulse.rules.notation import labels_of
from fleetpulse.rules.templates import Template
from fleetpulse.wire import join_keys, make_block
from tests.support.promql_cases import recordings

MANY = 20_000
# Deep in parentheses and calls it ended the process; long chains took minutes.
TOO_DEEP = {
    "parentheses": "(" * MANY + "up" + ")" * MANY,
    "open": "(" * MANY,
    "calls": "abs(" * MANY + "up" + ")" * MANY,
    "aggregations": "sum by (instance) (" * MANY + "up" + ")" * MANY,
    "brackets": "up" + "[" * MANY,
    "signs": "-" * MANY + "up",
    "sums": "+".join(["up"] * MANY),
    "powers": "^".join(["up"] * MANY),
    "sets": " or ".join(["up"] * MANY),
    "a_pattern": 'up{a=~"' + "(" * MANY + ")" * MANY + '"}',
}


@pytest.mark.parametrize("what", TOO_DEEP)
def test_what_is_too_deep_is_a_short_complaint(what: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(TOO_DEEP[what])
    assert caught.value.reason in ("syntax", "regex")
    assert 10 < len(str(caught.value)) < 600


def test_the_file_and_its_line_are_named_and_the_other_rules_are_good() -> None:
    rules = [f"  - record: deep\n    expr: {TOO_DEEP['calls']}\n", "  - record: good\n    expr: up + 1\n"]
    groups, errors = read_text("deep.yaml", "groups:\n- name: g\n  rules:\n" + "".join(rules))
    assert [rule.name for group in groups for rule in group.rules] == ["good"]
    (error,) = errors
    assert str(error).startswith("deep.yaml:5: record rule: field 'expr': more than 100 parentheses are open at once")
    assert "column 404 of the expression" in str(error)


@pytest.mark.parametrize("text", ["[" * MANY, "- " * MANY, "{a: " * MANY, "groups: " + "[" * MANY + "]" * MANY])
def test_yaml_that_is_too_deep_is_a_complaint(text: str) -> None:
    groups, errors = read_text("deep.yaml", text)
    assert not groups
    assert str(errors[0]).startswith("deep.yaml:1: ")
    assert errors[0].reason == "yaml"


def test_templates_and_series_of_unit_tests_have_bounds_too() -> None:
    for action in ("(" * MANY + "1" + ")" * MANY, "$value" + " | humanize" * MANY):
        with pytest.raises(RuleError, match=r"more than 50 '\(' and '\|'") as caught:
            Template(f"{{{{ {action} }}}}")
        assert len(str(caught.value)) < 600
    with pytest.raises(RuleError, match="parentheses"):
        labels_of("(" * MANY + "up" + ")" * MANY)


@pytest.mark.parametrize(
    "expr",
    [
        "(" * DEEPEST + "up" + ")" * DEEPEST,
        "abs(" * DEEPEST + "up" + ")" * DEEPEST,
        "+".join(["up"] * (MOST_OPERATORS + 1)),
        " or ".join(["up"] * (MOST_OPERATORS + 1)),
        "^".join(["up"] * (MOST_OPERATORS + 1)),
        "-" * (MOST_OPERATORS - DEEPEST) + "abs(1 + " * DEEPEST + "up" + ")" * DEEPEST,
        'up{a!="' + "(+" * MANY + '",b=~"x|y"}' + f"  # {'(-' * MANY}",
    ],
)
def test_what_is_within_the_bounds_is_evaluated(expr: str) -> None:
    evaluator = StreamEvaluator(recordings([expr]), complete_from_ms=NEVER)
    block = make_block("a", {"instance": "a"}, join_keys(['up{b="x"}']), 1_800_000_000_000, [1.0])
    [evaluation] = evaluator.observe([block])
    assert len(evaluation.value) == 1


def test_the_process_goes_on() -> None:
    """The same through the command, in a process of its own: a stack that overflows is no exception there."""
    text = "groups: [{name: g, rules: [{record: deep, expr: '" + TOO_DEEP["calls"] + "'}]}]"
    code = f"from fleetpulse.rules.load import read_text; print(len(read_text('f', {text!r})[1]))"
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
