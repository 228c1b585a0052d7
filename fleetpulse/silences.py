"""The records of `fleetpulse.silences`: what is quiet, since when, until when, who said so and why.

JSON, key = id, a tombstone when it is gone. Three kinds: a *silence* by matchers; an *acknowledgement* of one alert by
who works on it, which ends with the alert's episode or when its severity changes; a *maintenance* window, planned.
Fields are only ever added. Times are RFC 3339, UTC.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

from fleetpulse.errors import FrameError, RuleError
from fleetpulse.notify.matchers import Matchers, make_matcher, matches
from fleetpulse.promql.syntax import Matcher

VERSION = 1
Kind: TypeAlias = Literal["silence", "acknowledgement", "maintenance"]
State: TypeAlias = Literal["pending", "active", "expired"]
KINDS: tuple[Kind, ...] = ("silence", "acknowledgement", "maintenance")


class LabelMatcher(msgspec.Struct, frozen=True, rename="camel"):
    """A matcher in Alertmanager's shape."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True

    @property
    def op(self) -> str:
        """``=``, ``!=``, ``=~`` or ``!~``."""
        return ("=" if self.is_equal else "!") + ("~" if self.is_regex else "" if self.is_equal else "=")


class AckedAlert(msgspec.Struct, frozen=True):
    """Which alert somebody works on: one episode, at one severity."""

    fingerprint: str
    episode: str
    severity: str = ""


class Silence(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """One record."""

    id: str
    kind: Kind
    matchers: list[LabelMatcher] = []
    starts_at: str
    ends_at: str
    created_by: str
    comment: str
    updated_at: str
    alert: AckedAlert | None = None
    v: int = VERSION

    def state(self, now_ms: int) -> State:
        """Whether it has begun and not ended."""
        if milliseconds(self.ends_at) <= now_ms:
            return "expired"
        return "pending" if now_ms < milliseconds(self.starts_at) else "active"


class Quiet:
    """A silence made ready to be asked often."""

    def __init__(self, silence: Silence) -> None:
        """Raises RuleError for a regular expression that does not compile."""
        self.silence = silence
        self.starts_ms, self.ends_ms = milliseconds(silence.starts_at), milliseconds(silence.ends_at)
        self._matchers: Matchers = matchers_of(silence.matchers)

    def mutes(self, labels: Mapping[str, str], fingerprint: str, episode: str, now_ms: int) -> bool:
        """Whether it keeps an alert quiet now."""
        if not self.starts_ms <= now_ms < self.ends_ms:
            return False
        alert = self.silence.alert
        if alert is not None:
            severity = labels.get("severity", "")
            return (alert.fingerprint, alert.episode, alert.severity) == (fingerprint, episode, severity)
        return bool(self._matchers) and matches(self._matchers, labels)


def matchers_of(listed: Sequence[LabelMatcher]) -> Matchers:
    """Checked matchers; raises RuleError, reason ``regex``."""
    return tuple(make_matcher(item.name, item.op, item.value) for item in listed)


def listed(matchers: Sequence[Matcher]) -> list[LabelMatcher]:
    """Matchers in Alertmanager's shape."""
    return [LabelMatcher(item.name, item.value, "~" in item.op, item.op[0] == "=") for item in matchers]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Silence)


def encode_silence(silence: Silence) -> bytes:
    """The message value."""
    return _encoder.encode(silence)


def decode_silence(raw: bytes) -> Silence:
    """The record; raises FrameError, reason ``undecodable`` or ``unknown_version``."""
    try:
        silence = _decoder.decode(raw)
        matchers_of(silence.matchers)
        milliseconds(silence.starts_at), milliseconds(silence.ends_at)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RuleError) as error:
        raise FrameError("undecodable", f"not a silence: {error}") from error
    if silence.v != VERSION:
        raise FrameError("unknown_version", f"silence of version {silence.v}: this build reads version {VERSION}")
    return silence


def milliseconds(text: str) -> int:
    """An RFC 3339 time; raises ValueError."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)
