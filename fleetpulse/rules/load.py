"""Rule files to a `RuleSet`: Prometheus' format with our additions, everything checked before anything runs."""

from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import yaml

from fleetpulse.errors import MetricError, RuleError
from fleetpulse.metric import canonical_key, check_labels, check_name
from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import COMPARISONS as FILTERS
from fleetpulse.promql.syntax import HOST_LABELS, Binary, Expr
from fleetpulse.rules.dependence import self_feeding
from fleetpulse.rules.fields import Complaints, Fields, compose, find_duplicates, line_of, nearest
from fleetpulse.rules.model import COMPARISONS, Rule, RuleGroup, RuleKind, RuleSet, Severity, Threshold, Waiting
from fleetpulse.rules.result_labels import result_labels
from fleetpulse.rules.templates import Template

PACKS = ("host", "pipeline", "node")  # rule files that come with Fleetpulse; the last is for who asks for it
GROUP_FIELDS = ("name", "interval", "labels", "limit", "query_offset", "rules")
# Why a good rule does not run on the stream.
WAITING_REASONS = frozenset({"crosses_hosts", "look_back", "subquery", "at_modifier", "unsupported"})
RECORD_FIELDS = ("record", "expr", "labels")
ALERT_FIELDS = (
    "alert",
    "expr",
    "for",
    "keep_firing_for",
    "labels",
    "annotations",
    "warning",
    "critical",
    "recovery",
    "no_data",
)


def shipped_packs() -> list[Path]:
    """The rule files that are in force when none is named: about hosts, and about our own pipeline."""
    return [rule_file(pack) for pack in ("host", "pipeline")]


def rule_file(text: str) -> Path:
    """A rule file by its path, or by its bare name one that comes with Fleetpulse; see PACKS."""
    if text not in PACKS:
        return Path(text)
    spec = find_spec("infra")
    if spec is None or not spec.submodule_search_locations:
        raise RuleError("file", "this installation has no shipped rules: name rule files instead")
    return Path(next(iter(spec.submodule_search_locations))) / "rules" / f"{text}.yaml"


def load(paths: Iterable[Path]) -> RuleSet:
    """The rules of the files; raises RuleError with every complaint, one a line."""
    rules, errors = read(paths)
    if errors:
        raise RuleError(errors[0].reason, "\n".join(map(str, errors)))
    return rules


def read(paths: Iterable[Path]) -> tuple[RuleSet, list[RuleError]]:
    """The rules that are right, and all that is wrong, in the order of the files."""
    groups: list[RuleGroup] = []
    errors: list[RuleError] = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            errors.append(RuleError("file", f"there is no rule file {path}"))
            continue
        except OSError as error:
            cause = (error.strerror or repr(error)).lower()
            errors.append(RuleError("file", f"the rule file {path} cannot be read: {cause}"))
            continue
        except UnicodeDecodeError:
            errors.append(RuleError("file", f"the rule file {path} cannot be read: it is not UTF-8 text"))
            continue
        found, complaints = read_text(str(path), text)
        groups += found
        errors += complaints
    rules = RuleSet(tuple(groups))
    return rules, errors + clashes(rules)


def read_text(file: str, text: str) -> tuple[list[RuleGroup], list[RuleError]]:
    """The groups of one file, and what is wrong in it."""
    complaints = Complaints(file)
    try:
        tree = compose(file, text)
    except RuleError as error:
        return [], [error]
    if tree is None:
        return [], []
    fields = Fields(tree, "the file", ("groups",), complaints)
    nodes = fields.items("groups")
    groups = [_group(node, complaints) for node in nodes]
    for name, places in find_duplicates(group.name for group in groups).items():
        complaints.add(nodes[places[1]], f"group {name!r} is in the file twice")
    return groups, complaints.errors


def _group(node: yaml.Node, complaints: Complaints) -> RuleGroup:
    fields = Fields(node, "group", GROUP_FIELDS, complaints)
    name = fields.required("name")
    for field in ("limit", "query_offset"):
        if fields.text(field) not in (None, "0", "0s"):
            fields.complain(field, "is not supported on the stream; leave it out", "unsupported")
    interval_ms = fields.duration_ms("interval")
    labels = fields.texts("labels")
    rules = [_rule(item, name, labels, complaints) for item in fields.items("rules")]
    good = tuple(rule for rule in rules if isinstance(rule, Rule))
    waiting = tuple(rule for rule in rules if isinstance(rule, Waiting))
    return RuleGroup(name, complaints.file, line_of(node), good, interval_ms, waiting)


def _rule(node: yaml.Node, group: str, group_labels: dict[str, str], complaints: Complaints) -> Rule | Waiting | None:
    """The rule; None when something is wrong with it."""
    before = len(complaints.errors)
    keys = {str(key.value) for key, _ in node.value} if isinstance(node, yaml.MappingNode) else set()
    if not keys & {"record", "alert"}:
        complaints.add(node, "a rule needs 'record: NAME' or 'alert: NAME'")
        return None
    kind = RuleKind.RECORD if "record" in keys else RuleKind.ALERT
    fields = Fields(node, f"{kind} rule", RECORD_FIELDS if kind is RuleKind.RECORD else ALERT_FIELDS, complaints)
    name = fields.required(kind)
    thresholds = {severity: _threshold(fields, severity, fields.text(severity)) for severity in Severity}
    recovery = _recovery(fields)
    rule = Rule(
        name=name,
        kind=kind,
        expr=fields.required("expr").strip(),
        file=complaints.file,
        line=line_of(node),
        group=group,
        labels={**group_labels, **fields.texts("labels")},
        annotations=fields.texts("annotations"),
        for_ms=fields.duration_ms("for") or 0,
        keep_firing_for_ms=fields.duration_ms("keep_firing_for") or 0,
        warning=thresholds[Severity.WARNING],
        critical=thresholds[Severity.CRITICAL],
        recovery=recovery,
        no_data_ms=fields.duration_ms("no_data"),
    )
    _check_names(fields, rule, complaints)
    waits = _check_expr(fields, rule)
    _check_thresholds(fields, rule)
    if len(complaints.errors) > before:
        return None
    return rule if waits is None else Waiting(rule, waits.reason, str(waits))


def _threshold(fields: Fields, field: str, text: str | None) -> Threshold | None:
    """``"> 0.8"`` of a field."""
    if text is None:
        return None
    op = next((op for op in sorted(COMPARISONS, key=len, reverse=True) if text.startswith(op)), None)
    try:
        if op is not None:
            return Threshold(op, float(text[len(op) :]))
    except ValueError:  # said below, together with a missing comparison
        pass
    fields.complain(
        field, f"{text!r} is not a comparison with a number: use one of {' '.join(COMPARISONS)} as in '> 0.8'"
    )
    return None


def _recovery(fields: Fields) -> dict[Severity, Threshold]:
    recovery: dict[Severity, Threshold] = {}
    for name, text in fields.texts("recovery").items():
        if name not in list(Severity):
            fields.complain("recovery", f"unknown severity {name!r}; {nearest(name, map(str, Severity))}")
        elif (threshold := _threshold(fields, "recovery", text)) is not None:
            recovery[Severity(name)] = threshold
    return recovery


def _check_names(fields: Fields, rule: Rule, complaints: Complaints) -> None:
    if rule.kind is RuleKind.RECORD and rule.name:
        try:
            check_name(rule.name)
        except MetricError as error:
            fields.complain("record", str(error))
    try:
        check_labels(rule.name, rule.labels)
    except MetricError as error:
        fields.complain("labels", str(error))
    if rule.kind is RuleKind.RECORD:
        if not HOST_LABELS.isdisjoint(rule.labels):
            fields.complain(
                "labels", "'host' and 'instance' come from the result: a recorded series stays with its host"
            )
        return
    if "alertname" in rule.labels:
        fields.complain("labels", "'alertname' is set by the rule's name")
    if rule.has_thresholds and "severity" in rule.labels:
        fields.complain("labels", "'severity' is set by the threshold that holds; leave it out")
    for field in ("labels", "annotations"):
        for text, node in fields.marked_texts(field).values():
            try:
                Template(text)
            except RuleError as error:
                complaints.add(node, f"alert rule: field {field!r}: {error}", error.reason, field)


def _check_expr(fields: Fields, rule: Rule) -> RuleError | None:
    """Why the rule does not run on the stream; None: it does, or something is wrong with it."""
    if not rule.expr:
        return None
    try:
        expr = parse(rule.expr)
    except RuleError as error:
        if error.reason in WAITING_REASONS:
            return error
        fields.complain("expr", f"{error} (rule {rule.name!r})", error.reason)
        return None
    _check_template_labels(fields, rule, expr)
    filters = isinstance(expr, Binary) and expr.op in FILTERS and not expr.returns_bool
    if filters and rule.has_thresholds:
        fields.complain("expr", "compares already: leave the comparison out, or 'warning' and 'critical'")
    return None


def _check_template_labels(fields: Fields, rule: Rule, expr: Expr) -> None:
    if rule.kind is RuleKind.RECORD:
        return
    kept = result_labels(expr)
    own = frozenset({"alertname", "instance", "severity", *rule.labels})  # an annotation sees the alert's labels
    for field, others in (("labels", frozenset[str]()), ("annotations", own)):
        for text in fields.texts(field).values():
            with suppress(RuleError):  # said already
                for label in sorted(Template(text).labels - others):
                    if kept.lacks(label):
                        known = "" if kept.only is None else f"; {nearest(label, sorted(kept.only))}"
                        fields.complain(
                            field,
                            f"{{{{ $labels.{label} }}}} is never there: the result of 'expr' loses it{known}",
                            "template",
                        )


def _check_thresholds(fields: Fields, rule: Rule) -> None:
    warning, critical = rule.warning, rule.critical
    if warning and critical:
        if warning.op[0] != critical.op[0]:
            fields.complain("critical", f"points another way than 'warning: {warning}'")
        elif critical.value != warning.value and (critical.value < warning.value) == (critical.op[0] == ">"):
            fields.complain("critical", f"'{critical}' holds before 'warning: {warning}' does: exchange them")
    for severity, recovery in rule.recovery.items():
        threshold = warning if severity is Severity.WARNING else critical
        if threshold is None:
            fields.complain("recovery", f"there is no '{severity}' to recover from")
        elif threshold.op[0] in "<>" and not _leaves_gap(threshold, recovery):
            fields.complain(
                "recovery", f"'{severity}: {recovery}' overlaps '{severity}: {threshold}': the alert would flap"
            )


def _leaves_gap(threshold: Threshold, recovery: Threshold) -> bool:
    """Whether no value meets both."""
    if threshold.op[0] == recovery.op[0] or recovery.op[0] not in "<>":
        return False
    if threshold.value == recovery.value:
        return not (threshold.op.endswith("=") and recovery.op.endswith("="))
    return (threshold.value > recovery.value) == (threshold.op[0] == ">")


def clashes(rules: RuleSet) -> list[RuleError]:
    """What is wrong with rules together, each being right alone."""
    return twins(rules) + self_feeding([*rules.rules, *(one.rule for one in rules.waiting)])


def twins(rules: RuleSet) -> list[RuleError]:
    """Rules that cannot be told apart: same name and labels."""
    every = [*rules.rules, *(waiting.rule for waiting in rules.waiting)]
    names = [(rule.kind, canonical_key(rule.name, rule.labels)) for rule in every]
    return [
        RuleError(
            "duplicate",
            f"{kind} rule {name!r} is also at {every[places[0]].place}: give one of them another name or label",
            file=every[places[1]].file,
            line=every[places[1]].line,
            field=kind,
        )
        for (kind, name), places in find_duplicates(names).items()
    ]
