"""Every topic in one enum: name, retention, key rule, producers and consumers as data.

They are created by us (`publish/topic_admin.py`), never by a broker's or a library's defaults.
"""

from dataclasses import dataclass
from enum import Enum

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAX_MESSAGE_BYTES = 8 * 1024 * 1024  # of every topic; a dead letter carries its message whole


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic. `per_host` topics have the partitions of the setting, the others `partitions`."""

    suffix: str
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    per_host: bool
    partitions: int = 1
    retention_ms: int | None = None
    compacted: bool = False
    transactional: bool = False  # markers of transactions take offsets; read committed


class Topic(Enum):
    """The topics, by the name they have after the prefix."""

    METRICS = TopicSpec(
        "metrics",
        key="host (of a frame with several, the first)",
        producers=("agent", "simulator", "rules", "every process's own metrics"),
        consumers=("ingest", "rules"),
        per_host=True,
        retention_ms=2 * DAY_MS,
    )
    METRICS_DEAD = TopicSpec(
        "metrics-dead",
        key="topic/partition/offset of the message",
        producers=("ingest", "rules"),
        consumers=("fleetpulse dead",),
        per_host=False,
        retention_ms=14 * DAY_MS,
    )
    ALERTS = TopicSpec(
        "alerts",
        key="fingerprint of the alert",
        producers=("rules",),
        consumers=("history", "notify", "anyone"),
        per_host=True,
        retention_ms=14 * DAY_MS,
        transactional=True,
    )
    ALERTS_STATE = TopicSpec(
        "alerts-state",
        key="host, as in metrics, or partition/offset marks",
        producers=("rules",),
        consumers=("rules",),
        per_host=True,
        compacted=True,
        transactional=True,
    )
    RULES = TopicSpec(
        "rules",
        key="rule group",
        producers=("api",),
        consumers=("rules",),
        per_host=False,
        compacted=True,
        transactional=True,
    )
    SILENCES = TopicSpec(
        "silences",
        key="id of the silence, acknowledgement or maintenance window",
        producers=("api",),
        consumers=("notify", "api", "fleetpulse rules"),
        per_host=False,
        compacted=True,
        transactional=True,
    )
    NOTIFY_STATE = TopicSpec(
        "notify-state",
        key="alert/<fingerprint>, group/<id> or position; further parts of a long one: the key, NUL, a number",
        producers=("notify",),
        consumers=("notify",),
        per_host=False,
        compacted=True,
        transactional=True,
    )
    HOSTS = TopicSpec("hosts", key="host", producers=("rules",), consumers=("api",), per_host=True, compacted=True)

    def named(self, prefix: str) -> str:
        """The topic's name on the broker, e.g. ``fleetpulse.metrics``."""
        return f"{prefix}.{self.value.suffix}"
