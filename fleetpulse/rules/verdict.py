"""The one thing that held an alert back, or why it fires: a word, and a sentence for a person. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fleetpulse.clock import to_rfc3339
from fleetpulse.events import AlertEvent
from fleetpulse.rules.alert_event import levels_of, text_of
from fleetpulse.rules.explain import TimeLine, Track
from fleetpulse.rules.machine import DEFAULT_SILENT_MS, NEVER
from fleetpulse.rules.model import Rule
from fleetpulse.rules.notation import duration, shown


@dataclass(frozen=True, slots=True)
class Mute:
    """Something that keeps notifications of a firing alert back: ``silenced``, ``inhibited`` or ``maintenance``."""

    reason: str
    by: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is a stable word; `since_ms` and `until_ms` are times of the sentence, where it has some."""

    reason: str
    sentence: str
    since_ms: int | None = None
    until_ms: int | None = None
    by: Sequence[str] = field(default=())
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the samples in order of arrival.

    `timely` is the time line as if every sample had come at its time; None where none came late. `paged` are the
    events that were really sent for the host and rule, None where nobody knows. `mutes` by fingerprint, at the time.
    """

    timely: TimeLine | None = None
    paged: Sequence[AlertEvent] | None = None
    mutes: Mapping[str, Sequence[Mute]] = field(default_factory=dict)
    alive_ms: int | None = None  # when the host sent anything at all, at last


def verdict(line: TimeLine, known: Known) -> Verdict:
    """Of the series the one that is nearest to an alert is spoken of."""
    ranked = sorted(line.tracks, key=_rank)
    track = ranked[0] if ranked else None
    if track is not None and track.state in ("firing", "stale"):
        return _firing(line, track, known)
    if line.fails is not None:
        since, cause = line.fails
        sentence = f"the rule cannot be evaluated since {to_rfc3339(since)}, and its alerts stay as they are: {cause}"
        return Verdict("evaluation_fails", sentence, since)
    late = _late(line, known)
    if late is not None:
        return late
    if track is not None and track.state in ("pending", "held"):
        return _pending(line, track)
    silent = _silent(line, known)
    if silent is not None:
        return silent
    return _below(line, ranked)


def _rank(track: Track) -> int:
    return ["firing", "stale", "pending", "held", "inactive"].index(track.state)


def _firing(line: TimeLine, track: Track, known: Known) -> Verdict:
    record = track.record
    assert record is not None
    what, since = shown(track.labels), record.start_ms
    mutes = known.mutes.get(record.fingerprint, ())
    if mutes:
        first, by = mutes[0], tuple(mute.by for mute in mutes)
        return Verdict(first.reason, f"{what} fires, but {first.sentence}", since, None, by, record.fingerprint)
    if known.paged is not None and not any(_is_of(event, record.fingerprint, since) for event in known.paged):
        sentence = (
            f"{what} fires by what is stored, since {to_rfc3339(since)}, but no event of it was sent: the rule was not "
            "in force as it is now, or the pipeline was behind; not paged"
        )
        return Verdict("not_paged", sentence, since, None, (), record.fingerprint)
    if track.state == "stale":
        sentence = f"{what} still fires, marked stale: the host is silent, and silence resolves nothing"
        return Verdict("host_silent", sentence, since, None, (), record.fingerprint)
    sentence = f"{what} fires since {to_rfc3339(since)}: the value is {text_of(float(record.value))}"
    return Verdict("firing", sentence, since, None, (), record.fingerprint)


def _is_of(event: AlertEvent, fingerprint: str, since_ms: int) -> bool:
    return event.data.fingerprint == fingerprint and event.data.status == "firing"


def _late(line: TimeLine, known: Known) -> Verdict | None:
    """What the stored samples show, and did not when they came."""
    if known.timely is None:
        return None
    for track in known.timely.tracks:
        if track.state in ("firing", "stale") and track.record is not None:
            since = track.record.start_ms
            sentence = (
                f"{shown(track.labels)} would fire since {to_rfc3339(since)} by what is stored, but its samples came "
                "late, after newer ones: what only late data shows is not paged"
            )
            return Verdict("late_data", sentence, since, None, (), track.fingerprint or None)
    return None


def _pending(line: TimeLine, track: Track) -> Verdict:
    record = track.record
    assert record is not None
    since = min(each for each in record.since_ms if each > NEVER)
    what, fingerprint = shown(track.labels), record.fingerprint
    if track.state == "held":
        if line.heard_ms is not None and line.at_ms - line.heard_ms > _silent_ms(line.rule):
            sentence = (
                f"{what} is pending since {to_rfc3339(since)} and waits: the host is silent, its time stands still"
            )
            return Verdict("host_silent", sentence, since, None, (), fingerprint)
        sentence = f"{what} is pending since {to_rfc3339(since)} and waits: its window is not warm yet"
        return Verdict("window_not_warm", sentence, since, None, (), fingerprint)
    until = since + line.rule.for_ms
    sentence = (
        f"{what} is true since {to_rfc3339(since)}, but 'for: {duration(line.rule.for_ms)}' is not over before "
        f"{to_rfc3339(until)}"
    )
    return Verdict("for_not_over", sentence, since, until, (), fingerprint)


def _silent_ms(rule: Rule) -> int:
    return DEFAULT_SILENT_MS if rule.no_data_ms is None else rule.no_data_ms


def _silent(line: TimeLine, known: Known) -> Verdict | None:
    """Nothing to evaluate at the end."""
    newest = line.newest_ms
    heard = max((each for each in (known.alive_ms, line.heard_ms) if each is not None), default=None)
    if newest is not None and line.at_ms - newest <= _silent_ms(line.rule):
        return None
    limit = duration(_silent_ms(line.rule))
    if heard is None or line.at_ms - heard > _silent_ms(line.rule):
        since = "at any time that was read" if heard is None else f"since {to_rfc3339(heard)}"
        return Verdict("host_silent", f"the host has sent nothing {since}, for longer than {limit}", heard)
    if newest is None:
        return Verdict("no_series", "the host lives, but sends no series that the rule reads")
    sentence = f"the host lives, but its series for this rule have no sample since {to_rfc3339(newest)}"
    return Verdict("no_data", sentence, newest)


def _below(line: TimeLine, tracks: Sequence[Track]) -> Verdict:
    """Values that meet no threshold."""
    valued = [
        track for track in tracks if track.points and line.at_ms - track.points[-1].at_ms <= _silent_ms(line.rule)
    ]
    if not valued:
        sentence = "there are samples, but the expression gives nothing for them: a window may hold too few, or no pair"
        return Verdict("no_data", sentence, line.newest_ms)
    track = min(valued, key=lambda each: _distance(line, each.points[-1].value))
    point = track.points[-1]
    since = _inactive_since(track)
    needed = _needed(line)
    sentence = (
        f"{shown(track.labels)} is below its threshold since {to_rfc3339(since)}: the value is {text_of(point.value)}, "
        f"needed is {needed}"
    )
    ended = [event for event in line.events if event.data.status == "resolved" and event.data.host]
    if ended:
        sentence += f"; it resolved at {ended[-1].time} ({ended[-1].data.reason})"
    return Verdict("below_threshold", sentence, since, None, (), track.fingerprint or None)


def _inactive_since(track: Track) -> int:
    """When the state was another one at last; where it never was, the first value that was read."""
    since = track.points[-1].at_ms
    for point in reversed(track.points):
        if point.state != "inactive":
            break
        since = point.at_ms
    return since


def _needed(line: TimeLine) -> str:
    levels = [level for level in levels_of(line.rule) if level.threshold is not None]
    if levels:
        return " or ".join(f"{level.threshold} ({level.severity})" for level in levels)
    return line.condition.text or "a result"


def _distance(line: TimeLine, value: float) -> float:
    """How far a value is from the nearest threshold."""
    thresholds = [level.threshold for level in levels_of(line.rule) if level.threshold is not None]
    if line.condition.threshold is not None:
        thresholds.append(line.condition.threshold)
    found = [abs(value - threshold.value) for threshold in thresholds]
    return min((each for each in found if each == each), default=float("inf"))
