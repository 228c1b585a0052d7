"""An alert event as a row of the table `alert_events`."""

from datetime import datetime
from typing import Any

from fleetpulse.events import ZERO_TIME, decode_event
from stream_processors.inbox import Message

Row = tuple[Any, ...]


def row_of(message: Message) -> Row:
    """The row, in the order of `tables.ALERT_EVENTS_COLUMNS`; raises FrameError for what is no alert event."""
    event = decode_event(message.value or b"")
    data = event.data
    return (
        data.episode,
        data.transition,
        _time(event.time),
        data.status,
        data.fingerprint,
        data.host,
        data.labels.get("alertname", ""),
        data.labels.get("severity", ""),
        data.previous_severity or "",
        _time(data.starts_at),
        None if data.ends_at == ZERO_TIME else _time(data.ends_at),
        data.reason,
        data.stale,
        data.late,
        data.flapping,
        data.value,
        data.threshold,
        data.rule.name,
        data.rule.hash,
        data.labels,
        data.annotations,
        [evidence.series for evidence in data.evidence],
        [_time(evidence.timestamp) for evidence in data.evidence],
        [evidence.value for evidence in data.evidence],
        data.generator_url,
        event.source,
        message.partition,
        message.offset,
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
