"""What the notifier says about itself: metrics, and a log line for each attempt."""

import logging
from typing import Any

from fleetpulse.clock import Clock
from fleetpulse.logs import log_fields
from fleetpulse.notify.config import Config, Integration
from fleetpulse.notify.notifier import Notification, Notifier, Outcome
from fleetpulse.selfmetrics import SelfMetrics

log = logging.getLogger(__name__)

COUNT_EVERY_MS = 2_000


class Report:
    """Metrics by receiver and integration."""

    def __init__(self, config: Config, metrics: SelfMetrics, clock: Clock) -> None:
        self._config, self._metrics, self._clock = config, metrics, clock
        self._failing_since: dict[str, int] = {}
        self._counted_ms = 0
        self.active(False)
        for integration in config.integrations:
            metrics.add("fleetpulse_notify_notifications_total", 0, **_labels(integration))
            metrics.set("fleetpulse_notify_failing_seconds", 0, **_labels(integration))

    def active(self, active: bool) -> None:
        """Whether this process notifies or stands by."""
        self._metrics.set("fleetpulse_notify_active", float(active))
        if not active:
            self._failing_since.clear()
            for integration in self._config.integrations:
                self._metrics.set("fleetpulse_notify_failing_seconds", 0, **_labels(integration))

    def attempt(self, notification: Notification, outcome: Outcome, why: str) -> None:
        """One attempt and its outcome."""
        labels = _labels(notification.integration)
        facts = {
            "receiver": notification.integration.name,
            "key": notification.key,
            "group": notification.group_text,
            "firing": len(notification.what.firing),
            "resolved": len(notification.what.resolved),
            "delayed": notification.delayed,
            "attempt": notification.attempt,
        }
        if outcome is Outcome.DELIVERED:
            self._metrics.add("fleetpulse_notify_notifications_total", **labels)
            log.info("notified", extra=log_fields(**facts, **({"note": why} if why else {})))
        else:
            self._metrics.add("fleetpulse_notify_failures_total", **labels, outcome=outcome.value)
            log.warning("not notified", extra=log_fields(**facts, outcome=outcome.value, cause=why))

    def state(self, notifier: Notifier, lag: int, in_flight: int, now_ms: int) -> None:
        """What is the case now."""
        self._metrics.set("fleetpulse_notify_lag_messages", lag)
        self._metrics.set("fleetpulse_notify_in_flight", in_flight)
        failing = notifier.failing()
        for integration in self._config.integrations:
            name = integration.name
            if name not in failing:
                self._failing_since.pop(name, None)
            since = self._failing_since.setdefault(name, now_ms) if name in failing else now_ms
            self._metrics.set("fleetpulse_notify_failing_seconds", (now_ms - since) / 1000, **_labels(integration))
        if now_ms - self._counted_ms >= COUNT_EVERY_MS:
            self._counted_ms = now_ms
            self._count(notifier, now_ms)

    def _count(self, notifier: Notifier, now_ms: int) -> None:
        firing = [alert for alert in notifier.alerts.values() if alert.firing]
        muted = sum(1 for alert in firing if notifier.mutes.muted(alert, now_ms))
        self._metrics.set("fleetpulse_notify_groups", len(notifier.groups))
        self._metrics.set("fleetpulse_notify_alerts", muted, muted="true")
        self._metrics.set("fleetpulse_notify_alerts", len(firing) - muted, muted="false")
        self._metrics.set("fleetpulse_notify_silences", notifier.mutes.silences)


def _labels(integration: Integration) -> Any:
    return {"receiver": integration.receiver, "integration": f"{integration.kind}/{integration.index}"}
