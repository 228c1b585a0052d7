"""Stage *group*: the alerts that are told together, and when their group is looked at.

The first look is `group_wait` after the first alert came, then one each `group_interval`.
"""

from dataclasses import dataclass, field

import msgspec
import xxhash

from fleetpulse.metric import canonical_key
from fleetpulse.notify.alert import Alert
from fleetpulse.notify.config import Route
from fleetpulse.notify.record import Entry


class GroupRecord(msgspec.Struct, kw_only=True):
    """What outlives the process."""

    route: str  # the route's key
    receiver: str
    labels: dict[str, str]
    created_ms: int
    next_ms: int
    entries: dict[str, Entry] = {}
    left: dict[str, Alert] = {}  # alerts that another route tells now, as ended here
    v: int = 1


@dataclass(slots=True)
class Group:
    """A group at work; `checks`: when an integration is to be looked at."""

    key: str
    route: Route
    record: GroupRecord
    members: set[str] = field(default_factory=set)
    checks: dict[str, int] = field(default_factory=dict)
    flying: set[str] = field(default_factory=set)  # integrations with a notification on its way

    @property
    def text(self) -> str:
        """Alertmanager's group key."""
        return f"{self.route.key}:{labels_text(self.record.labels)}"

    def entry(self, integration: str) -> Entry:
        """The record of an integration."""
        return self.record.entries.setdefault(integration, Entry())

    def due_ms(self) -> int:
        """When the group is next looked at."""
        waiting = [at for name, at in self.checks.items() if name not in self.flying]
        return min([self.record.next_ms, *waiting])


def labels_text(labels: dict[str, str]) -> str:
    """Labels as Alertmanager writes them."""
    return "{" + ", ".join(canonical_key("", {name: labels[name]})[1:-1] for name in sorted(labels)) + "}"


def key_of(route: Route, labels: dict[str, str]) -> str:
    """16 hex digits for a route, its receiver and the group's labels."""
    return xxhash.xxh3_64_hexdigest(f"{route.key}\n{route.receiver}\n{canonical_key('', labels)}".encode())


def notification_key(group: Group, integration: str) -> str:
    """The key of an integration's latest notification: the same for every attempt, never the same for two."""
    entry = group.entry(integration)
    parts = (group.key, integration, str(group.record.created_ms), str(entry.number))
    return xxhash.xxh3_128_hexdigest("\n".join(parts).encode())
