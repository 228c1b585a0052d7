"""Why a rule fired, or did not: the time line of value and state of one host, from its samples in order of arrival.

The state is that of the machine that runs live (`PartitionRules`); beside it the value is evaluated without its
comparison, so that it is there also when nothing is near an alert. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from fleetpulse.events import AlertEvent
from fleetpulse.metric import canonical_key
from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import reach_ms
from fleetpulse.rules.alerts import PLAIN
from fleetpulse.rules.condition import Condition, condition_of
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.evaluator import DEFAULT_LOOKBACK_MS, StreamEvaluator
from fleetpulse.rules.machine import FIRING, PENDING
from fleetpulse.rules.model import Rule, RuleKind, rule_set
from fleetpulse.rules.state import AlertRecord
from fleetpulse.rules.stream_run import StreamRun
from fleetpulse.wire import Block

STEP_MS = 15_000  # how often it is looked at whether a host has fallen silent
MOST_POINTS = 2000  # of one series

State: TypeAlias = Literal["inactive", "pending", "firing", "held", "stale"]
Arrivals: TypeAlias = Iterable[tuple[int, Sequence[Block]]]  # append time and blocks, in order


@dataclass(frozen=True, slots=True)
class Point:
    """A series at one evaluation."""

    at_ms: int
    value: float
    state: State
    severity: str = ""


@dataclass(slots=True)
class Stretch:
    """A time in which the state of a series was the same, [`from_ms`, `until_ms`)."""

    state: State
    severity: str
    from_ms: int
    until_ms: int


@dataclass(slots=True)
class Track:
    """One series of the rule's result."""

    labels: Mapping[str, str]
    fingerprint: str = ""
    points: list[Point] = field(default_factory=list)
    spans: list[Stretch] = field(default_factory=list)
    record: AlertRecord | None = None  # what the machine knows at the end, when it is pending or fires

    @property
    def state(self) -> State:
        """The state at the end."""
        return self.spans[-1].state if self.spans else "inactive"


@dataclass(slots=True)
class TimeLine:
    """What happened in [`from_ms`, `at_ms`]; `heard_ms`: append time of the newest message, None: none.

    `fails`: since when, at the end, the rule cannot be evaluated, and why.
    """

    rule: Rule
    condition: Condition
    from_ms: int
    at_ms: int
    tracks: list[Track]
    events: list[AlertEvent]
    heard_ms: int | None
    newest_ms: int | None  # of the samples that the rule reads
    fails: tuple[int, str] | None = None


def needed_from_ms(rule: Rule, from_ms: int, conduct: Conduct = PLAIN) -> int:
    """From when on samples are needed: windows are warm, `for` may be over, and what flaps is known, at `from_ms`."""
    flaps_ms = 0 if conduct.flapping is None else conduct.flapping.window_ms
    return from_ms - _reach_ms(rule) - rule.for_ms - rule.keep_firing_for_ms - flaps_ms - 60_000


def _reach_ms(rule: Rule) -> int:
    return reach_ms(parse(rule.expr), DEFAULT_LOOKBACK_MS)


def time_line(
    rule: Rule, arrivals: Arrivals, complete_from_ms: int, from_ms: int, at_ms: int, conduct: Conduct = PLAIN
) -> TimeLine:
    """The time line of the one host whose blocks arrive; `complete_from_ms`: nothing that came since is missing."""
    run = _Run(rule, complete_from_ms, from_ms, conduct)
    for append_ms, blocks in arrivals:
        if append_ms > at_ms:
            break
        run.wait(append_ms - 1)
        run.send(append_ms, blocks)
    run.wait(at_ms)
    return run.finished(at_ms)


class _Run:
    def __init__(self, rule: Rule, complete_from_ms: int, from_ms: int, conduct: Conduct) -> None:
        self._rule = rule
        self._condition = condition_of(rule)
        self._stream = StreamRun(rule_set([rule]), complete_from_ms, conduct)
        value = replace(rule, name="value", kind=RuleKind.RECORD, expr=self._condition.value, labels={})
        self._values = StreamEvaluator(rule_set([value]), complete_from_ms=complete_from_ms)
        self._from_ms = from_ms
        self._tracks: dict[str, Track] = {}
        self._heard_ms: int | None = None
        self._newest_ms: int | None = None
        self._fails: tuple[int, str] | None = None

    def send(self, append_ms: int, blocks: Sequence[Block]) -> None:
        self._stream.send(append_ms, blocks)
        for failure in self._stream.last.failures.values():
            self._fails = (append_ms if self._fails is None else self._fails[0], failure.cause)
        if self._stream.last.evaluations and not self._stream.last.failures:
            self._fails = None
        records = self._look(append_ms)
        self._heard_ms = append_ms
        for evaluation in self._values.observe(blocks, now_ms=append_ms):
            at_ms = evaluation.at_ms[evaluation.host_index].tolist()
            if len(evaluation.at_ms):
                self._newest_ms = max(self._newest_ms or 0, int(evaluation.at_ms.max()))
            for key, value, at in zip(evaluation.key.tolist(), evaluation.value.tolist(), at_ms, strict=True):
                labels = self._values.labels_of(key)
                track = self._track(labels)
                record = next((each for each in records if each.series.items() <= labels.items()), None)
                state, severity = _state(record)
                if at >= self._from_ms:
                    track.points.append(Point(at, value, state, severity))

    def wait(self, until_ms: int) -> None:
        """Look, step by step, whether silence changes anything."""
        if self._heard_ms is None:
            return
        at_ms = max(self._heard_ms, self._stream.at_ms)
        while at_ms < until_ms:
            at_ms = min(at_ms + STEP_MS, until_ms)
            self._stream.wait(at_ms)
            self._look(at_ms)

    def _look(self, at_ms: int) -> list[AlertRecord]:
        """Note the state of every series at a time."""
        records = self._stream.records()
        own = {canonical_key("", record.series): record for record in records}
        for key, record in own.items():
            self._tracks.setdefault(key, Track(dict(record.series))).fingerprint = record.fingerprint
        for key, track in self._tracks.items():
            track.record = own.get(key)
            if at_ms >= self._from_ms:
                _note(track.spans, *_state(track.record), max(at_ms, self._from_ms))
        return records

    def _track(self, labels: Mapping[str, str]) -> Track:
        """The track of a value: that of the alert whose labels are among its own, where there is one."""
        key = canonical_key("", labels)
        if key not in self._tracks:
            near = [track for track in self._tracks.values() if track.labels and track.labels.items() <= labels.items()]
            if near:
                return near[0]
            self._tracks[key] = Track(dict(labels))
        return self._tracks[key]

    def finished(self, at_ms: int) -> TimeLine:
        self._look(at_ms)
        for track in self._tracks.values():
            if track.spans:
                track.spans[-1].until_ms = at_ms
            track.points = thinned(track.points)
        tracks = [self._tracks[key] for key in sorted(self._tracks)]
        tracks = [track for track in tracks if track.points or any(span.state != "inactive" for span in track.spans)]
        events, heard_ms, newest_ms = self._stream.events, self._heard_ms, self._newest_ms
        return TimeLine(
            self._rule, self._condition, self._from_ms, at_ms, tracks, events, heard_ms, newest_ms, self._fails
        )


def _state(record: AlertRecord | None) -> tuple[State, str]:
    if record is None:
        return "inactive", ""
    if record.severity:
        return "stale" if record.stale else "firing", record.severities[record.severity - 1]
    if PENDING not in record.phase and FIRING not in record.phase:
        return "inactive", ""
    severity = record.severities[max(level for level, phase in enumerate(record.phase) if phase)]
    return "held" if record.held else "pending", severity


def _note(spans: list[Stretch], state: State, severity: str, at_ms: int) -> None:
    if spans:
        spans[-1].until_ms = at_ms
        if (spans[-1].state, spans[-1].severity) == (state, severity):
            return
    spans.append(Stretch(state, severity, at_ms, at_ms))


def thinned(points: list[Point]) -> list[Point]:
    """At most about MOST_POINTS of them; the first and the last, and every change of state, stay."""
    every = -(-len(points) // MOST_POINTS)
    return points if every <= 1 else list(_kept(points, every))


def _kept(points: list[Point], every: int) -> Iterator[Point]:
    for number, point in enumerate(points):
        before = points[number - 1] if number else None
        changed = before is None or (before.state, before.severity) != (point.state, point.severity)
        if changed or number % every == 0 or number == len(points) - 1:
            yield point
