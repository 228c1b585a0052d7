"""What Prometheus 3 gave for the expressions of `promql_language`, and random ones, at the sample ticks.

``python -m tests.support.promql_golden PROMTOOL VERSION`` writes it again, with the promtool of a Prometheus 3.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.promql_agreement import Vector, prometheus_values
from tests.support.promql_language import expressions
from tests.support.promql_random import random_expressions
from tests.support.promtool import Promtool

PATH = Path(__file__).parents[1] / "golden" / "promql_3.jsonl"
TIMES = (130, 160, 230, 440)
_DIGITS = 12


class Golden(NamedTuple):
    """`values` for time after time: what a rule with each expression has; None: it is refused."""

    exprs: list[str]
    times: list[int]
    values: list[Vector | None]


def asked() -> list[str]:
    """The expressions that the file is of."""
    return list(dict.fromkeys([*expressions(3), *random_expressions(3, 100, version=3)]))


def read() -> Golden:
    """The file: a line about it with all label sets, then a line for each expression."""
    first, *lines = (json.loads(line) for line in PATH.read_text().splitlines())
    labels = [frozenset((name, text) for name, text in pairs.items()) for pairs in first["labels"]]
    by_time: list[list[Vector | None]] = [[] for _ in first["times"]]
    for line in lines:
        for column, answer in zip(by_time, line["values"], strict=True):
            column.append(None if answer is None else {labels[int(place)]: value for place, value in answer.items()})
    values = [value for column in by_time for value in column]
    return Golden([line["expr"] for line in lines], first["times"], values)


def write(program: Promtool, version: str) -> None:
    """Ask the program, and write the file."""
    exprs = asked()
    with tempfile.TemporaryDirectory() as folder:
        values = prometheus_values(Path(folder), exprs, TIMES, program)
    sets = sorted({tuple(sorted(labels)) for vector in values if vector is not None for labels in vector})
    places = {frozenset(pairs): str(place) for place, pairs in enumerate(sets)}
    lines: list[object] = [{"prometheus": version, "times": TIMES, "labels": [dict(pairs) for pairs in sets]}]
    for i, expr in enumerate(exprs):
        answers = [values[i + len(exprs) * j] for j in range(len(TIMES))]
        shown = [
            None if answer is None else {places[each]: _rounded(answer[each]) for each in sorted(answer, key=sorted)}
            for answer in answers
        ]
        lines.append({"expr": expr, "values": shown})
    PATH.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def main(argv: Sequence[str]) -> None:
    """Write the file anew."""
    path, version = argv
    write(Promtool(path, 3), version)


if __name__ == "__main__":
    main(sys.argv[1:])
