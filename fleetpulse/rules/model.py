"""What a rule is, apart from where it was read and where it runs.

A rule is Prometheus' recording or alerting rule, and for alerts our additions: ``warning`` and ``critical``
thresholds, ``recovery`` thresholds, ``no_data``. All times are milliseconds.
"""

import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from fleetpulse.metric import canonical_key


class RuleKind(StrEnum):
    """What a rule's result becomes: a series or alerts."""

    RECORD = "record"
    ALERT = "alert"


class Severity(StrEnum):
    """The two severities of one alert, the lesser first."""

    WARNING = "warning"
    CRITICAL = "critical"


COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A comparison of the rule's value with a number, e.g. ``> 0.8``."""

    op: str
    value: float

    def holds(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """bool[…] of the values' shape; NaN meets no comparison but ``!=``."""
        result: npt.NDArray[np.bool_] = COMPARISONS[self.op](values, self.value)
        return result

    def __str__(self) -> str:
        return f"{self.op} {self.value:g}"


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One rule. Label values and annotations are still templates; `templates.py` renders them.

    An alert has either a comparison in `expr` (every sample of the result is an active alert, `warning` and
    `critical` are None) or at least one threshold with which the value is compared.
    """

    name: str
    kind: RuleKind
    expr: str
    file: str
    line: int
    group: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    for_ms: int = 0
    keep_firing_for_ms: int = 0
    warning: Threshold | None = None
    critical: Threshold | None = None
    recovery: Mapping[Severity, Threshold] = field(default_factory=dict)
    no_data_ms: int | None = None

    @property
    def hash(self) -> str:
        """16 hex digits over what may not change under an open episode: kind, name, expr and labels."""
        parts = (self.kind, self.name, self.expr, canonical_key("labels", self.labels))
        return xxhash.xxh3_64_hexdigest("\n".join(parts).encode())

    @property
    def has_thresholds(self) -> bool:
        """Whether the value is compared outside of `expr`."""
        return self.warning is not None or self.critical is not None

    @property
    def place(self) -> str:
        """``file:line``, as messages name it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A good rule that does not run on the stream, because of `reason`; `why` is the sentence for a person."""

    rule: Rule
    reason: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class RuleGroup:
    """A group of a rule file. A rule is evaluated at each tick of a host, or at the first of each `interval_ms`.

    `rules` run on the stream; `waiting` are those that wait for the ruler.
    """

    name: str
    file: str
    line: int
    rules: tuple[Rule, ...]
    interval_ms: int | None = None
    waiting: tuple[Waiting, ...] = ()


@dataclass(frozen=True, eq=False)
class RuleSet:
    """The rules that are in force together; but for `waiting`, everything here is about those on the stream."""

    groups: tuple[RuleGroup, ...]

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule in the order of its file."""
        return tuple(rule for group in self.groups for rule in group.rules)

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """The rules that wait for the ruler."""
        return tuple(waiting for group in self.groups for waiting in group.waiting)

    @property
    def alerts(self) -> tuple[Rule, ...]:
        """The alerting rules."""
        return tuple(rule for rule in self.rules if rule.kind is RuleKind.ALERT)

    @property
    def recordings(self) -> tuple[Rule, ...]:
        """The recording rules."""
        return tuple(rule for rule in self.rules if rule.kind is RuleKind.RECORD)

    @cached_property
    def by_key(self) -> Mapping[str, Rule]:
        """The rules by `key_of`."""
        return {self.key_of(rule): rule for rule in self.rules}

    @cached_property
    def _names(self) -> Mapping[str, int]:
        return Counter(rule.name for rule in self.rules)

    def key_of(self, rule: Rule) -> str:
        """A rule's identity: its name, or with its labels where several rules share the name (node-mixin does)."""
        return rule.name if self._names[rule.name] == 1 else canonical_key(rule.name, rule.labels)


def rule_set(rules: Sequence[Rule]) -> RuleSet:
    """A set of one group per (file, group) of the rules given."""
    groups: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        groups.setdefault((rule.file, rule.group), []).append(rule)
    return RuleSet(tuple(RuleGroup(name, file, of[0].line, tuple(of)) for (file, name), of in groups.items()))
