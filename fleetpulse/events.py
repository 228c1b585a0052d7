"""The alert event on `fleetpulse.alerts`: a CloudEvents 1.0 JSON envelope with Alertmanager's words inside.

Record key: the fingerprint. One event per transition; pending is never on the topic. Fields are only ever
added. Source of the envelope: https://github.com/cloudevents/spec (1.0.2, JSON format).
"""

from collections.abc import Mapping

import msgspec
import xxhash

from fleetpulse.errors import FrameError
from fleetpulse.metric import canonical_key

EVENT_TYPE = "fleetpulse.alert.v1"
ZERO_TIME = "0001-01-01T00:00:00Z"  # Alertmanager's "not ended"


class RuleRef(msgspec.Struct, frozen=True):
    """Which rule: its name is its identity, its hash tells versions apart."""

    name: str
    hash: str


class Evidence(msgspec.Struct, frozen=True):
    """One sample that led to the transition."""

    series: str
    timestamp: str
    value: str  # as text: JSON has no NaN or infinities


class AlertData(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The alert in Alertmanager's words, then ours. Times are RFC 3339."""

    status: str  # firing | resolved
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str = msgspec.field(name="startsAt")
    ends_at: str = msgspec.field(name="endsAt", default=ZERO_TIME)
    fingerprint: str
    generator_url: str = msgspec.field(name="generatorURL", default="")
    episode: str
    transition: int
    previous_severity: str | None = None
    stale: bool = False
    late: bool = False
    flapping: bool = False
    reason: str  # threshold | severity_changed | recovered | no_data | data_returned | series_gone | rule_changed | …
    host: str
    rule: RuleRef
    value: str
    threshold: str = ""
    evidence: list[Evidence] = []


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The CloudEvents envelope; `id` is ``<episode>/<transition>``."""

    id: str
    source: str
    subject: str
    time: str
    data: AlertData
    specversion: str = "1.0"
    type: str = EVENT_TYPE
    datacontenttype: str = "application/json"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AlertEvent)


def make_event(data: AlertData, at: str) -> AlertEvent:
    """The envelope of a transition that happened at RFC 3339 time `at`."""
    return AlertEvent(
        id=f"{data.episode}/{data.transition}",
        source=f"/fleetpulse/rules/{data.rule.name}",
        subject=data.host,
        time=at,
        data=data,
    )


def encode_event(event: AlertEvent) -> bytes:
    """The message value."""
    return _encoder.encode(event)


def decode_event(raw: bytes) -> AlertEvent:
    """The event; raises FrameError, reason ``undecodable`` or ``unknown_type``."""
    try:
        event = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError("undecodable", f"not an alert event: {error}") from error
    if event.type != EVENT_TYPE:
        raise FrameError("unknown_type", f"event type {event.type!r}: this build reads {EVENT_TYPE}")
    return event


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """16 hex digits over the labels without ``severity``, so that a change of severity is the same alert."""
    identity = {name: value for name, value in labels.items() if name != "severity"}
    return xxhash.xxh3_64_hexdigest(canonical_key("alert", identity).encode())


def episode_of(rule: str, fingerprint: str, starts_ms: int) -> str:
    """16 hex digits: the same rule, fingerprint and start always give the same episode."""
    return xxhash.xxh3_64_hexdigest(f"{rule}\n{fingerprint}\n{starts_ms}".encode())
