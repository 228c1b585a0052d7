"""What people see of an alert: the levels of its rule, its labels, and the event of a transition."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleetpulse.clock import to_rfc3339
from fleetpulse.events import ZERO_TIME, AlertData, AlertEvent, Evidence, RuleRef, episode_of, make_event
from fleetpulse.metric import canonical_key
from fleetpulse.rules.flapping import Flapping
from fleetpulse.rules.machine import Policy, Reason, Transition
from fleetpulse.rules.model import Rule, Severity, Threshold
from fleetpulse.rules.state import AlertRecord


@dataclass(frozen=True, slots=True)
class Level:
    """One severity of a rule, and its conditions; no threshold: being in the result is the condition."""

    severity: str
    threshold: Threshold | None = None
    recovery: Threshold | None = None


@dataclass(slots=True)
class Subject:
    """What a slot is about: `series` is the result's label set, `labels` the alert's, without ``severity``."""

    host: str
    series: Mapping[str, str]
    labels: dict[str, str]
    fingerprint: str
    annotations: dict[str, str]


def levels_of(rule: Rule) -> tuple[Level, ...]:
    """The levels of a rule, lowest severity first."""
    if not rule.has_thresholds:
        return (Level(rule.labels.get("severity", "")),)
    named = ((Severity.WARNING, rule.warning), (Severity.CRITICAL, rule.critical))
    return tuple(Level(name, threshold, rule.recovery.get(name)) for name, threshold in named if threshold is not None)


def policy_of(rule: Rule, levels: tuple[Level, ...], flap: Flapping | None = None) -> Policy:
    """What the state machine must know of a rule."""
    return Policy(
        severities=tuple(level.severity for level in levels),
        for_ms=rule.for_ms,
        keep_ms=rule.keep_firing_for_ms,
        no_data_ms=rule.no_data_ms,
        has_recovery=tuple(level.recovery is not None for level in levels),
        filters=not rule.has_thresholds,
        flap=flap,
    )


def event_of(
    transition: Transition,
    rule_key: str,
    rule_hash: str,
    subject: Subject,
    severities: list[str],
    threshold: str,
    late: bool = False,
    generator_url: str = "",
) -> AlertEvent:
    """The event of a transition; a resolved one keeps the severity it had."""
    resolved = not transition.severity
    severity = severities[(transition.severity or transition.previous) - 1]
    at = to_rfc3339(transition.at_ms)
    value = text_of(transition.value)
    data = AlertData(
        status="resolved" if resolved else "firing",
        labels={**subject.labels, **({"severity": severity} if severity else {})},
        annotations=dict(subject.annotations),
        starts_at=to_rfc3339(transition.start_ms),
        ends_at=at if resolved else ZERO_TIME,
        fingerprint=subject.fingerprint,
        episode=episode_of(rule_key, subject.fingerprint, transition.start_ms),
        transition=transition.number,
        previous_severity=severities[transition.previous - 1] if transition.previous else None,
        stale=transition.stale,
        late=late,
        flapping=transition.flapping,
        generator_url=generator_url,
        reason=transition.reason,
        host=subject.host,
        rule=RuleRef(rule_key, rule_hash),
        value=value,
        threshold=threshold,
        evidence=[] if value == "NaN" else [Evidence(canonical_key("", subject.series), at, value)],
    )
    return make_event(data, at)


def closing(record: AlertRecord, at_ms: int, reason: Reason) -> AlertEvent | None:
    """The event that ends a saved alert whose rule changed or is gone; None when it was only pending."""
    if not record.severity:
        return None
    transition = Transition(
        slot=-1,
        number=record.number + 1,
        at_ms=max(at_ms, record.start_ms),
        reason=reason,
        severity=0,
        previous=record.severity,
        stale=False,
        start_ms=record.start_ms,
        value=float(record.value),
    )
    subject = Subject(record.host, record.series, record.labels, record.fingerprint, record.annotations)
    return event_of(transition, record.rule, record.rule_hash, subject, record.severities, "")


def text_of(value: float) -> str:
    """A value as Prometheus writes it: the shortest text that reads back as the same number."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
