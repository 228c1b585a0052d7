"""Random incidents with crashes at every step, and receivers that fail in every way; each notification is counted."""

import json
import random

import pytest

from fleetpulse.events import AlertEvent
from fleetpulse.notify.alert import alert_of
from fleetpulse.notify.notifier import Notification, Notifier, Outcome
from fleetpulse.notify.payload import webhook_body
from tests.support.notifying import T0, config_of, event_of
from tests.support.told import Arrival, arrival_of, extras, problems

CONFIG = config_of("""\
route: {receiver: oncall, group_by: [alertname], group_wait: 300ms, group_interval: 1s, repeat_interval: 10h}
receivers: [{name: oncall, webhook_configs: [{url: 'http://x/'}]}]
""")
STEP_MS = 100
RUNS = 15
NAMES, HOSTS = ("Cold", "Hot", "Slow"), ("a", "b", "c")

Told = tuple[Notification, Outcome, int]  # when its outcome is known


class Incident:
    """A notifier, its committed records, the log of events, and a receiver that is not to be trusted."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_ms = T0
        self.log: list[AlertEvent] = []
        self.firing: dict[tuple[str, str], tuple[int, int]] = {}  # start and number of the latest transition
        self.records: dict[bytes, bytes] = {}
        self.position = 0
        self.flying: list[Told] = []
        self.arrivals: list[Arrival] = []
        self.crashes: list[float] = []
        self.healthy = False
        self.notifier = Notifier(CONFIG)

    def play(self) -> None:
        """Sixty seconds of it, and then time for all to end well."""
        for step in range(1000):
            self.healthy = step >= 600
            self.now_ms += STEP_MS * 10 if self.healthy else STEP_MS
            if not self.healthy and self.random.random() < 0.1:
                self.change()
            if self.random.random() < 0.02 and not self.healthy:
                self.crash()
            self.turn()

    def change(self) -> None:
        """An alert fires or ends."""
        alert = self.random.choice(NAMES), self.random.choice(HOSTS)
        start, number = self.firing.pop(alert, (0, 0))
        if start:
            self.log.append(event_of(*alert, self.now_ms, number=number + 1, status="resolved", start_ms=start))
        else:
            self.firing[alert] = self.now_ms, 1
            self.log.append(event_of(*alert, self.now_ms))

    def turn(self) -> None:
        """What the worker does again and again, which ends after any of its steps when it crashes."""
        steps = [self.read, self.write, self.settle, self.begin, self.write, self.send]
        crash = len(steps) if self.healthy or self.random.random() > 0.02 else self.random.randrange(len(steps))
        for step in steps[:crash]:
            step()
        if crash < len(steps):
            self.crash()

    def read(self) -> None:
        for event in self.log[self.position :]:
            self.notifier.take_event(alert_of(event, self.now_ms))
        self.seen = len(self.log)

    def settle(self) -> None:
        for made, outcome, at_ms in [told for told in self.flying if told[2] <= self.now_ms]:
            self.notifier.settle(made, outcome, self.now_ms)
            self.flying.remove((made, outcome, at_ms))

    def begin(self) -> None:
        self.begun = self.notifier.due(self.now_ms)

    def write(self) -> None:
        for key, value in self.notifier.changes():
            if value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = value
        self.position = self.seen

    def send(self) -> None:
        for made in self.begun:
            outcome, arrives, taken, answered = self.random.choice(FATES) if not self.healthy else FATES[0]
            if arrives:
                at = self.now_ms / 1000
                self.arrivals.append(arrival_of(json.loads(webhook_body(made, "", 0)), at, taken, answered))
            self.flying.append((made, outcome, self.now_ms + self.random.randrange(0, 3000)))

    def crash(self) -> None:
        self.crashes.append(self.now_ms / 1000)
        self.flying, self.begun = [], []
        self.notifier = Notifier(CONFIG)
        self.now_ms += self.random.choice((100, 5_000, 60_000))
        self.notifier.restore(self.records.items(), self.now_ms)
        self.read()


# outcome; whether it arrived, was taken, and was answered by saying so
FATES = (
    (Outcome.DELIVERED, True, True, True),
    (Outcome.DELIVERED, True, True, True),
    (Outcome.UNSURE, True, False, False),  # 500, or hung up before it was taken
    (Outcome.UNSURE, True, True, False),  # taken, and the answer got lost
    (Outcome.FAILED, False, False, False),  # nobody there
    (Outcome.REFUSED, True, False, False),
)


@pytest.mark.parametrize("block", range(4))
def test_whatever_crashes_each_state_is_told_and_hardly_ever_twice(block: int) -> None:
    repeated = crashes = 0
    for seed in range(block * RUNS, (block + 1) * RUNS):
        incident = Incident(seed)
        incident.play()
        holds = [
            event.data.fingerprint
            for alert, (start, _) in incident.firing.items()
            for event in [event_of(*alert, start)]
        ]
        found = problems(incident.arrivals, incident.crashes, holds)
        assert not found, (seed, found)
        repeated += extras(incident.arrivals)
        crashes += len(incident.crashes)
    assert crashes > 100, "it was no incident"
    assert repeated > 10, "nothing came twice: nothing was shown"
