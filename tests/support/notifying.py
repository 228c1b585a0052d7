"""What tests of notifications share: events, configurations, and a receiver of webhooks that counts."""

from pathlib import Path

from fleetpulse.clock import to_rfc3339
from fleetpulse.events import (
    ZERO_TIME,
    AlertData,
    AlertEvent,
    RuleRef,
    episode_of,
    fingerprint_of,
    make_event,
)
from fleetpulse.notify.alert import Alert, alert_of
from fleetpulse.notify.config import Config
from fleetpulse.notify.load import load_text
from fleetpulse.silences import AckedAlert, LabelMatcher, Silence

T0 = 1_800_000_000_000
MINUTE = 60_000


def event_of(
    name: str,
    host: str,
    at_ms: int = T0,
    *,
    severity: str = "critical",
    number: int = 1,
    status: str = "firing",
    start_ms: int | None = None,
    **labels: str,
) -> AlertEvent:
    """A transition of one alert."""
    every = {"alertname": name, "instance": host, "severity": severity, **labels}
    fingerprint = fingerprint_of(every)
    start_ms = at_ms if start_ms is None else start_ms
    data = AlertData(
        status=status,
        labels=every,
        annotations={"summary": f"{name} at {host}"},
        starts_at=to_rfc3339(start_ms),
        ends_at=to_rfc3339(at_ms) if status == "resolved" else ZERO_TIME,
        fingerprint=fingerprint,
        episode=episode_of(name, fingerprint, start_ms),
        transition=number,
        reason="threshold",
        host=host,
        rule=RuleRef(name, "0" * 16),
        value="1",
    )
    return make_event(data, to_rfc3339(at_ms))


def firing(name: str, host: str, at_ms: int = T0, severity: str = "critical", number: int = 1, **labels: str) -> Alert:
    """An alert that has just begun to fire, or changed its severity (then with a higher number, and T0 as start)."""
    start = at_ms if number == 1 else T0
    event = event_of(name, host, at_ms, severity=severity, number=number, start_ms=start, **labels)
    return alert_of(event, at_ms)


def resolved(
    name: str, host: str, at_ms: int, start_ms: int = T0, severity: str = "critical", number: int = 2, **labels: str
) -> Alert:
    """The same alert when it has ended."""
    event = event_of(
        name, host, at_ms, severity=severity, number=number, status="resolved", start_ms=start_ms, **labels
    )
    return alert_of(event, at_ms)


def config_of(text: str, folder: Path = Path()) -> Config:
    """A configuration."""
    return load_text("notify.yaml", text, folder)


def silence_of(
    identity: str,
    matchers: dict[str, str],
    from_ms: int = T0,
    until_ms: int = T0 + 60 * MINUTE,
    kind: str = "silence",
    alert: Alert | None = None,
) -> Silence:
    """A silence of equal labels, or an acknowledgement of an alert."""
    acked = AckedAlert(alert.fingerprint, alert.episode, alert.severity) if alert else None
    return Silence(
        id=identity,
        kind=kind,  # type: ignore[arg-type]
        matchers=[LabelMatcher(name, value) for name, value in matchers.items()],
        starts_at=to_rfc3339(from_ms),
        ends_at=to_rfc3339(until_ms),
        created_by="ada",
        comment="a test",
        updated_at=to_rfc3339(from_ms),
        alert=acked,
    )
