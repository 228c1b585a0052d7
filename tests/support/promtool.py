"""Asks a promtool for the value of expressions over given samples: Debian's, or a newer one by its path."""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

Sample = tuple[frozenset[tuple[str, str]], float]
_HEAD = re.compile(r'^\s*expr: "(?P<expr>.*)", time: (?P<time>\S+),(?P<rest>.*)$')
_SAMPLE = re.compile(r"(\{[^{}]*\}) ([-+.\w]+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


NEWER = "FLEETPULSE_TEST_PROMTOOL"


class Promtool(NamedTuple):
    """A program, and the Prometheus whose semantics it has: 2 (closed windows) or 3."""

    path: str
    version: int


DEBIAN = Promtool("promtool", 2)


def newer() -> list[Promtool]:
    """The promtool of Prometheus 3 that the variable names; none when it is not set."""
    path = os.environ.get(NEWER, "")
    return [Promtool(path, 3)] if path else []


class PromtoolError(Exception):
    """promtool gave an answer that is not one of failed expectations."""


def evaluate(
    folder: Path,
    series: Mapping[str, Sequence[str]],
    interval_s: int,
    queries: Sequence[tuple[str, int]],
    program: Promtool = DEBIAN,
    rules: Path | None = None,
) -> list[frozenset[Sample] | str]:
    """The result of each (expression, seconds) over `series` (key → values every `interval_s`, `_` for none).

    promtool prints what it got for an expectation that fails, so each expectation names a series that is not
    there. An expression that cannot be evaluated gives its error's text. The rules of a file are evaluated
    every minute.
    """
    never = [{"labels": 'never{promtool="wrong"}', "value": 0}]
    test = {
        "interval": f"{interval_s}s",
        "input_series": [{"series": key, "values": " ".join(values)} for key, values in series.items()],
        "promql_expr_test": [
            {"expr": expr, "eval_time": f"{seconds}s", "exp_samples": never} for expr, seconds in queries
        ],
    }
    path = folder / "promtool.yaml"
    suite = {"rule_files": [str(rules)], "evaluation_interval": "1m"} if rules else {"evaluation_interval": "5s"}
    path.write_text(json.dumps({**suite, "tests": [test]}))  # which is YAML, and quick
    features = ["--enable-feature=promql-experimental-functions"] if program.version == 3 else []
    command = [program.path, "test", "rules", *features, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    answers = _answers(done.stdout + done.stderr)
    if len(answers) != len(queries):
        raise PromtoolError(f"{len(answers)} answers for {len(queries)} queries: {(done.stdout + done.stderr)[:2000]}")
    return answers


def _answers(output: str) -> list[frozenset[Sample] | str]:
    answers: list[frozenset[Sample] | str] = []
    for line in output.splitlines():
        head = _HEAD.match(line)
        if head:
            answers.append(head["rest"].strip())
        elif line.strip().startswith("got:"):
            answers[-1] = _vector(line.strip().removeprefix("got:"))
    return answers


def _vector(text: str) -> frozenset[Sample]:
    return frozenset((frozenset(_LABEL.findall(labels)), float(value)) for labels, value in _SAMPLE.findall(text))
