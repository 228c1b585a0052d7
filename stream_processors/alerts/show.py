"""One transition of an alert as a line for a terminal. Pure.

Labels may come from anybody, so a line has no control characters but our own colours, which never say more than the
words beside them.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from fleetpulse.events import AlertData, AlertEvent
from stream_processors.dead_show import printable

_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_COLOURS: Mapping[str, str] = {
    "resolved": "\x1b[32m",
    "critical": "\x1b[1;31m",
    "warning": "\x1b[33m",
    "firing": "\x1b[1m",
}
_WORDS: Mapping[str, str] = {
    "no_data": "no data any more, still open",
    "data_returned": "data again",
    "recovered": "recovered",
    "series_gone": "its series is gone",
    "rule_changed": "the rule was changed",
    "rule_deleted": "the rule was deleted",
    "flapping": "flapping",
    "flapping_ended": "does not flap any more",
    "host_departed": "the host is gone for good",
}


def line(event: AlertEvent, colour: bool) -> str:
    """Time, severity, name, host, value against threshold, what changed, and the summary."""
    data = event.data
    state = _state(data)
    columns = [
        _paint(f"{_time(event.time)}", _DIM, colour),
        _paint(f"{state.upper():<8}", _COLOURS.get(state, _COLOURS["firing"]), colour),
        f"{printable(data.labels.get('alertname', data.rule.name)):<20}",
        f"{printable(data.host):<16}",
        printable(_change(event)),
    ]
    if (value := _value(data)) and data.status == "firing":
        columns.append(printable(value))
    summary = data.annotations.get("summary", "")
    if summary:
        columns.append(_paint(printable(f"— {summary}"), _DIM, colour))
    return "  ".join(columns).rstrip()


def _state(data: AlertData) -> str:
    if data.status == "resolved":
        return "resolved"
    return printable(data.labels.get("severity", "")) or "firing"


def _change(event: AlertEvent) -> str:
    """What is different from before this event."""
    data = event.data
    words = _WORDS.get(data.reason, data.reason.replace("_", " "))
    if data.status == "resolved":
        text = f"resolved after {_lasted(data)}: {words}"
    elif data.previous_severity is None and data.transition == 1:
        text = "began" if data.reason == "threshold" else f"began: {words}"
    elif data.previous_severity and data.previous_severity != data.labels.get("severity", ""):
        text = f"{data.previous_severity} → {data.labels.get('severity', '')}"
    else:
        text = words
    marks = [mark for mark, on in (("stale", data.stale), ("late", data.late)) if on]
    return f"{text} [{', '.join(marks)}]" if marks else text


def _value(data: AlertData) -> str:
    """``0.98 > 0.95``; nothing of a value that is no number, as when nothing was heard."""
    if data.value in ("", "NaN"):
        return ""
    return f"{data.value} (limit {data.threshold})" if data.threshold else data.value


def _lasted(data: AlertData) -> str:
    try:
        seconds = round((_at(data.ends_at) - _at(data.starts_at)).total_seconds())
    except ValueError:
        return "?"
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds % 60, "s")]
    return " ".join([f"{number}{unit}" for number, unit in parts if number][:2]) or "0s"


def _time(text: str) -> str:
    try:
        return _at(text).strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return printable(text)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _paint(text: str, code: str, colour: bool) -> str:
    return f"{code}{text}{_RESET}" if colour else text
