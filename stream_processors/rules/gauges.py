"""The rules worker's own metrics."""

from collections import Counter
from collections.abc import Iterable

from fleetpulse.clock import Clock, SystemClock
from fleetpulse.rules.partition import Outcome, PartitionRules
from fleetpulse.selfmetrics import SelfMetrics
from stream_processors.rules.failures import Failures


class Gauges:
    """Counts outcomes, and sets what is read from the partitions."""

    def __init__(self, metrics: SelfMetrics, clock: Clock | None = None) -> None:
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._failures = Failures(metrics, self._clock)
        self._severities = {"warning", "critical"}

    def count(self, outcome: Outcome) -> None:
        """An outcome was written."""
        add = self._metrics.add
        add("fleetpulse_rules_evaluations_total", outcome.evaluations)
        if outcome.evaluations:
            self._metrics.set("fleetpulse_rules_evaluated_timestamp_seconds", self._clock.now_ms() / 1000)
        self._failures.take(outcome.failures)
        add("fleetpulse_rules_samples_total", outcome.matched_samples)
        add("fleetpulse_rules_late_samples_total", outcome.late_samples)
        add("fleetpulse_rules_unreadable_messages_total", outcome.unreadable)
        for event in outcome.events:
            add("fleetpulse_rules_events_total", transition=event.data.reason)
        if outcome.records:
            add("fleetpulse_rules_transactions_total")

    def update(self, partitions: Iterable[PartitionRules]) -> None:
        """Set the firing alerts of the partitions owned."""
        firing = Counter(severity or "none" for rules in partitions for severity in rules.firing())
        self._severities |= firing.keys()
        for severity in self._severities:
            self._metrics.set("fleetpulse_alerts_active", firing[severity], severity=severity)
