"""A file of unit tests against its rules: every expectation becomes a check."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fleetpulse.errors import RuleError
from fleetpulse.promql.parse import parse
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.load import read
from fleetpulse.rules.model import Rule, RuleKind, RuleSet, rule_set
from fleetpulse.rules.notation import duration, shown
from fleetpulse.rules.stream_run import LONG_AGO_MS, StreamRun
from fleetpulse.rules.testing.clock_run import ClockRun, Fired
from fleetpulse.rules.testing.compare import alert_differences, event_differences, sample_differences
from fleetpulse.rules.testing.feed import appended, end_ms, timely
from fleetpulse.rules.testing.unit_file import AlertTest, EventTest, ExprTest, UnitFile, UnitTest


@dataclass(slots=True)
class Check:
    """One expectation. `differences` are (line in the file, text); a check without one has passed."""

    line: int
    what: str
    differences: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether what came is what was expected."""
        return not self.differences


class Suite:
    """A file of unit tests. Raises RuleError for rule files that are wrong."""

    def __init__(self, unit: UnitFile) -> None:
        self._unit = unit
        self.rules, errors = read(unit.rule_files)
        if errors:
            raise RuleError(errors[0].reason, "\n".join(map(str, errors)))
        self.notes = [f"no file fits {pattern!r} of 'rule_files'" for pattern in unit.unmatched]
        ignored = sorted({name for test in unit.tests for name in test.ignored})
        self.notes += [f"'{name}' is ignored: Fleetpulse adds none to alerts" for name in ignored]

    def checks(self) -> Iterator[Check]:
        """Every expectation of the file, in the order of tests; those of a test by kind and time."""
        for test in self._unit.tests:
            yield from Trial(test, self._unit, self.rules).run()


class Trial:
    """One test: its series through Prometheus' clock and through the stream."""

    def __init__(self, test: UnitTest, unit: UnitFile, rules: RuleSet) -> None:
        self._test = test
        self._interval_ms = unit.interval_ms
        self._rules = rules
        self._clock = ClockRun(rules, unit.group_order)
        self._stream = StreamRun(rules)
        self._exprs: dict[ExprTest, Rule] = {}
        self._checks: dict[AlertTest | ExprTest | EventTest, Check] = {}

    def run(self) -> list[Check]:
        """The checks."""
        test = self._test
        of_test = f" ({test.name})" if test.name else ""
        for each in test.alerts:
            self._checks[each] = Check(each.line, f"alert {each.alertname} at {duration(each.at_ms)}{of_test}")
        for expr in test.exprs:
            self._checks[expr] = Check(expr.line, f"{expr.expr} at {duration(expr.at_ms)}{of_test}")
        for event in test.events:
            self._checks[event] = Check(event.line, f"events of {event.alertname}{of_test}")
        self._run_stream()
        try:
            self._run_clock()
        except RuleError as error:
            for check in self._checks.values():
                check.differences.append((check.line, str(error)))
            return list(self._checks.values())
        for event in test.events:
            self._judge_events(event)
        return list(self._checks.values())

    def _run_clock(self) -> None:
        values = self._expr_evaluator()
        last_ms = max([*(a.at_ms for a in self._test.alerts), *(e.at_ms for e in self._test.exprs)], default=-1)
        grid = range(0, last_ms + 1, self._interval_ms)
        inputs = timely(self._test.series, self._test.interval_ms)
        coming = next(inputs, None)
        for at_ms in sorted({*grid, *(each.at_ms for each in self._exprs)}):
            while coming is not None and coming[0] <= at_ms:
                self._clock.take(*coming)
                coming = next(inputs, None)
            if at_ms % self._interval_ms == 0:
                self._clock.evaluate(at_ms)
                for alert in self._test.alerts:
                    if at_ms <= alert.at_ms < at_ms + self._interval_ms:
                        self._judge_alerts(alert)
            for expr, rule in self._exprs.items():
                if expr.at_ms == at_ms and values is not None:
                    self._judge_expr(expr, rule, values)

    def _expr_evaluator(self) -> StreamEvaluator | None:
        """What evaluates the expressions under test; None when there is none. It is told all that the clock is."""
        for number, expr in enumerate(self._test.exprs):
            try:
                parse(expr.expr)
            except RuleError as error:
                self._checks[expr].differences.append((expr.line, f"cannot be evaluated: {error}"))
                continue
            self._exprs[expr] = Rule(f"expr_{number}", RuleKind.RECORD, expr.expr, "", expr.line, "tests")
        if not self._exprs:
            return None
        values = StreamEvaluator(rule_set(list(self._exprs.values())), complete_from_ms=LONG_AGO_MS, keep_names=True)
        self._clock.on_given.append(values)
        return values

    def _run_stream(self) -> None:
        test = self._test
        times = [*(a.at_ms for a in test.alerts), *(e.at_ms for e in test.exprs)]
        times += [at for event in test.events for at in (event.until_ms or 0, *(e.at_ms for e in event.expected))]
        last_ms = max([end_ms(test.series, test.interval_ms), *times])
        sent = appended(test.series, test.interval_ms)
        coming = next(sent, None)
        for at_ms in [*range(0, last_ms, self._interval_ms), last_ms]:
            while coming is not None and coming[0] <= at_ms:
                self._stream.send(*coming)
                coming = next(sent, None)
            self._stream.wait(at_ms)

    def _judge_alerts(self, test: AlertTest) -> None:
        check = self._checks[test]
        expected: list[Fired] = [
            ({**each.labels, "alertname": test.alertname}, dict(each.annotations)) for each in test.expected
        ]
        rules = [rule for rule in self._rules.alerts if rule.name == test.alertname]
        if not rules:
            check.notes.append(self._unknown(test.alertname))
        found = self._stream.firing(test.alertname, test.at_ms)
        live: list[Fired] = [(event.data.labels, event.data.annotations) for event in found]
        if all(_is_plain(rule) for rule in rules) and all(each.stale is None for each in test.expected):
            got = self._clock.firing(test.alertname)
            check.notes += _otherwise(got, live, [event.data.stale for event in found])
        else:
            got = live
        check.differences += [(test.line, line) for line in alert_differences(expected, got)]
        for wanted, (labels, _) in zip(test.expected, expected, strict=True):
            stale = [event.data.stale for event in found if event.data.labels == labels]
            if wanted.stale is not None and stale and stale[0] != wanted.stale:
                check.differences.append((wanted.line, f"exp_stale: expected {wanted.stale}, got {stale[0]}"))

    def _unknown(self, alertname: str) -> str:
        names = sorted({rule.name for rule in self._rules.alerts})
        near = difflib.get_close_matches(alertname, names, n=1)
        return f"no rule is named {alertname!r}" + (f"; did you mean {near[0]!r}?" if near else "")

    def _judge_expr(self, test: ExprTest, rule: Rule, values: StreamEvaluator) -> None:
        check = self._checks[test]
        got: list[tuple[dict[str, str], float]] = []
        for evaluation in values.evaluate_at(test.at_ms, [rule]):
            check.differences += [(test.line, sentence) for sentence in evaluation.errors.values()]
            found = zip(evaluation.key.tolist(), evaluation.value.tolist(), strict=True)
            got += [({k: text for k, text in values.labels_of(key).items() if text}, value) for key, value in found]
        check.differences += [(test.line, line) for line in sample_differences(test.expected, got)]

    def _judge_events(self, test: EventTest) -> None:
        check = self._checks[test]
        if test.alertname not in {rule.name for rule in self._rules.alerts}:
            check.notes.append(self._unknown(test.alertname))
        got = self._stream.of(test.alertname, test.until_ms)
        check.differences += [(line or test.line, text) for line, text in event_differences(test.expected, got)]


def _is_plain(rule: Rule) -> bool:
    """Whether Prometheus knows all of the rule's fields."""
    return not rule.has_thresholds and rule.no_data_ms is None


def _otherwise(got: Sequence[Fired], live: Sequence[Fired], stale: Sequence[bool]) -> list[str]:
    """What is another on the stream than on Prometheus' clock, by labels."""
    of_clock = [labels for labels, _ in got]
    notes: list[str] = []
    matched: list[dict[str, str]] = []
    for (labels, _), silent in zip(live, stale, strict=True):
        own = next((each for each in of_clock if {**labels, **each} == labels), None)
        if own is not None:
            matched.append(own)
        else:
            why = "its host is silent: the alert stays, stale" if silent else "evaluated at every sample"
            notes.append(f"on the stream {shown(labels)} fires, too ({why})")
    notes += [
        f"on the stream {shown(labels)} does not fire (evaluated at every sample)"
        for labels in of_clock
        if labels not in matched
    ]
    return notes
