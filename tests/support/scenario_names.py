"""A scenario under names of its own, so that many can be played on one topic or in one database."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleetpulse.events import AlertEvent
from tests.support.scenarios import UP, Scenario, Send, Told, told


@dataclass(frozen=True)
class Named:
    """`hosts` and `metrics`: as the scenario names them → as they are called here."""

    scenario: Scenario
    hosts: Mapping[str, str]
    metrics: Mapping[str, str]

    @classmethod
    def of(cls, scenario: Scenario, hosts: Mapping[str, str]) -> "Named":
        """Every metric but `up` is called after the scenario too."""
        sends = [step for step in scenario.steps if isinstance(step, Send)]
        names = {key.partition("{")[0] for send in sends for key in send.values} - {UP}
        return cls(scenario, hosts, {name: f"{name}:{scenario.name}" for name in names})

    def rules(self, rules: Sequence[Any]) -> list[dict[str, Any]]:
        """The rules with names and metrics of their own; `up` is everybody's, so only these hosts count."""
        return [
            {**rule, "alert": f"{self.scenario.name}/{rule['alert']}", "expr": self._expr(rule["expr"])}
            for rule in rules
        ]

    def _expr(self, expr: str) -> str:
        for name, own in self.metrics.items():
            expr = re.sub(rf"\b{name}\b", own, expr)
        hosts = "|".join(self.hosts.values())
        return re.sub(rf"\b{UP}\b", f'{UP}{{instance=~"{hosts}"}}', expr)

    def told(self, events: Sequence[AlertEvent], start_ms: int, source: str) -> list[Told]:
        """The events of this scenario, as it names things; `source` is what brings its hosts here."""
        prefix = f"{self.scenario.name}/"
        own = [event for event in events if event.data.rule.name.startswith(prefix)]
        names = {actual: name for name, actual in self.hosts.items()} | {source: "partition-0"}
        return told(own, start_ms, self.scenario.labels, names, prefix)
