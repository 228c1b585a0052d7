"""What was expected against what came: the differences as lines for a person. No line: they agree."""

from collections.abc import Mapping, Sequence

from fleetpulse.clock import from_rfc3339
from fleetpulse.events import AlertEvent
from fleetpulse.rules.notation import duration, same_value, shown
from fleetpulse.rules.testing.clock_run import Fired
from fleetpulse.rules.testing.unit_file import ExpectedEvent

Sample = tuple[Mapping[str, str], float]


def alert_differences(expected: Sequence[Fired], got: Sequence[Fired]) -> list[str]:
    """Both with all labels; as in promtool each alert counts, in any order."""
    missing = [_clean(each) for each in expected]
    left = [_clean(each) for each in got]
    for each in list(missing):
        if each in left:
            missing.remove(each)
            left.remove(each)
    lines: list[str] = []
    for labels, annotations in missing:
        partner = _nearest(labels, left)
        if partner is None:
            lines.append(f"missing:    {shown(labels)}")
            continue
        left.remove(partner)
        lines.append(f"differs:    {shown(labels)}")
        lines += _changes("label", labels, partner[0]) + _changes("annotation", annotations, partner[1])
    return lines + [f"unexpected: {shown(labels)}{_shown_annotations(each)}" for labels, each in left]


def sample_differences(expected: Sequence[Sample], got: Sequence[Sample]) -> list[str]:
    """Values agree to 12 digits."""
    left = [({**labels}, value) for labels, value in got]
    lines: list[str] = []
    for labels, value in expected:
        partner = next((each for each in left if each[0] == labels), None)
        if partner is None:
            lines.append(f"missing:    {shown(labels)} {value:.17g}")
            continue
        left.remove(partner)
        if not same_value(value, partner[1]):
            lines.append(f"differs:    {shown(labels)}: expected {value:.17g}, got {partner[1]:.17g}")
    return lines + [f"unexpected: {shown(labels)} {value:.17g}" for labels, value in left]


def event_differences(expected: Sequence[ExpectedEvent], got: Sequence[AlertEvent]) -> list[tuple[int, str]]:
    """Line of the expectation (0: none) and what is wrong with it; the events are compared one by one, in order."""
    lines: list[tuple[int, str]] = []
    for wanted, event in zip(expected, got, strict=False):
        lines += [(wanted.line, line) for line in _event_changes(wanted, event)]
    for wanted in expected[len(got) :]:
        what = " ".join(f"{name}={text}" for name, text in wanted.texts.items())
        lines.append((wanted.line, f"missing:    event at {duration(wanted.at_ms)} {what}".rstrip()))
    return lines + [(0, f"unexpected: {shown_event(event)}") for event in got[len(expected) :]]


def shown_event(event: AlertEvent) -> str:
    """An event in a line."""
    data = event.data
    severity = f" {data.labels['severity']}" if data.labels.get("severity") else ""
    stale = ", stale" if data.stale else ""
    labels = {name: text for name, text in data.labels.items() if name not in ("alertname", "severity")}
    at = duration(from_rfc3339(event.time))
    return f"event at {at}: {data.status}{severity} ({data.reason}{stale}) of {shown(labels)}, value {data.value}"


def _event_changes(wanted: ExpectedEvent, event: AlertEvent) -> list[str]:
    data = event.data
    texts = {
        "status": data.status,
        "severity": data.labels.get("severity", ""),
        "previous_severity": data.previous_severity or "",
        "reason": data.reason,
        "stale": str(data.stale).lower(),
        "host": data.host,
        "threshold": data.threshold,
        "transition": str(data.transition),
    }
    at_ms = from_rfc3339(event.time)
    lines = [] if at_ms == wanted.at_ms else [f"at: expected {duration(wanted.at_ms)}, got {duration(at_ms)}"]
    lines += [
        f"{name}: expected {text!r}, got {texts[name]!r}" for name, text in wanted.texts.items() if text != texts[name]
    ]
    if wanted.value is not None and not same_value(wanted.value, float(data.value)):
        lines.append(f"value: expected {wanted.value:.17g}, got {data.value}")
    given = {name: data.labels.get(name, "") for name in wanted.labels}
    lines += _changes("label", wanted.labels, given, "")
    given = {name: data.annotations.get(name, "") for name in wanted.annotations}
    lines += _changes("annotation", wanted.annotations, given, "")
    return [f"differs:    {shown_event(event)}", *(f"    {line}" for line in lines)] if lines else []


def _clean(fired: Fired) -> Fired:
    labels, annotations = fired
    return {name: text for name, text in labels.items() if text}, {k: text for k, text in annotations.items() if text}


def _nearest(labels: Mapping[str, str], among: Sequence[Fired]) -> Fired | None:
    """The one with the same labels, else with most of them; None when they have little in common."""

    def common(fired: Fired) -> int:
        return len(labels.items() & fired[0].items())

    best = max(among, key=common, default=None)
    return best if best is not None and 2 * common(best) >= len(labels) else None


def _changes(what: str, expected: Mapping[str, str], got: Mapping[str, str], indent: str = "    ") -> list[str]:
    names = sorted(name for name in {*expected, *got} if expected.get(name, "") != got.get(name, ""))
    return [f"{indent}{what} {name}: expected {expected.get(name)!r}, got {got.get(name)!r}" for name in names]


def _shown_annotations(annotations: Mapping[str, str]) -> str:
    return f" annotations {dict(annotations)}" if annotations else ""
