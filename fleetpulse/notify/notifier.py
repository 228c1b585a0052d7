"""The notifier without its world: events and silences in, notifications and state records out; time is an argument.

notifier.restore(records)                     after a start
notifier.take_event(event, seen_ms)           from fleetpulse.alerts
notifier.take_silence(id, silence)            from fleetpulse.silences
for notification in notifier.due(now_ms): …   write `changes()`, then send
notifier.settle(notification, outcome, now)   write `changes()` again
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

import msgspec

from fleetpulse.clock import to_rfc3339
from fleetpulse.errors import FrameError
from fleetpulse.notify import intervals, record
from fleetpulse.notify.alert import Alert
from fleetpulse.notify.config import Config, Integration, Route
from fleetpulse.notify.group import Group, GroupRecord, key_of, notification_key
from fleetpulse.notify.record import Wanted
from fleetpulse.notify.route import group_labels_of, routes_of
from fleetpulse.notify.stages import Mutes
from fleetpulse.silences import Silence

FIRST_RETRY_MS, LONGEST_RETRY_MS = 1_000, 300_000
GRACE_MS = 30_000  # what is told so much later than it should is marked delayed
LAG_MS = 300_000  # so far may an event's own time be behind its writing
REMEMBER_MS = 900_000  # how long after its end an alert is remembered, so that an event that comes again is known


class Outcome(Enum):
    """What became of an attempt."""

    DELIVERED = "delivered"
    UNSURE = "unsure"  # it may have arrived
    FAILED = "failed"  # it surely did not arrive
    REFUSED = "refused"  # the receiver will not have it: tried again at the group's pace


@dataclass(frozen=True, slots=True)
class Notification:
    """One attempt to tell one integration about one group."""

    key: str
    integration: Integration
    group: str
    group_text: str
    group_labels: Mapping[str, str]
    what: Wanted
    delayed: bool
    repeat_ms: int
    at_ms: int
    attempt: int
    perhaps_before: tuple[str, ...]

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What it says: first what fires."""
        return (*self.what.firing, *self.what.resolved)

    @property
    def status(self) -> str:
        """``firing`` when at least one alert fires."""
        return "firing" if self.what.firing else "resolved"


class Notifier:
    """Who must hear what, from all that came; for one thread."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.mutes = Mutes(config)
        self.alerts: dict[str, Alert] = {}
        self.groups: dict[str, Group] = {}
        self._groups_of: dict[str, set[str]] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._changed: set[str] = set()

    # what comes in

    def take_event(self, alert: Alert) -> None:
        """An event of `fleetpulse.alerts`."""
        if not alert.replaces(self.alerts.get(alert.fingerprint)):
            return
        self.alerts[alert.fingerprint] = alert
        self._changed.add(f"alert/{alert.fingerprint}")
        self.mutes.inhibitor.update(alert)
        if alert.firing:
            self._place(alert)

    def take_silence(self, identity: str, silence: Silence | None) -> None:
        """A record of `fleetpulse.silences`."""
        self.mutes.set_silence(identity, silence)

    def _place(self, alert: Alert) -> None:
        before = self._groups_of.get(alert.fingerprint, set())
        now = {self._group(route, alert).key for route in routes_of(self.config.route, alert.match_labels)}
        for key in before - now:
            self._leave(self.groups[key], alert)
        for key in now:
            group = self.groups[key]
            group.members.add(alert.fingerprint)
            if group.record.left.pop(alert.fingerprint, None):
                self._changed.add(f"group/{key}")
        self._groups_of[alert.fingerprint] = now

    def _leave(self, group: Group, alert: Alert) -> None:
        # Its new severity is told by another route; those who were told by this one hear that it ended.
        group.members.discard(alert.fingerprint)
        group.record.left[alert.fingerprint] = alert.ended(to_rfc3339(alert.at_ms), alert.at_ms, alert.seen_ms)
        self._changed.add(f"group/{group.key}")

    def _group(self, route: Route, alert: Alert) -> Group:
        labels = group_labels_of(route, alert.labels, alert.host)
        key = key_of(route, labels)
        group = self.groups.get(key)
        if group is None:
            next_ms = alert.seen_ms + route.group_wait_ms
            group = Group(
                key,
                route,
                GroupRecord(
                    route=route.key,
                    receiver=route.receiver,
                    labels=labels,
                    created_ms=alert.seen_ms,
                    next_ms=next_ms,
                ),
            )
            self.groups[key] = group
            self._changed.add(f"group/{key}")
        return group

    # what goes out

    def next_ms(self) -> int | None:
        """When something is to be looked at; None: never."""
        return min((group.due_ms() for group in self.groups.values()), default=None)

    def due(self, now_ms: int) -> list[Notification]:
        """The notifications to send now; each is recorded as begun, so write `changes()` before it is sent."""
        found: list[Notification] = []
        for group in [group for group in self.groups.values() if group.due_ms() <= now_ms]:
            if group.record.next_ms <= now_ms:
                group.record.next_ms = now_ms + group.route.group_interval_ms
                group.checks = {item.name: now_ms for item in self._integrations(group)}
            found += self._look(group, now_ms)
            self._tidy(group, now_ms)
        return found

    def _look(self, group: Group, now_ms: int) -> Iterator[Notification]:
        if not self._awake(group.route, now_ms):
            group.checks.clear()
            return
        fires, muted = self._split(group, now_ms)
        for integration in self._integrations(group):
            name = integration.name
            if name in group.flying or group.checks.get(name, now_ms + 1) > now_ms:
                continue
            del group.checks[name]
            entry = group.entry(name)
            ended = self._ended(group, record.knows(entry) - fires.keys() - muted.keys())
            if not integration.send_resolved:
                self._drop(group, name, frozenset(ended))
                ended = {}
            what = record.wanted(entry, fires, muted, ended, group.route.repeat_interval_ms, now_ms)
            if what is not None:
                yield self._begin(group, integration, what, now_ms)
            else:
                self._failures.pop((group.key, name), None)  # what could not be told holds no longer

    def _begin(self, group: Group, integration: Integration, what: Wanted, now_ms: int) -> Notification:
        entry = group.entry(integration.name)
        allowed = group.route.group_interval_ms if entry.at_ms else group.route.group_wait_ms
        before = tuple(entry.perhaps)
        record.begin(entry, what)
        group.flying.add(integration.name)
        self._changed.add(f"group/{group.key}")
        return Notification(
            key=notification_key(group, integration.name),
            integration=integration,
            group=group.key,
            group_text=group.text,
            group_labels=group.record.labels,
            what=what,
            delayed=any(_is_late(alert, allowed, now_ms) for alert in what.changed),
            repeat_ms=group.route.repeat_interval_ms,
            at_ms=now_ms,
            attempt=self._failures.get((group.key, integration.name), 0) + 1,
            perhaps_before=before,
        )

    def settle(self, notification: Notification, outcome: Outcome, now_ms: int) -> None:
        """What became of an attempt; what failed is tried again with what then still holds."""
        group = self.groups.get(notification.group)
        if group is None:
            return
        name = notification.integration.name
        entry = group.entry(name)
        group.flying.discard(name)
        self._changed.add(f"group/{group.key}")
        if outcome is Outcome.DELIVERED:
            self._failures.pop((group.key, name), None)
            record.confirm(entry, notification.what, now_ms)
            self._tidy(group, now_ms)
            return
        if outcome is not Outcome.UNSURE:
            record.take_back(entry, list(notification.perhaps_before))
        failures = self._failures[group.key, name] = notification.attempt
        pause = min(LONGEST_RETRY_MS, FIRST_RETRY_MS << min(failures - 1, 20))
        if outcome is Outcome.REFUSED:
            pause = max(pause, min(group.route.group_interval_ms, LONGEST_RETRY_MS))
        group.checks[name] = now_ms + pause

    def failing(self) -> dict[str, int]:
        """Integration → groups of which it could not be told at the latest attempt."""
        found: dict[str, int] = {}
        for _, name in self._failures:
            found[name] = found.get(name, 0) + 1
        return found

    # what is quiet, and what ended

    def _awake(self, route: Route, now_ms: int) -> bool:
        named = self.config.intervals
        if any(intervals.contains(named[name], now_ms) for name in route.mute):
            return False
        return not route.active or any(intervals.contains(named[name], now_ms) for name in route.active)

    def _split(self, group: Group, now_ms: int) -> tuple[dict[str, Alert], dict[str, Alert]]:
        fires: dict[str, Alert] = {}
        muted: dict[str, Alert] = {}
        for fingerprint in group.members:
            alert = self.alerts[fingerprint]
            if alert.firing:
                (muted if self.mutes.muted(alert, now_ms) else fires)[fingerprint] = alert
        return fires, muted

    def _ended(self, group: Group, fingerprints: frozenset[str]) -> dict[str, Alert]:
        ended: dict[str, Alert] = {}
        for fingerprint in fingerprints:
            alert = group.record.left.get(fingerprint) or self.alerts.get(fingerprint)
            if alert is not None:
                ended[fingerprint] = alert
        return ended

    def _drop(self, group: Group, integration: str, gone: frozenset[str]) -> None:
        if record.drop(group.entry(integration), gone):
            self._changed.add(f"group/{group.key}")

    def _integrations(self, group: Group) -> tuple[Integration, ...]:
        return self.config.receivers[group.route.receiver].integrations

    def _tidy(self, group: Group, now_ms: int) -> None:
        """Forget what ended and what nobody waits to hear of."""
        known = frozenset().union(*(record.knows(entry) for entry in group.record.entries.values()))
        for fingerprint in [name for name in group.members if not self.alerts[name].firing and name not in known]:
            group.members.discard(fingerprint)
            self._groups_of[fingerprint].discard(group.key)
        for fingerprint in [name for name in group.record.left if name not in known]:
            del group.record.left[fingerprint]
            self._changed.add(f"group/{group.key}")
        if not group.members and not group.record.left and not group.flying and not known:
            del self.groups[group.key]
            self._changed.add(f"group/{group.key}")
            for name in group.record.entries:
                self._failures.pop((group.key, name), None)

    def forget_old(self, now_ms: int) -> None:
        """Forget alerts that ended a while ago."""
        for fingerprint, alert in list(self.alerts.items()):
            if not alert.firing and not self._groups_of.get(fingerprint) and alert.seen_ms + REMEMBER_MS < now_ms:
                del self.alerts[fingerprint]
                self._groups_of.pop(fingerprint, None)
                self.mutes.inhibitor.forget(fingerprint)
                self._changed.add(f"alert/{fingerprint}")

    # what outlives the process

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """The state records, (key, value) each, that changed since the last call; None: it is gone."""
        records: list[tuple[bytes, bytes | None]] = []
        for key in sorted(self._changed):
            kind, _, name = key.partition("/")
            group = self.groups.get(name)
            kept = self.alerts.get(name) if kind == "alert" else group.record if group else None
            records.append((key.encode(), msgspec.json.encode(kept) if kept is not None else None))
        self._changed.clear()
        return records

    def restore(self, records: Iterable[tuple[bytes, bytes]], now_ms: int) -> None:
        """Go on from saved records. Raises FrameError, reason ``undecodable``."""
        saved: dict[str, GroupRecord] = {}
        for key, value in records:
            kind, _, name = key.decode().partition("/")
            try:
                if kind == "alert":
                    self.alerts[name] = msgspec.json.decode(value, type=Alert)
                elif kind == "group":
                    saved[name] = msgspec.json.decode(value, type=GroupRecord)
            except msgspec.DecodeError as error:
                raise FrameError("undecodable", f"record {key!r} is not one of this build: {error}") from error
        self._restore_groups(saved, now_ms)
        for alert in self.alerts.values():
            self.mutes.inhibitor.update(alert)
            if alert.firing:
                self._place(alert)
        self._restore_ended(now_ms)

    def _restore_groups(self, saved: Mapping[str, GroupRecord], now_ms: int) -> None:
        routes = {(route.key, route.receiver): route for route in self.config.route.walk()}
        for key, kept in saved.items():
            route = routes.get((kept.route, kept.receiver))
            if route is None or key != key_of(route, kept.labels):
                self._changed.add(f"group/{key}")  # of another configuration: its receivers are told by others now
                continue
            group = self.groups[key] = Group(key, route, kept)
            names = {item.name for item in self._integrations(group)}
            kept.entries = {name: entry for name, entry in kept.entries.items() if name in names}
            kept.next_ms = min(kept.next_ms, now_ms + route.group_interval_ms)
            group.checks = {name: now_ms for name, entry in kept.entries.items() if entry.open}

    def _restore_ended(self, now_ms: int) -> None:
        for group in list(self.groups.values()):
            for entry in group.record.entries.values():
                record.drop(entry, record.knows(entry) - self.alerts.keys() - group.record.left.keys())
                for fingerprint in record.knows(entry) - group.members - group.record.left.keys():
                    alert = self.alerts[fingerprint]
                    if not alert.firing:
                        group.members.add(fingerprint)
                        self._groups_of.setdefault(fingerprint, set()).add(group.key)
                    else:
                        self._leave(group, alert)
            self._tidy(group, now_ms)


def _is_late(alert: Alert, allowed_ms: int, now_ms: int) -> bool:
    return now_ms - alert.seen_ms > allowed_ms + GRACE_MS or alert.seen_ms - alert.at_ms > LAG_MS
