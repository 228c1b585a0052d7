"""Rules and alerts in the shapes of Prometheus' own API: `/api/v1/rules` and `/api/v1/alerts`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.alert_states import ActiveAlert
from api.errors import ParameterError
from api.rule_status import RuleStatus
from api.store.rules import Version
from fleetpulse.clock import to_rfc3339
from fleetpulse.errors import RuleError
from fleetpulse.events import ZERO_TIME
from fleetpulse.notify.matchers import matches
from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import Instant, Matcher
from fleetpulse.rules.model import Rule, RuleGroup, RuleKind

TYPES: Mapping[str, RuleKind | None] = {"": None, "alert": RuleKind.ALERT, "record": RuleKind.RECORD}


@dataclass(frozen=True, slots=True)
class RuleFilter:
    """Which rules are asked for; an empty list takes all."""

    kind: RuleKind | None = None
    names: Sequence[str] = ()
    groups: Sequence[str] = ()
    files: Sequence[str] = ()
    selectors: Sequence[Sequence[Matcher]] = ()  # of labels; one of them has to fit
    alerts: bool = True
    limit: int = 0
    token: str = ""  # the first group of this page

    def takes(self, version: Version) -> bool:
        """Whether a group is asked for."""
        return (not self.groups or version.name in self.groups) and (not self.files or version.file in self.files)

    def takes_rule(self, rule: Rule) -> bool:
        """Whether a rule of such a group is asked for. Labels with a template in them are taken for absent."""
        if (self.kind not in (None, rule.kind)) or (self.names and rule.name not in self.names):
            return False
        labels = {name: value for name, value in rule.labels.items() if "{{" not in value}
        return not self.selectors or any(matches(selector, labels) for selector in self.selectors)


def selectors_of(texts: Sequence[str]) -> list[Sequence[Matcher]]:
    """The matchers of ``{severity="page"}`` and the like; raises ParameterError."""
    found: list[Sequence[Matcher]] = []
    for text in texts:
        try:
            expr = parse(text)
        except RuleError as error:
            raise ParameterError("match[]", str(error)) from error
        if not isinstance(expr, Instant) or expr.offset_ms:
            raise ParameterError("match[]", f'{text[:100]!r} is not a selector: write them as in {{severity="page"}}')
        found.append(expr.selector.matchers)
    return found


def alert_of(alert: ActiveAlert) -> dict[str, Any]:
    """One alert."""
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": alert.state,
        "activeAt": to_rfc3339(alert.active_ms),
        "value": alert.value,
    }


def groups_of(
    found: Iterable[tuple[Version, RuleGroup]],
    status: RuleStatus,
    active: Iterable[ActiveAlert],
    asked: RuleFilter,
) -> dict[str, Any]:
    """`data` of the answer on rules; groups without a rule that is asked for are left out."""
    by_rule: dict[str, list[ActiveAlert]] = {}
    for alert in active:
        by_rule.setdefault(alert.rule, []).append(alert)
    shown: list[dict[str, Any]] = []
    for version, group in found:
        if version.name < asked.token or not asked.takes(version):
            continue
        every = [(rule, "") for rule in group.rules] + [(one.rule, one.why) for one in group.waiting]
        kept = [
            _rule(rule, why, status, by_rule.get(status.rules.key_of(rule), []), asked)
            for rule, why in sorted(every, key=lambda one: one[0].line)
            if asked.takes_rule(rule)
        ]
        if not kept:
            continue
        if asked.limit and len(shown) == asked.limit:
            return {"groups": shown, "groupNextToken": version.name}
        shown.append(_group(version, group, kept, _evaluated(status)))
    return {"groups": shown}


def _group(version: Version, group: RuleGroup, rules: list[dict[str, Any]], evaluated: str) -> dict[str, Any]:
    return {
        "name": version.name,
        "file": version.file,
        "interval": (group.interval_ms or 0) / 1000,
        "limit": 0,
        "rules": rules,
        "evaluationTime": 0.0,
        "lastEvaluation": evaluated,
    }


def _rule(
    rule: Rule, waiting: str, status: RuleStatus, alerts: Sequence[ActiveAlert], asked: RuleFilter
) -> dict[str, Any]:
    health, error = status.fares(rule, waiting)
    shown: dict[str, Any] = {
        "name": rule.name,
        "query": _query(rule),
        "labels": dict(rule.labels),
        "health": health,
        "lastError": error,
        "evaluationTime": 0.0,  # what one rule costs of an evaluation of all of them is not known
        "lastEvaluation": ZERO_TIME if waiting else _evaluated(status),
    }
    if rule.kind is RuleKind.RECORD:
        return shown | {"type": "recording"}
    states = {alert.state for alert in alerts}
    return shown | {
        "type": "alerting",
        "state": "firing" if "firing" in states else "pending" if states else "inactive",
        "duration": rule.for_ms / 1000,
        "keepFiringFor": rule.keep_firing_for_ms / 1000,
        "annotations": dict(rule.annotations),
        "alerts": [alert_of(alert) for alert in alerts] if asked.alerts else [],
    }


def _evaluated(status: RuleStatus) -> str:
    return ZERO_TIME if status.health.evaluated_ms is None else to_rfc3339(status.health.evaluated_ms)


def _query(rule: Rule) -> str:
    """The expression with its least threshold: what Prometheus would evaluate."""
    threshold = rule.warning or rule.critical
    return rule.expr if threshold is None else f"({rule.expr}) {threshold}"
