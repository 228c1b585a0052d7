"""Rules on Prometheus' own clock: every group evaluated at each interval, one rule after another, as promtool does it.

The windows, the expressions and the state machine are those of the stream; only the times of evaluation differ. What
a rule gives is a sample for the rules after it: a recorded series, ``ALERTS`` and ``ALERTS_FOR_STATE``.
Source: Prometheus, cmd/promtool/unittest.go and rules/group.go.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fleetpulse.errors import RuleError
from fleetpulse.metric import STALE_NAN, canonical_key
from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import NAME, selections
from fleetpulse.rules.alerts import RuleAlerts
from fleetpulse.rules.evaluation import Evaluation
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.model import Rule, RuleGroup, RuleKind, RuleSet
from fleetpulse.rules.presence import Presence
from fleetpulse.rules.presence_numbers import PresenceNumbers
from fleetpulse.rules.state import AlertRecord
from fleetpulse.rules.stream_run import LONG_AGO_MS
from fleetpulse.rules.templates import Template
from fleetpulse.rules.testing.feed import Samples, blocks_of
from fleetpulse.wire import Block

_NO_SILENCE_MS = 10**15  # on this clock nobody is silent: evaluations go on without samples
ALERTS, FOR_STATE = "ALERTS", "ALERTS_FOR_STATE"

Fired = tuple[dict[str, str], dict[str, str]]  # labels with ``alertname``, annotations


class ClockRun:
    """The groups of a rule set, in the order in which they are evaluated."""

    def __init__(self, rules: RuleSet, order: Mapping[str, int]) -> None:
        """`order`: the places of groups by name; others are first, in the order of their files."""
        self.groups: list[RuleGroup] = sorted(rules.groups, key=lambda group: order.get(group.name, 0))
        self._evaluator = StreamEvaluator(rules, complete_from_ms=LONG_AGO_MS)
        self._presence = Presence()
        self._alerts = {rule: self._alerts_of(rule, rules.key_of(rule)) for rule in rules.alerts}
        self._given: dict[Rule, dict[str, Mapping[str, str]]] = {}  # series that a rule gave last, by key
        self._reads_alerts = any(
            leaf.selector.takes_name(name)
            for rule in rules.rules
            for leaf in selections(parse(rule.expr))
            for name in (ALERTS, FOR_STATE)
        )
        self.on_given: list[StreamEvaluator] = []  # who else is told what rules give

    def _alerts_of(self, rule: Rule, key: str) -> RuleAlerts:
        alerts = RuleAlerts(replace(rule, no_data_ms=None), key, self._presence, self._labels_of)
        alerts.table.policy = replace(alerts.policy, no_data_ms=_NO_SILENCE_MS)
        return alerts

    def _labels_of(self, key: int) -> Mapping[str, str]:
        return self._evaluator.labels_of(key)

    def take(self, at_ms: int, blocks: Sequence[Block]) -> None:
        """Samples of a time, in order."""
        for each in (self._evaluator, *self.on_given):
            each.observe(blocks, evaluate=False, now_ms=at_ms)

    def evaluate(self, at_ms: int) -> None:
        """Evaluate every rule. Raises RuleError, reason ``evaluation``, when one fails, as in two equal partners."""
        for group in self.groups:
            for rule in group.rules:
                evaluations = self._evaluator.evaluate_at(at_ms, [rule])
                for evaluation in evaluations:
                    for sentence in evaluation.errors.values():
                        raise RuleError("evaluation", f"{rule.place}: rule {rule.name!r}: {sentence}")
                if rule.kind is RuleKind.RECORD:
                    self._give(rule, at_ms, self._recorded(rule, evaluations))
                else:
                    self._step(rule, at_ms, evaluations)
                    if self._reads_alerts or self.on_given:
                        self._give(rule, at_ms, list(self._alert_series(rule)))

    def _recorded(self, rule: Rule, evaluations: Sequence[Evaluation]) -> Samples:
        return [
            ({**self._labels_of(key), **rule.labels, NAME: rule.name}, value)
            for evaluation in evaluations
            for key, value in zip(evaluation.key.tolist(), evaluation.value.tolist(), strict=True)
        ]

    def _step(self, rule: Rule, at_ms: int, evaluations: Sequence[Evaluation]) -> None:
        names = self._evaluator.host_names
        numbers = PresenceNumbers(self._presence, names, self._evaluator.host_capacity)
        seen = np.zeros(self._evaluator.host_capacity, dtype=np.bool_)
        for evaluation in evaluations:
            seen[evaluation.host] = True
            self._alerts[rule].evaluate(evaluation, numbers.of(evaluation.host))
        # Of a host whose series have left the windows the expression gives nothing: its alerts end too.
        rest = np.flatnonzero(~seen[: len(names)])
        if len(rest):
            at = np.full(len(rest), at_ms, dtype=np.int64)
            none = np.zeros(0, dtype=np.int64)
            nothing = Evaluation(
                rule, rest, names, at, np.stack([at, at]), True, none.astype(np.int32), none, np.zeros(0)
            )
            self._alerts[rule].evaluate(nothing, numbers.of(rest))

    def _alert_series(self, rule: Rule) -> Iterator[tuple[Mapping[str, str], float]]:
        for record in self._alerts[rule].records():
            labels = labels_of_record(record, rule)
            state = "firing" if record.severity else "pending"
            yield {**labels, "alertstate": state, NAME: ALERTS}, 1.0
            yield {**labels, NAME: FOR_STATE}, min(record.since_ms) / 1000

    def _give(self, rule: Rule, at_ms: int, samples: Samples) -> None:
        """Add what a rule gives; a series that it gives no more gets a stale marker."""
        given = {canonical_key("", labels): labels for labels, _ in samples}
        gone = [labels for key, labels in self._given.get(rule, {}).items() if key not in given]
        self._given[rule] = given
        if samples or gone:
            self.take(at_ms, blocks_of(at_ms, [*samples, *((labels, STALE_NAN) for labels in gone)]))

    def firing(self, alertname: str) -> list[Fired]:
        """The alerts of a name that fire now, as Prometheus shows them."""
        found: list[Fired] = []
        for group in self.groups:
            for rule in group.rules:
                if rule.name == alertname and rule in self._alerts:
                    found += [
                        (labels_of_record(record, rule), _annotations(record, rule))
                        for record in self._alerts[rule].records()
                        if record.severity
                    ]
        return found


def labels_of_record(record: AlertRecord, rule: Rule) -> dict[str, str]:
    """The alert's labels without the ``instance`` that we give to what has none."""
    labels = {name: value for name, value in record.labels.items() if value}
    if "instance" not in record.series and "instance" not in rule.labels:
        labels.pop("instance", None)
    severity = record.severities[max(record.severity, 1) - 1]
    return {**labels, "severity": severity} if severity else labels


def _annotations(record: AlertRecord, rule: Rule) -> dict[str, str]:
    # Prometheus fills templates in with the series' own labels, at every evaluation anew.
    value = float(record.value)
    return {name: Template(text).render(record.series, value) for name, text in rule.annotations.items()}
