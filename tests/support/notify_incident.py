"""A random incident on Kafka: alerts come and go, the receiver fails in every way, notifiers get SIGKILL at random."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fleetpulse.events import AlertEvent
from fleetpulse.settings import KafkaSettings
from tests.support.eventually import eventually
from tests.support.notify_workers import notifier, now_ms, publish
from tests.support.notifying import event_of, silence_of
from tests.support.running import Running
from tests.support.told import Arrival, arrival_of, problems
from tests.support.webhooks import Receiver, receiver_of

NAMES, HOSTS = ("Cold", "Hot", "Slow", "Wet"), ("a", "b", "c")
TIMEOUT_SECONDS = 3
QUIET = "quiet"  # a host whose alerts come together with a silence
CONFIG = """\
route: {{receiver: oncall, group_by: [alertname], group_wait: 100ms, group_interval: 400ms, repeat_interval: 1h}}
receivers:
  - name: oncall
    webhook_configs: [{{url: '{url}/hook', timeout: {timeout}s}}]
"""
MOODS: tuple[dict[str, object], ...] = (
    {"status": 200},
    {"status": 200},
    {"status": 200, "resets": True},  # takes it, and nobody hears that
    {"status": 500},
    {"status": 429},
    {"status": 500, "resets": True},
    {"holds": True},
)


@dataclass
class Incident:
    """`kills` notifiers die, after 0.1 to 8 s each; `play` returns when all is told that must be."""

    kafka: KafkaSettings
    folder: Path
    random: Random
    kills: int
    receiver: Receiver = field(init=False)
    firing: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)  # start, number of the transition
    killed: list[float] = field(default_factory=list)
    active_kills: int = 0  # those that hit a process that was notifying
    looked: int = -1

    def play(self) -> None:
        """From the first alert to the last end."""
        with receiver_of() as self.receiver:
            config = CONFIG.format(url=self.receiver.url, timeout=TIMEOUT_SECONDS)
            silence = silence_of("quiet", {"instance": QUIET}, now_ms() - 1000, now_ms() + 3_600_000)
            publish(self.kafka, [event_of(name, QUIET, now_ms()) for name in NAMES], [silence])
            self.round()
            for number in range(self.kills):
                with notifier(self.kafka, self.folder, config, f"notify-{number}") as worker:
                    self.trouble(worker)
            self.mood({})
            with notifier(self.kafka, self.folder, config, f"notify-{self.kills}"):
                self.round()
                eventually(self.settled, 60.0, 2.0)

    def trouble(self, worker: Running) -> None:
        """Until this notifier is killed: some before they notify, most while they do."""
        if self.random.random() < 0.8:
            eventually(lambda: "msg=notifying" in worker.log(), 60.0)
        until = time.monotonic() + self.random.uniform(0.1, 8.0)
        while time.monotonic() < until:
            self.mood(self.random.choice(MOODS))
            if self.random.random() < 0.6:
                self.round()
            time.sleep(self.random.uniform(0.0, TIMEOUT_SECONDS + 1 if self.receiver.holds else 0.7))
        self.active_kills += "msg=notifying" in worker.log()
        worker.kill()
        self.killed.append(time.monotonic() + 1.0)  # what it sent may be read a little later

    def settled(self) -> bool:
        """Whether all is told that must be, and nothing came since the last look."""
        before, self.looked = self.looked, len(self.receiver.attempts)
        found = self.problems()
        assert not found, found
        return before == self.looked

    def mood(self, mood: dict[str, object]) -> None:
        """What the receiver does from now on."""
        for name, value in ({"status": 200, "resets": False, "holds": False} | mood).items():
            setattr(self.receiver, name, value)
        if not self.receiver.holds:
            self.receiver.released.set()
        else:
            self.receiver.released.clear()

    def round(self) -> None:
        """Some alerts fire or end, in one transaction."""
        publish(self.kafka, list(self._changes(self.random.randint(1, 5))))

    def _changes(self, count: int) -> Iterator[AlertEvent]:
        for _ in range(count):
            alert = self.random.choice(NAMES), self.random.choice(HOSTS)
            start, number = self.firing.pop(alert, (0, 0))
            if start:
                yield event_of(*alert, now_ms(), number=number + 1, status="resolved", start_ms=start)
            else:
                self.firing[alert] = now_ms(), 1
                yield event_of(*alert, self.firing[alert][0])

    def arrivals(self) -> list[Arrival]:
        """Every request, in order."""
        taken, lost = ({id(got) for got in some} for some in (self.receiver.accepted, self.receiver.lost))
        return [
            arrival_of(got.body, got.at, id(got) in taken, id(got) in taken and id(got) not in lost)
            for got in list(self.receiver.attempts)
        ]

    def problems(self) -> list[str]:
        """What breaks the promise, as far as it is known now."""
        holds = [event_of(*alert, start).data.fingerprint for alert, (start, _) in self.firing.items()]
        never = [event_of(name, QUIET).data.fingerprint for name in NAMES]
        return problems(self.arrivals(), self.killed, holds, never)
