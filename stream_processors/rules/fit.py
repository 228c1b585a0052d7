"""Events and state records that Kafka takes: what is too large is cut or left out, so that the partition moves on.

Labels may take a megabyte, annotations repeat them, and one message that Kafka refuses would hold up all after it.
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from fleetpulse.events import AlertEvent, encode_event
from fleetpulse.logs import log_fields
from fleetpulse.rules.state import AlertRecord, encode_record
from fleetpulse.topics import MAX_MESSAGE_BYTES

log = logging.getLogger(__name__)

LARGEST_BYTES = MAX_MESSAGE_BYTES - 64 * 1024  # key and value; the rest is for headers and the batch around them


class Fitted(NamedTuple):
    """(key, value) for the topic of alerts and for that of states; how many of both were cut or left out."""

    events: list[tuple[bytes, bytes]]
    records: list[tuple[bytes, bytes | None]]
    oversized: int


def fit(events: Iterable[AlertEvent], records: Sequence[tuple[bytes, bytes | None]]) -> Fitted:
    """An event loses its annotations and evidence first, a state its annotations. An alert whose state still does not
    fit is not remembered: after a restart it is evaluated anew."""
    fitted = Fitted([], [], 0)
    oversized = 0
    for event in events:
        key, value = event.data.fingerprint.encode(), encode_event(event)
        if not _fits(key, value):
            oversized += 1
            value = encode_event(msgspec.structs.replace(event, data=_bare(event)))
            left_out = not _fits(key, value)
            facts = {"rule": event.data.rule.name, "host": event.data.host[:200], "event": event.id}
            log.error("an alert event is too large for Kafka", extra=log_fields(**facts, left_out=left_out))
            if left_out:
                continue
        fitted.events.append((key, value))
    for key, state in records:
        if not _fits(key, state):
            oversized += 1
            state = _bare_state(state)
            if not _fits(key, state):
                state = None
            place = {"key": repr(key[:200])}
            log.error("an alert's state is too large for Kafka", extra=log_fields(**place, left_out=state is None))
            if not _fits(key, state):
                continue
        fitted.records.append((key, state))
    return fitted._replace(oversized=oversized)


def _bare(event: AlertEvent) -> object:
    return msgspec.structs.replace(event.data, annotations={}, evidence=[])


def _bare_state(state: bytes | None) -> bytes | None:
    with suppress(msgspec.DecodeError):
        record = msgspec.json.decode(state or b"", type=AlertRecord)
        return encode_record(msgspec.structs.replace(record, annotations={}))
    return None


def _fits(key: bytes, value: bytes | None) -> bool:
    return len(key) + len(value or b"") <= LARGEST_BYTES
