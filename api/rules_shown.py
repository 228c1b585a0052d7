"""Rules in the shapes of our own API."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias

from api import rule_models as models
from api.errors import rule_problem
from api.rule_book import Checked
from api.rule_status import RuleStatus
from api.store.rules import Version
from fleetpulse.clock import to_rfc3339
from fleetpulse.errors import RuleError
from fleetpulse.rules.model import Rule, RuleGroup, RuleKind, RuleSet
from fleetpulse.storage.rule_health import RuleHealth

Warn: TypeAlias = Callable[[RuleSet], Iterable[RuleError]]

NOT_IN_FORCE = RuleHealth(0, {}, frozenset())


def group_info(version: Version, group: RuleGroup, status: RuleStatus) -> models.RuleGroupInfo:
    """A group in force."""
    return models.RuleGroupInfo.model_validate(
        {
            "name": version.name,
            "owner": version.owner,
            "file": version.file,
            "version": version.version,
            "author": version.author,
            "changed": to_rfc3339(version.changed_ms),
            "text": version.text,
            "rules": _rules(group, version.owner, status),
        }
    )


def version_info(version: Version) -> models.RuleVersion:
    """One version of a group."""
    shown = {field: getattr(version, field, None) for field in models.RuleVersion.model_fields}
    return models.RuleVersion.model_validate(shown | {"changed": to_rfc3339(version.changed_ms)})


def checked(found: Checked, status: RuleStatus, warn: Warn) -> models.RuleCheck:
    """What a check found."""
    return models.RuleCheck(
        ok=not found.errors,
        errors=[rule_problem(error) for error in found.errors],
        warnings=[rule_problem(warning) for warning in warn(found.rules)],
        rules=[
            models.RuleInfo.model_validate(rule)
            for group in found.rules.groups
            for rule in _rules(group, "file", replace(status, health=NOT_IN_FORCE))
        ],
    )


def _rules(group: RuleGroup, owner: str, status: RuleStatus) -> list[dict[str, Any]]:
    shown = [(rule, None) for rule in group.rules] + [(one.rule, one.why) for one in group.waiting]
    return [_rule(rule, why, owner, status) for rule, why in sorted(shown, key=lambda one: one[0].line)]


def _rule(rule: Rule, waiting: str | None, owner: str, status: RuleStatus) -> dict[str, Any]:
    health, error = status.fares(rule, waiting)
    return {
        "name": rule.name,
        "group": rule.group,
        "kind": str(rule.kind),
        "expr": rule.expr,
        "owner": owner,
        "engine": "stream" if waiting is None else "ruler",
        "waiting": waiting,
        "state": status.state(rule) if rule.kind is RuleKind.ALERT else None,
        "health": health,
        "lastError": error,
        "hash": rule.hash,
    }
