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
    """Counts notifications by integration and by host; silences, inhibition, routes, grouping, repeats are in force.

    A receiver that tells nobody counts as one that does: its groups are what would be told. One notification speaks
    of several hosts: it counts once for each.
    """

    def __init__(self, config: Config, silences: Sequence[Silence], since_ms: int = 0) -> None:
        """What is sent before `since_ms` does not count."""
        self._since_ms = since_ms
        self.count: Counter[str] = Counter()
        self.of_host: Counter[str] = Counter()
        self._notifier = Notifier(_counted(config))
        self._events = 0
        for silence in silences:
            self._notifier.take_silence(silence.id, silence)

    def add(self, events: Sequence[AlertEvent], others: Sequence[AlertEvent] = ()) -> None:
        """Take more events; they are put in order of time. Those of `others` are not told, but may inhibit."""
        timed = [(from_rfc3339(each.time), each.data.transition, True, each) for each in others]
        timed += [(from_rfc3339(each.time), number, False, each) for number, each in enumerate(events)]
        for at_ms, _, other, event in sorted(timed, key=lambda each: (each[0], not each[2], each[1])):
            self.go_on(at_ms)
            if other:
                self._notifier.mutes.inhibitor.update(alert_of(event, at_ms))
                continue
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
                if next_ms >= self._since_ms:
                    self.count[notification.integration.name] += 1
                    self.of_host.update({alert.host for alert in notification.alerts})
                self._notifier.settle(notification, Outcome.DELIVERED, next_ms)


def _counted(config: Config) -> Config:
    receivers = {
        name: receiver
        if receiver.integrations
        else replace(receiver, integrations=(Integration(name, 0, Webhook(""), True, receiver.line),))
        for name, receiver in config.receivers.items()
    }
    return replace(config, receivers=receivers)
