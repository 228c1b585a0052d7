"""The notation of promtool's test files: ``a+bxn`` values, and series as text.

Source: Prometheus, promql/parser (`parseSeriesDesc`): ``a+bxn`` is n + 1 samples, ``axn`` too, ``_xn`` is n gaps.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import promql_parser as grammar

from fleetpulse.errors import RuleError
from fleetpulse.metric import STALE_NAN
from fleetpulse.promql.nesting import check_nesting
from fleetpulse.promql.syntax import NAME

MOST_VALUES = 1_000_000  # of one series: a typing error in a repetition should not take the machine's memory

_NUMBER = r"(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|[iI][nN][fF]|[nN][aA][nN])"
_GAP = re.compile(r"_(?:x(\d+))?")
_VALUE = re.compile(rf"([-+]?{_NUMBER})(?:([-+]{_NUMBER})?x(\d+))?")


def values_of(text: str) -> list[float | None]:
    """The values, None for a gap. Raises RuleError, reason ``values``, that names the part that is wrong."""
    values: list[float | None] = []
    for part in text.split():
        found = _part(part)
        if len(values) + found[1] > MOST_VALUES:
            raise RuleError("values", f"{part!r}: more than {MOST_VALUES} values of one series")
        values += _repeated(*found)
    return values


def _part(part: str) -> tuple[float | None, int, float]:
    """First value, how many values, and by what each is more than the one before."""
    if part == "stale":
        return STALE_NAN, 1, 0.0
    gap = _GAP.fullmatch(part)
    if gap:
        return None, int(gap[1] or 1), 0.0
    value = _VALUE.fullmatch(part)
    if value is None:
        hint = "histograms are not supported" if "{" in part else "write 1, 1x4, 1+2x4, 9-1x4, _, _x4, stale or NaN"
        raise RuleError("values", f"{part!r} is no value of a series: {hint}")
    return float(value[1]), int(value[3] or 0) + 1, float(value[2] or 0)


def _repeated(first: float | None, count: int, step: float) -> list[float | None]:
    if first is None or not step:
        return [first] * count
    values: list[float | None] = []
    value = first
    for _ in range(count):  # added one after another as Prometheus does: the last bits agree
        values.append(value)
        value += step
    return values


def labels_of(text: str) -> dict[str, str]:
    """The labels of a series with ``__name__``, as ``name{label="value"}`` says; empty values are left out.

    Raises RuleError, reason ``series``, for other text.
    """
    if re.fullmatch(r"\s*\{\s*\}\s*", text):
        return {}
    check_nesting(text)
    try:
        tree: Any = grammar.parse(text)
    except ValueError as error:
        raise RuleError("series", f"{text!r} is no series: {error}") from error
    matchers = tree.matchers.matchers if isinstance(tree, grammar.VectorSelector) else None
    if matchers is None or tree.offset or tree.at or any(str(m.op) != "MatchOp.Equal" for m in matchers):
        raise RuleError("series", f'{text!r} is no series: write name{{label="value"}}')
    labels = {matcher.name: matcher.value for matcher in matchers if matcher.value}
    if tree.name is not None:
        labels[NAME] = tree.name
    return labels


def shown(labels: Mapping[str, str]) -> str:
    """The labels as promtool prints them: ``name{label="value"}``."""
    own = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != NAME)
    name = labels.get(NAME, "")
    return f"{name}{{{own}}}" if own or not name else name


def same_value(left: float, right: float) -> bool:
    """Whether two values are the same to 12 digits; NaN is NaN."""
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right or math.isclose(left, right, rel_tol=1e-12)


def duration(milliseconds: int) -> str:
    """As Prometheus writes it: ``1h5m``, ``0s``."""
    if not milliseconds:
        return "0s"
    parts: list[str] = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        number, milliseconds = divmod(milliseconds, size)
        parts += [f"{number}{unit}"] if number else []
    return "".join(parts)
