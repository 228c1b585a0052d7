"""What is known of the rules in force beside their text: the state of their alerts, and how they fare."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from api.alert_states import State
from fleetpulse.clock import to_rfc3339
from fleetpulse.rules.model import Rule, RuleSet
from fleetpulse.storage.rule_health import RuleHealth


class Fares(NamedTuple):
    """How a rule fares, in the words of Prometheus; `error` says why its health is ``err``."""

    health: Literal["ok", "err", "unknown"]
    error: str


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """Of one moment. `states` are by the rules' keys."""

    rules: RuleSet
    states: Mapping[str, State]
    health: RuleHealth

    def state(self, rule: Rule) -> State:
        """That of the rule's alerts."""
        return self.states.get(self.rules.key_of(rule), "inactive")

    def fares(self, rule: Rule, waiting: str | None) -> Fares:
        """`waiting`: why it waits for the ruler."""
        if waiting:
            return Fares("err", f"waits for the ruler: {waiting}")
        key, health = self.rules.key_of(rule), self.health
        if rule.group in health.refused:
            return Fares("err", "a rules worker cannot load the group's newest version; its log says why")
        if key in health.failed_ms:
            failed = to_rfc3339(health.failed_ms[key])
            return Fares("err", f"it failed, last at {failed}; the log of the rules worker says for which host")
        return Fares("unknown" if health.evaluated_ms is None and key not in self.states else "ok", "")
