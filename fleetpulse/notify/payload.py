"""What a notification says: Alertmanager's webhook payload, its v2 alerts, and plain text.

Source of the shapes: prometheus/alertmanager, `webhook_config` in its configuration's documentation (version "4"), and
api/v2/openapi.yaml (postableAlert).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fleetpulse.clock import to_rfc3339
from fleetpulse.events import ZERO_TIME
from fleetpulse.notify.alert import Alert
from fleetpulse.notify.notifier import Notification
from fleetpulse.silences import milliseconds

WEBHOOK_VERSION = "4"
SHOWN_ALERTS = 20  # of a message for people


def webhook_body(notification: Notification, external_url: str, max_alerts: int) -> bytes:
    """Alertmanager's JSON, and ours: `notificationKey`, `delayed`, and `episode`, `host`, `stale` of each alert."""
    alerts = notification.alerts
    shown = alerts[:max_alerts] if max_alerts else alerts
    body = {
        "version": WEBHOOK_VERSION,
        "groupKey": notification.group_text,
        "truncatedAlerts": len(alerts) - len(shown),
        "status": notification.status,
        "receiver": notification.integration.receiver,
        "groupLabels": notification.group_labels,
        "commonLabels": common([alert.labels for alert in alerts]),
        "commonAnnotations": common([alert.annotations for alert in alerts]),
        "externalURL": external_url,
        "alerts": [_alert(alert) for alert in shown],
        "notificationKey": notification.key,
        "delayed": notification.delayed,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def forward_body(notification: Notification) -> bytes:
    """The alerts as another Alertmanager takes them.

    It ends by itself what it does not hear of again, so `endsAt` of what fires is behind the next repetition. And it
    takes an end that is still to come for no end: that of a host whose clock is ahead is now.
    """
    until = to_rfc3339(notification.at_ms + notification.repeat_ms * 3 // 2 + 600_000)
    alerts = [
        {
            "labels": alert.labels,
            "annotations": alert.annotations,
            "startsAt": alert.starts_at,
            "endsAt": until if alert.firing else to_rfc3339(min(milliseconds(alert.ends_at), notification.at_ms)),
            "generatorURL": alert.generator_url,
        }
        for alert in notification.alerts
    ]
    return json.dumps(alerts, separators=(",", ":")).encode()


def title(notification: Notification) -> str:
    """One line, e.g. ``[FIRING:2] HostCpuHigh web-1 (delayed)``."""
    firing, resolved = notification.what.firing, notification.what.resolved
    state = f"FIRING:{len(firing)}" if firing else f"RESOLVED:{len(resolved)}"
    names = common([alert.labels for alert in notification.alerts])
    subject = " ".join(filter(None, (names.get("alertname", ""), names.get("instance", ""))))
    fallback = " ".join(notification.group_labels.values()) or "alerts"
    line = f"[{state}] {subject or fallback}{' (delayed)' if notification.delayed else ''}"
    return " ".join(line.split())[:200]


def text(notification: Notification, external_url: str) -> str:
    """The message for people: what fires, then what ended, each with its reason and labels."""
    parts = ["This message is delayed: it tells what holds now.\n"] if notification.delayed else []
    for heading, alerts in (("Firing", notification.what.firing), ("Resolved", notification.what.resolved)):
        if alerts:
            parts.append(f"{heading}:")
            parts += [_lines(alert) for alert in alerts[:SHOWN_ALERTS]]
            if len(alerts) > SHOWN_ALERTS:
                parts.append(f"… and {len(alerts) - SHOWN_ALERTS} more\n")
    parts.append(external_url)
    return "\n".join(parts)


def common(mappings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The pairs that all have."""
    if not mappings:
        return {}
    first, *others = mappings
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "status": alert.status,
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": alert.starts_at,
        "endsAt": alert.ends_at if not alert.firing else ZERO_TIME,
        "generatorURL": alert.generator_url,
        "fingerprint": alert.fingerprint,
        "episode": alert.episode,
        "host": alert.host,
        "stale": alert.stale,
    }


def _lines(alert: Alert) -> str:
    name = alert.labels.get("alertname", "alert")
    severity = f" ({alert.severity})" if alert.severity else ""
    stale = ", its host is silent" if alert.stale and alert.firing else ""
    when = f"since {alert.starts_at}" if alert.firing else f"from {alert.starts_at} to {alert.ends_at}"
    summary = alert.annotations.get("summary") or alert.annotations.get("message") or ""
    description = alert.annotations.get("description", "")
    labels = ", ".join(f"{key}={value}" for key, value in sorted(alert.labels.items()) if key != "alertname")
    lines = [f"- {name}{severity} {when}{stale}", *(f"  {part}" for part in (summary, description, labels) if part)]
    return "\n".join(lines) + "\n"
