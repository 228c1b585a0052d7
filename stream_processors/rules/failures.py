"""Rules whose evaluation fails: their alerts hold, so somebody has to be told."""

import logging
from collections.abc import Mapping

from fleetpulse.clock import Clock
from fleetpulse.logs import log_fields
from fleetpulse.rules.partition import Failure
from fleetpulse.selfmetrics import SelfMetrics

MOST_RULES = 100  # that are told by name
AGAIN_MS = 600_000  # a rule that goes on failing is logged so often

log = logging.getLogger(__name__)


class Failures:
    """Counts failures, and says which rules fail and why."""

    def __init__(self, metrics: SelfMetrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._logged_ms: dict[str, int] = {}  # by the rule's key

    def take(self, failures: Mapping[str, Failure]) -> None:
        """Failures of a batch, by the rule's key."""
        now_ms = self._clock.now_ms()
        for rule, failure in failures.items():
            self._metrics.add("fleetpulse_rules_failures_total", failure.ticks)
            if rule not in self._logged_ms and len(self._logged_ms) >= MOST_RULES:
                continue
            self._metrics.set("fleetpulse_rules_failed_timestamp_seconds", now_ms / 1000, rule=rule)
            if now_ms - self._logged_ms.get(rule, -AGAIN_MS) >= AGAIN_MS:
                self._logged_ms[rule] = now_ms
                log.warning(
                    "a rule cannot be evaluated; its alerts hold",
                    extra=log_fields(rule=rule, host=failure.host, ticks=failure.ticks, cause=failure.cause),
                )
