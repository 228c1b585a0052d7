"""The records of `fleetpulse.alerts-state`, from which a new owner of a partition brings its alerts back.

The topic is compacted and partitioned as `fleetpulse.metrics`. Keys are JSON arrays, values JSON objects with a
version; no value (a tombstone) removes the key:

    ["mark"]                            how far the partition has been applied
    ["host", rule, host]                a rule with `no_data` watches this host
    ["alert", rule, host, fingerprint, no_data]     a pending or firing alert

They are written in one Kafka transaction with the events that they explain, so both exist or neither does.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec

from fleetpulse.errors import FrameError
from fleetpulse.rules.machine import FIRING, INACTIVE, NEVER, Memory

VERSION = 1


class Mark(msgspec.Struct, frozen=True):
    """Everything below `next_offset` is applied; `append_ms` is the append time of the last of it.

    `resumed_ms`: by rule, when the timers of silence started again, as far as that still matters.
    """

    next_offset: int
    append_ms: int
    v: int = VERSION
    resumed_ms: dict[str, int] = {}


class WatchedHost(msgspec.Struct, frozen=True):
    """A host whose silence matters to a rule; `labels` are those its alert will carry.

    `silent`: it was silent when this was written, and whoever was to know of it had been told.
    """

    rule: str
    host: str
    labels: dict[str, str]
    v: int = VERSION
    silent: bool = False


class AlertRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One alert that is pending or firing, or was of late (`is_open`).

    `rule_hash` tells whether the rule may keep the episode; `series` is the label set of the expression's result,
    by which the alert finds its samples again; `labels` (without ``severity``), `severities` (of the levels) and
    `annotations` let the alert be resolved when its rule is gone. `value` is text: JSON has no NaN.
    """

    rule: str
    rule_hash: str
    host: str
    fingerprint: str
    series: dict[str, str]
    labels: dict[str, str]
    severities: list[str]
    annotations: dict[str, str]
    phase: list[int]
    since_ms: list[int]
    false_since_ms: list[int]
    severity: int
    start_ms: int
    number: int
    stale: bool
    held: bool
    last_true_ms: int
    last_eval_ms: int
    value: str
    no_data: bool
    flapping: bool = False
    changes_ms: list[int] = []  # when it fired, resolved or changed its severity of late, the newest first
    source: bool = False  # about what brings the hosts, of which most are silent
    v: int = VERSION

    def memory(self) -> Memory:
        """The state machine's part."""
        return Memory(
            phase=self.phase,
            since_ms=self.since_ms,
            false_since_ms=self.false_since_ms,
            severity=self.severity,
            start_ms=self.start_ms,
            number=self.number,
            stale=self.stale,
            held=self.held,
            last_true_ms=self.last_true_ms,
            last_eval_ms=self.last_eval_ms,
            value=float(self.value),
            no_data=self.no_data,
            flapping=self.flapping,
            changes_ms=self.changes_ms,
        )

    def memory_by(self, severities: list[str]) -> Memory:
        """The same by the levels that the rule has now, which are known by their names."""
        memory = self.memory()
        if self.severities == severities:
            return memory
        if self.no_data:
            return replace(memory, severity=min(memory.severity, len(severities)))
        places = [self.severities.index(name) if name in self.severities else None for name in severities]
        phase = [INACTIVE if place is None else memory.phase[place] for place in places]
        firing = [number for number, each in enumerate(phase, 1) if each == FIRING]
        return replace(
            memory,
            phase=phase,
            since_ms=[NEVER if place is None else memory.since_ms[place] for place in places],
            false_since_ms=[NEVER if place is None else memory.false_since_ms[place] for place in places],
            severity=max(firing, default=0) if memory.severity else 0,
        )

    @property
    def is_open(self) -> bool:
        """Whether it is pending or firing; one that is not was so of late, and may flap."""
        return bool(self.severity) or any(self.phase)


@dataclass(slots=True)
class Saved:
    """The records of one partition, read back."""

    mark: Mark | None = None
    hosts: list[WatchedHost] = field(default_factory=list)
    alerts: list[AlertRecord] = field(default_factory=list)


_encoder = msgspec.json.Encoder()
_KINDS: dict[str, msgspec.json.Decoder[Mark | WatchedHost | AlertRecord]] = {
    "mark": msgspec.json.Decoder(Mark),
    "host": msgspec.json.Decoder(WatchedHost),
    "alert": msgspec.json.Decoder(AlertRecord),
}
_key_decoder = msgspec.json.Decoder(list[str])

MARK_KEY = _encoder.encode(["mark"])


def host_key(rule: str, host: str) -> bytes:
    """The key of a `WatchedHost`."""
    return _encoder.encode(["host", rule, host])


def alert_key(rule: str, host: str, fingerprint: str, no_data: bool) -> bytes:
    """The key of an `AlertRecord`; the alert about a host's silence may share a fingerprint with another one."""
    return _encoder.encode(["alert", rule, host, fingerprint, "no_data" if no_data else "series"])


def encode_record(record: Mark | WatchedHost | AlertRecord) -> bytes:
    """The message value."""
    return _encoder.encode(record)


def read_records(messages: Iterable[tuple[bytes | None, bytes | None]]) -> Saved:
    """(key, value) in the order of the partition → what still stands.

    Raises FrameError, reason ``undecodable`` or ``unknown_version``: state that cannot be read may not be ignored.
    """
    latest: dict[bytes, bytes] = {}
    for key, value in messages:
        if key is None:
            raise FrameError("undecodable", "a record without key on the topic of alert states")
        if value is None:
            latest.pop(key, None)
        else:
            latest[key] = value
    saved = Saved()
    for key, value in latest.items():
        record = _decoded(key, value)
        if isinstance(record, Mark):
            saved.mark = record
        elif isinstance(record, WatchedHost):
            saved.hosts.append(record)
        else:
            saved.alerts.append(record)
    return saved


def _decoded(key: bytes, value: bytes) -> Mark | WatchedHost | AlertRecord:
    try:
        decoder = _KINDS[_key_decoder.decode(key)[0]]
        record = decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError) as error:
        raise FrameError("undecodable", f"alert state {key[:200]!r} cannot be read: {error!r}") from error
    if record.v != VERSION:
        raise FrameError("unknown_version", f"alert state of version {record.v}: this build reads {VERSION}; upgrade")
    return record
