"""What the routes need, made once per process and handed to them by FastAPI."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.alert_states import AlertStates
from api.fleet import Fleet
from api.readiness import Readiness
from api.rule_book import RuleBook
from api.rule_health import RuleWatch
from api.rule_status import RuleStatus
from api.rule_warnings import RuleWarnings
from api.silence_book import SilenceBook
from api.store.engine import Database
from fleetpulse.errors import RuleError
from fleetpulse.notify.config import Config
from fleetpulse.rules.alerts import PLAIN
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.model import RuleSet
from fleetpulse.selfmetrics import SelfMetrics


@dataclass(frozen=True, slots=True)
class Context:
    """The parts behind the routes; `conduct` is the rules worker's, by the same settings."""

    fleet: Fleet
    readiness: Readiness
    metrics: SelfMetrics
    database: Database
    rules: RuleBook
    alerts: AlertStates
    warnings: RuleWarnings
    watch: RuleWatch
    silences: SilenceBook
    notify: Config
    max_body_bytes: int
    conduct: Conduct = PLAIN

    def status(self) -> RuleStatus:
        """That of the rules in force, now."""
        return RuleStatus(self.rules.rule_set(), self.alerts.states(), self.watch.now())

    def warn(self, rules: RuleSet) -> Iterable[RuleError]:
        """What is right about these rules but may not be meant."""
        return self.warnings.of(rules, self.rules.rule_set())


def get_context(request: Request) -> Context:
    """The process's context."""
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(get_context)]
