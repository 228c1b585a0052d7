"""The shape of an explanation: why a rule fired for a host at a time, or what held it back."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from fleetpulse.clock import to_rfc3339
from fleetpulse.events import AlertEvent
from fleetpulse.hindsight.explained import Explanation, Question
from fleetpulse.rules.alert_event import levels_of
from fleetpulse.rules.condition import condition_of
from fleetpulse.rules.explain import Point, Stretch, Track
from fleetpulse.rules.model import Rule
from fleetpulse.rules.verdict import Verdict

State = Literal["inactive", "pending", "firing", "held", "stale"]


class ExplainedRule(BaseModel):
    """The rule as it is now; times in seconds."""

    name: str
    hash: str
    expr: str
    forSeconds: float
    keepFiringForSeconds: float
    noDataSeconds: float | None
    file: str
    line: int


class ExplainedLevel(BaseModel):
    """A severity and when it holds; empty: being in the result is the condition."""

    severity: str
    threshold: str
    recovery: str


class ExplainedPoint(BaseModel):
    """A series at one evaluation; the value is null where it is no finite number."""

    time: str
    value: float | None
    state: State
    severity: str


class ExplainedSpan(BaseModel):
    """A time in which the state was the same."""

    state: State
    severity: str
    since: str
    until: str


class ExplainedSeries(BaseModel):
    """One series of the rule's result; its value is shown without the comparison."""

    labels: dict[str, str]
    fingerprint: str
    points: list[ExplainedPoint]
    spans: list[ExplainedSpan]


class ExplainedEvent(BaseModel):
    """A transition by what is stored; `paged`: such an event was sent, null: nobody knows."""

    time: str
    status: Literal["firing", "resolved"]
    severity: str
    reason: str
    stale: bool
    episode: str
    transition: int
    paged: bool | None


class ExplainedVerdict(BaseModel):
    """The one thing that held the alert back, or why it fires."""

    reason: str = Field(examples=["for_not_over"])
    sentence: str
    since: str | None
    until: str | None
    by: list[str] = Field(description="Ids of silences, fingerprints of alerts that inhibit it.")
    fingerprint: str | None


class RuleExplanation(BaseModel):
    """The time line of value, threshold and state around a time, and the verdict."""

    rule: ExplainedRule
    host: str
    since: str
    at: str
    tier: Literal["raw", "1m", "1h"] = Field(description="Which samples were read.")
    levels: list[ExplainedLevel]
    series: list[ExplainedSeries]
    events: list[ExplainedEvent]
    verdict: ExplainedVerdict


def explanation_of(found: Explanation) -> RuleExplanation:
    """The answer's shape."""
    line, question = found.line, found.question
    events = [event for event in line.events if to_rfc3339(line.from_ms) <= event.time]
    return RuleExplanation(
        rule=_rule(question.rule, question.key),
        host=question.host,
        since=to_rfc3339(line.from_ms),
        at=to_rfc3339(line.at_ms),
        tier=found.tier,
        levels=_levels(question.rule),
        series=[_series(track) for track in line.tracks],
        events=[_event(event, found.paged) for event in events],
        verdict=_verdict(found.verdict),
    )


def unexplained(question: Question, verdict: Verdict) -> RuleExplanation:
    """The answer for a rule that nothing evaluates."""
    return RuleExplanation(
        rule=_rule(question.rule, question.key),
        host=question.host,
        since=to_rfc3339(question.at_ms - question.before_ms),
        at=to_rfc3339(question.at_ms),
        tier="raw",
        levels=[],
        series=[],
        events=[],
        verdict=_verdict(verdict),
    )


def _rule(rule: Rule, key: str) -> ExplainedRule:
    return ExplainedRule(
        name=key,
        hash=rule.hash,
        expr=rule.expr,
        forSeconds=rule.for_ms / 1000,
        keepFiringForSeconds=rule.keep_firing_for_ms / 1000,
        noDataSeconds=None if rule.no_data_ms is None else rule.no_data_ms / 1000,
        file=rule.file,
        line=rule.line,
    )


def _levels(rule: Rule) -> list[ExplainedLevel]:
    text = condition_of(rule).text
    return [
        ExplainedLevel(
            severity=level.severity,
            threshold=text if level.threshold is None else str(level.threshold),
            recovery="" if level.recovery is None else str(level.recovery),
        )
        for level in levels_of(rule)
    ]


def _series(track: Track) -> ExplainedSeries:
    return ExplainedSeries(
        labels=dict(track.labels),
        fingerprint=track.fingerprint,
        points=[_point(point) for point in track.points],
        spans=[_span(span) for span in track.spans],
    )


def _point(point: Point) -> ExplainedPoint:
    finite = abs(point.value) < float("inf")
    value = point.value if finite else None
    return ExplainedPoint(time=to_rfc3339(point.at_ms), value=value, state=point.state, severity=point.severity)


def _span(span: Stretch) -> ExplainedSpan:
    since, until = to_rfc3339(span.from_ms), to_rfc3339(span.until_ms)
    return ExplainedSpan(state=span.state, severity=span.severity, since=since, until=until)


def _event(event: AlertEvent, paged: Sequence[AlertEvent] | None) -> ExplainedEvent:
    data = event.data
    sent = None if paged is None else any(_is_same(event, each) for each in paged)
    return ExplainedEvent(
        time=event.time,
        status="resolved" if data.status == "resolved" else "firing",
        severity=data.labels.get("severity", ""),
        reason=data.reason,
        stale=data.stale,
        episode=data.episode,
        transition=data.transition,
        paged=sent,
    )


def _is_same(event: AlertEvent, other: AlertEvent) -> bool:
    """Whether two events are of one transition; an episode that began before what was read has another number."""
    mine, theirs = event.data, other.data
    return (event.time, mine.fingerprint, mine.status) == (other.time, theirs.fingerprint, theirs.status)


def _verdict(verdict: Verdict) -> ExplainedVerdict:
    return ExplainedVerdict(
        reason=verdict.reason,
        sentence=verdict.sentence,
        since=None if verdict.since_ms is None else to_rfc3339(verdict.since_ms),
        until=None if verdict.until_ms is None else to_rfc3339(verdict.until_ms),
        by=list(verdict.by),
        fingerprint=verdict.fingerprint,
    )
