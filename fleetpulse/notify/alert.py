"""The latest that is known of an alert, as notifications need it."""

from collections.abc import Mapping

import msgspec

from fleetpulse.events import ZERO_TIME, AlertEvent
from fleetpulse.silences import milliseconds


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert after its latest transition. `seen_ms`: when its event was written, by Kafka's clock."""

    fingerprint: str
    episode: str
    transition: int
    status: str  # firing | resolved
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    ends_at: str = ZERO_TIME
    generator_url: str = ""
    host: str
    value: str = ""
    stale: bool = False
    at_ms: int
    seen_ms: int

    @property
    def firing(self) -> bool:
        """Whether it fires."""
        return self.status == "firing"

    @property
    def severity(self) -> str:
        """Its label ``severity``."""
        return self.labels.get("severity", "")

    @property
    def match_labels(self) -> Mapping[str, str]:
        """What matchers see: its labels, and ``host`` also when its series have no such label."""
        return self.labels if "host" in self.labels else {**self.labels, "host": self.host}

    def replaces(self, known: "Alert | None") -> bool:
        """Whether it is news; an event that comes again, or comes late, is none."""
        if known is None:
            return True
        if known.episode == self.episode:
            return self.transition > known.transition
        return milliseconds(self.starts_at) >= milliseconds(known.starts_at)

    def ended(self, at: str, at_ms: int, seen_ms: int) -> "Alert":
        """The same alert, no longer there for a group that it left."""
        return msgspec.structs.replace(self, status="resolved", ends_at=at, at_ms=at_ms, seen_ms=seen_ms)


def alert_of(event: AlertEvent, seen_ms: int) -> Alert:
    """The alert after an event; raises ValueError for times that are none."""
    data = event.data
    milliseconds(data.starts_at)
    return Alert(
        fingerprint=data.fingerprint,
        episode=data.episode,
        transition=data.transition,
        status=data.status,
        labels=data.labels,
        annotations=data.annotations,
        starts_at=data.starts_at,
        ends_at=data.ends_at,
        generator_url=data.generator_url,
        host=data.host,
        value=data.value,
        stale=data.stale,
        at_ms=milliseconds(event.time),
        seen_ms=seen_ms,
    )
