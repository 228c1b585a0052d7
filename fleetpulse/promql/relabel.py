"""`label_replace` and `label_join`: new label sets for the series of a vector, worked out once.

Source: promql/functions.go of Prometheus 3, and Go's `regexp.Expand` for the replacement.
"""

import re
from collections.abc import Mapping

from fleetpulse import patterns
from fleetpulse.errors import RuleError
from fleetpulse.promql.layout import LabelSet
from fleetpulse.promql.syntax import HOST_LABELS, LABEL_FUNCTIONS, Call, Expr, walk

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})", re.ASCII)


def check_label_function(call: Call) -> None:
    """Refuse label functions that Prometheus refuses, and those that would change where a series belongs."""
    if call.function not in LABEL_FUNCTIONS:
        return
    target = call.texts[0]
    names = call.texts[2:] if call.function == "label_join" else (call.texts[2],)
    for name in (target, *names):
        if not _LABEL_NAME.fullmatch(name) and not (name == "" and call.function == "label_replace" and name != target):
            raise RuleError("syntax", f"{call.function}(): {name!r} is not a label name")
    if target == "host":
        raise RuleError(
            "crosses_hosts",
            f"{call.function}() sets the label host, by which series belong to hosts: use another label",
        )
    if call.function == "label_replace":
        patterns.check(call.texts[3], "label_replace()", capture=True)


def reads_host_name(expr: Expr) -> bool:
    """Whether the labels of the result depend on how the host is called, so that each host has a plan of its own."""
    for part in walk(expr):
        if isinstance(part, Call):
            if part.function in ("absent", "absent_over_time"):
                return True
            if part.function in LABEL_FUNCTIONS and not HOST_LABELS.isdisjoint(part.texts):
                return True
    return False


def relabelled(call: Call, labels: tuple[LabelSet, ...]) -> tuple[LabelSet, ...]:
    """The label sets after `label_replace` or `label_join`."""
    return tuple(_joined(call, each) if call.function == "label_join" else _replaced(call, each) for each in labels)


def _joined(call: Call, labels: LabelSet) -> LabelSet:
    target, separator, *names = call.texts
    own = dict(labels)
    return _with(labels, target, separator.join(own.get(name, "") for name in names))


def _replaced(call: Call, labels: LabelSet) -> LabelSet:
    target, replacement, source, pattern = call.texts
    found = patterns.groups(pattern, dict(labels).get(source, ""))
    return labels if found is None else _with(labels, target, _expanded(replacement, found))


def _with(labels: LabelSet, name: str, value: str) -> LabelSet:
    kept = [pair for pair in labels if pair[0] != name]
    return tuple(sorted([*kept, (name, value)] if value else kept))


def _expanded(template: str, found: Mapping[str, str]) -> str:
    """The template with ``$1``, ``${1}`` and ``${name}`` filled in; what the pattern has not is empty."""

    def of(reference: "re.Match[str]") -> str:
        if reference[1]:
            return "$"
        name = reference[2] or reference[3]
        return found.get(str(int(name)) if name.isdigit() else name, "")

    return _REFERENCE.sub(of, template)
