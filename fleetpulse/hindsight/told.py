"""How often somebody would have been told: the notifier itself, over the events of a back-test."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fleetpulse.clock import from_rfc3339
from fleetpulse.events import AlertEvent
from fleetpulse.notify.alert import alert_of
from fleetpulse.notify.config import Config, Integration, Webhook
from fleetpulse.notify.notifier import Notifier, Outcome
from fleetpulse.silences import Silence

_TIDY_EVERY = 1000  # events


class Told:
    """Counts notifications by integration; silences, inhibition, routes, grouping and repeats are in force.

    A receiver that tells nobody counts as one that does: its groups are what would be told.
    """

    def __init__(self, config: Config, silences: Sequence[Silence]) -> None:
        self.count: Counter[str] = Counter()
        self._notifier = Notifier(_counted(config))
        self._events = 0
        for silence in silences:
            self._notifier.take_silence(silence.id, silence)

    def add(self, events: Sequence[AlertEvent]) -> None:
        """Take more events; they are put in order of time."""
        for at_ms, _, event in sorted((from_rfc3339(each.time), n, each) for n, each in enumerate(events)):
            self.go_on(at_ms)
            self._notifier.take_event(alert_of(event, at_ms))
            self._events += 1
            if self._events % _TIDY_EVERY == 0:
                self._notifier.forget_old(at_ms)
                self._notifier.changes()

    def go_on(self, until_ms: int) -> None:
        """Send what is due before a time."""
        while True:
            next_ms = self._notifier.next_ms()
            if next_ms is None or next_ms >= until_ms:
                return
            for notification in self._notifier.due(next_ms):
                self.count[notification.integration.name] += 1
                self._notifier.settle(notification, Outcome.DELIVERED, next_ms)


def _counted(config: Config) -> Config:
    receivers = {
        name: receiver
        if receiver.integrations
        else replace(receiver, integrations=(Integration(name, 0, Webhook(""), True, receiver.line),))
        for name, receiver in config.receivers.items()
    }
    return replace(config, receivers=receivers)
