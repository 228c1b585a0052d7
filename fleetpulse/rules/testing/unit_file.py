"""A file of unit tests: promtool's fields, and ours (`delay`, `event_test`, `exp_stale`), each with its line."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from fleetpulse.errors import RuleError
from fleetpulse.metric import canonical_key
from fleetpulse.promql.syntax import NAME
from fleetpulse.rules.fields import Complaints, Fields, compose, line_of
from fleetpulse.rules.notation import labels_of, values_of

DEFAULT_INTERVAL_MS = 60_000

FILE_FIELDS = ("rule_files", "evaluation_interval", "group_eval_order", "tests")
TEST_FIELDS = (
    "name", "interval", "input_series", "alert_rule_test", "promql_expr_test", "event_test", "external_labels",
    "external_url",
)  # fmt: skip
EVENT_TEXTS = ("status", "severity", "previous_severity", "reason", "stale", "host", "threshold", "transition")
EVENT_FIELDS = ("at", *EVENT_TEXTS, "value", "labels", "annotations")


@dataclass(frozen=True, slots=True)
class InputSeries:
    """Samples at every interval from 0, None for a gap; `delay_ms` is how much later they are appended."""

    line: int
    labels: dict[str, str]
    values: list[float | None]
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    """A firing alert: all of its labels but ``alertname``, all of its annotations; `stale` None: either."""

    line: int
    labels: dict[str, str]
    annotations: dict[str, str]
    stale: bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AlertTest:
    """The alerts of a name that fire at a time."""

    line: int
    at_ms: int
    alertname: str
    expected: tuple[ExpectedAlert, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ExprTest:
    """The value of an expression at a time: each label set with its value."""

    line: int
    at_ms: int
    expr: str
    expected: tuple[tuple[dict[str, str], float], ...]


@dataclass(frozen=True, slots=True)
class ExpectedEvent:
    """An event at a time; of the rest only what is given is compared."""

    line: int
    at_ms: int
    texts: dict[str, str]
    value: float | None
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class EventTest:
    """All events of an alerting rule, in order, up to `until_ms` (None: the end of the test)."""

    line: int
    alertname: str
    until_ms: int | None
    expected: tuple[ExpectedEvent, ...]


@dataclass(frozen=True, slots=True)
class UnitTest:
    """One item of ``tests``; `ignored` names the fields that mean nothing here."""

    line: int
    name: str
    interval_ms: int
    series: tuple[InputSeries, ...]
    alerts: tuple[AlertTest, ...]
    exprs: tuple[ExprTest, ...]
    events: tuple[EventTest, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A file; `rule_files` are found, `unmatched` are patterns that no file fits."""

    path: Path
    rule_files: tuple[Path, ...]
    unmatched: tuple[str, ...]
    interval_ms: int
    group_order: dict[str, int]
    tests: tuple[UnitTest, ...]


def read_unit_file(path: Path) -> UnitFile:
    """The file; raises RuleError with every complaint, one a line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RuleError("file", f"the test file {path} cannot be read: {str(cause or error).lower()}") from error
    tree = compose(str(path), text)
    if tree is None:
        raise RuleError("file", f"{path}:1: the test file is empty: it needs 'rule_files' and 'tests'")
    complaints = Complaints(str(path))
    fields = Fields(tree, "the test file", FILE_FIELDS, complaints)
    files, unmatched = _rule_files(path, fields)
    interval_ms = fields.duration_ms("evaluation_interval") or DEFAULT_INTERVAL_MS
    found = UnitFile(
        path=path,
        rule_files=tuple(files),
        unmatched=tuple(unmatched),
        interval_ms=interval_ms,
        group_order=_order(fields, complaints),
        tests=tuple(_test(node, interval_ms, complaints) for node in fields.items("tests")),
    )
    if complaints.errors:
        raise RuleError(complaints.errors[0].reason, "\n".join(map(str, complaints.errors)))
    return found


def _rule_files(path: Path, fields: Fields) -> tuple[list[Path], list[str]]:
    files: list[Path] = []
    unmatched: list[str] = []
    for node in fields.items("rule_files"):
        pattern = str(node.value)
        folder = Path(pattern).anchor or path.parent
        relative = Path(pattern).relative_to(folder) if Path(pattern).is_absolute() else Path(pattern)
        matches = sorted(Path(folder).glob(str(relative)))
        files += [match for match in matches if match not in files]
        if not matches:
            unmatched.append(pattern)
    return files, unmatched


def _order(fields: Fields, complaints: Complaints) -> dict[str, int]:
    order: dict[str, int] = {}
    for node in fields.items("group_eval_order"):
        if str(node.value) in order:
            complaints.add(node, f"group {node.value!r} is in 'group_eval_order' twice")
        order.setdefault(str(node.value), len(order))
    return order


def _test(node: yaml.Node, interval_ms: int, complaints: Complaints) -> UnitTest:
    fields = Fields(node, "test", TEST_FIELDS, complaints)
    series = tuple(_series(fields, complaints))
    return UnitTest(
        line=line_of(node),
        name=fields.text("name") or "",
        interval_ms=fields.duration_ms("interval") or interval_ms,
        series=series,
        alerts=tuple(_alert_test(item, complaints) for item in fields.items("alert_rule_test")),
        exprs=tuple(_expr_test(item, complaints) for item in fields.items("promql_expr_test")),
        events=tuple(_event_test(item, complaints) for item in fields.items("event_test")),
        ignored=tuple(name for name in ("external_labels", "external_url") if name in fields),
    )


def _series(test: Fields, complaints: Complaints) -> Iterator[InputSeries]:
    seen: set[str] = set()
    for node in test.items("input_series"):
        fields = Fields(node, "input series", ("series", "values", "delay"), complaints)
        text = fields.required("series")
        try:
            labels = labels_of(text) if text else {}
            if text and NAME not in labels:
                fields.complain("series", f"{text!r} has no metric name")
            key = canonical_key("", labels)
            if text and key in seen:
                fields.complain("series", f"{text!r} is given twice in this test")
            seen.add(key)
            values = values_of(fields.text("values") or "")
        except RuleError as error:
            fields.complain("values" if error.reason == "values" else "series", str(error))
            continue
        yield InputSeries(line_of(node), labels, values, fields.duration_ms("delay") or 0)


def _alert_test(node: yaml.Node, complaints: Complaints) -> AlertTest:
    fields = Fields(node, "alert_rule_test", ("eval_time", "alertname", "exp_alerts"), complaints)
    expected: list[ExpectedAlert] = []
    for item in fields.items("exp_alerts"):
        given = Fields(item, "exp_alerts", ("exp_labels", "exp_annotations", "exp_stale"), complaints)
        stale = None if given.text("exp_stale") is None else given.text("exp_stale") == "true"
        expected.append(ExpectedAlert(line_of(item), given.texts("exp_labels"), given.texts("exp_annotations"), stale))
    at_ms = fields.duration_ms("eval_time") or 0
    return AlertTest(line_of(node), at_ms, fields.required("alertname"), tuple(expected))


def _expr_test(node: yaml.Node, complaints: Complaints) -> ExprTest:
    fields = Fields(node, "promql_expr_test", ("expr", "eval_time", "exp_samples"), complaints)
    expected: list[tuple[dict[str, str], float]] = []
    for item in fields.items("exp_samples"):
        given = Fields(item, "exp_samples", ("labels", "value"), complaints)
        try:
            expected.append((labels_of(given.text("labels") or "{}"), _number(given, "value") or 0.0))
        except RuleError as error:
            given.complain("labels", str(error))
    return ExprTest(line_of(node), fields.duration_ms("eval_time") or 0, fields.required("expr"), tuple(expected))


def _event_test(node: yaml.Node, complaints: Complaints) -> EventTest:
    fields = Fields(node, "event_test", ("alertname", "until", "exp_events"), complaints)
    expected = tuple(_event(item, complaints) for item in fields.items("exp_events"))
    return EventTest(line_of(node), fields.required("alertname"), fields.duration_ms("until"), expected)


def _event(node: yaml.Node, complaints: Complaints) -> ExpectedEvent:
    given = Fields(node, "exp_events", EVENT_FIELDS, complaints)
    given.required("at")
    return ExpectedEvent(
        line=line_of(node),
        at_ms=given.duration_ms("at") or 0,
        texts={name: given.text(name) or "" for name in EVENT_TEXTS if name in given},
        value=_number(given, "value"),
        labels=given.texts("labels"),
        annotations=given.texts("annotations"),
    )


def _number(fields: Fields, name: str) -> float | None:
    text = fields.text(name)
    if text is None:
        return None
    try:
        return float(text.lstrip(".") if text.startswith(".") and text[1:2].isalpha() else text)
    except ValueError:
        fields.complain(name, f"{text!r} is not a number")
        return None
