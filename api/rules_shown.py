"""Rules in the shapes of our own API."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from api import rule_models as models
from api.alert_states import State
from api.errors import rule_problem
from api.rule_book import Checked
from api.store.rules import Version
from fleetpulse.clock import to_rfc3339
from fleetpulse.errors import RuleError
from fleetpulse.rules.model import Rule, RuleGroup, RuleKind, RuleSet

StateOf: TypeAlias = Callable[[Rule], State]
Warn: TypeAlias = Callable[[RuleSet], Iterable[RuleError]]


def group_info(version: Version, group: RuleGroup, states: StateOf) -> models.RuleGroupInfo:
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
            "rules": _rules(group, version.owner, states),
        }
    )


def version_info(version: Version) -> models.RuleVersion:
    """One version of a group."""
    shown = {field: getattr(version, field, None) for field in models.RuleVersion.model_fields}
    return models.RuleVersion.model_validate(shown | {"changed": to_rfc3339(version.changed_ms)})


def checked(found: Checked, states: StateOf, warn: Warn) -> models.RuleCheck:
    """What a check found."""
    return models.RuleCheck(
        ok=not found.errors,
        errors=[rule_problem(error) for error in found.errors],
        warnings=[rule_problem(warning) for warning in warn(found.rules)],
        rules=[
            models.RuleInfo.model_validate(rule)
            for group in found.rules.groups
            for rule in _rules(group, "file", states)
        ],
    )


def _rules(group: RuleGroup, owner: str, states: StateOf) -> list[dict[str, Any]]:
    shown = [(rule, None) for rule in group.rules] + [(one.rule, one.why) for one in group.waiting]
    return [_rule(rule, why, owner, states) for rule, why in sorted(shown, key=lambda one: one[0].line)]


def _rule(rule: Rule, waiting: str | None, owner: str, states: StateOf) -> dict[str, Any]:
    return {
        "name": rule.name,
        "group": rule.group,
        "kind": str(rule.kind),
        "expr": rule.expr,
        "owner": owner,
        "engine": "stream" if waiting is None else "ruler",
        "waiting": waiting,
        "state": states(rule) if rule.kind is RuleKind.ALERT else None,
        "health": "ok" if waiting is None else "err",
        "lastError": "" if waiting is None else f"waits for the ruler: {waiting}",
        "hash": rule.hash,
    }
