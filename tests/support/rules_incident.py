"""An incident of several hosts, from a seed, whose hours pass in seconds; and what undisturbed rules say of it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import MappingProxyType

from kafka import KafkaProducer

from fleetpulse.events import AlertEvent
from fleetpulse.partition import partition_of
from fleetpulse.rules.conduct import conduct_of
from fleetpulse.rules.partition import PartitionRules
from fleetpulse.settings import KafkaSettings, RulesSettings, load
from fleetpulse.topics import Topic
from fleetpulse.wire import Block, Frame, encode_frame, join_keys, make_block
from tests.support.alerting import messages_of
from tests.support.patience import patient
from tests.support.rules_workers import rules_worker
from tests.support.rules_world import Sent
from tests.support.running import Running
from tests.support.scenarios import loaded

TICK_MS, TICKS = 60_000, 360
HOSTS = 6  # of each partition; the first is always well
VALUES = {"well": 50.0, "warm": 85.0, "hot": 99.0}
MOODS = (*VALUES, *VALUES, "silent", "vanished", "flutter")
TICKS_OF = {"silent": (12, 20), "vanished": (6, 9)}  # other moods last for 1 to 8
RULES = """
groups:
  - name: incident
    rules:
      - alert: Hot
        expr: temperature_celsius
        for: 2m
        warning: "> 80"
        critical: "> 95"
        annotations: {summary: "{{ $labels.instance }} is at {{ $value }}"}
      - alert: Warm
        expr: avg_over_time(temperature_celsius[10m]) > 70
        keep_firing_for: 3m
      - alert: HostSilent
        expr: up == 0
        no_data: 10m
        labels: {severity: critical}
"""


class RulesIncident:
    """All partitions but the last have hosts. `send` appends the next ticks, at their own times."""

    def __init__(self, kafka: KafkaSettings, random: Random) -> None:
        self._kafka = kafka
        self._topic = Topic.METRICS.named(kafka.topic_prefix)
        self.start_ms = (int(time.time() * 1000) - (TICKS + 60) * TICK_MS) // TICK_MS * TICK_MS
        names = [f"host-{number}" for number in range(1000)]
        self._hosts = {
            number: [name for name in names if partition_of(name, kafka.partitions) == number][:HOSTS]
            for number in range(kafka.partitions - 1)
        }
        moods = {name: list(_moods(random)) for hosts in self._hosts.values() for name in hosts[1:]}
        self._moods = moods | {hosts[0]: ["well"] * TICKS for hosts in self._hosts.values()}
        self._producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, enable_idempotence=True)
        self.sent = 0

    @property
    def next_ms(self) -> int:
        """The time of the next tick."""
        return self.start_ms + self.sent * TICK_MS

    def send(self) -> None:
        """One tick of every host that is not silent; one message a partition."""
        at_ms = self.next_ms
        for number, hosts in self._hosts.items():
            blocks = [self._block(host, at_ms) for host in hosts if self._moods[host][self.sent] != "silent"]
            frame, key = encode_frame(Frame(1, at_ms, blocks)), blocks[0].host.encode()
            self._producer.send(self._topic, frame, key, [], number, at_ms)
        self._producer.flush(patient(30))
        self.sent += 1

    def _block(self, host: str, at_ms: int) -> Block:
        mood, samples = self._moods[host][self.sent], {"up": 1.0}
        if mood == "flutter":
            samples["temperature_celsius"] = VALUES["hot" if self.sent // 3 % 2 else "well"]
        elif mood != "vanished":
            samples["temperature_celsius"] = VALUES[mood]
        common = {"instance": host, "job": "test"}
        return make_block(host, common, join_keys(samples), at_ms, samples.values())

    def close(self) -> None:
        self._producer.close()

    def undisturbed(self) -> list[AlertEvent]:
        """The events of what lies on the topic, message by message, by rules that nothing happens to."""
        conduct, events = conduct_of(load(RulesSettings)), []
        messages = messages_of(self._kafka, Topic.METRICS)
        for number in self._hosts:
            rules = PartitionRules(loaded("incident", RULES), number, self._kafka.partitions, conduct=conduct)
            for message in messages:
                if message.partition == number:
                    sent = Sent(message.offset, message.timestamp, message.value, message.headers)
                    events += rules.apply([sent]).events
        return events


@contextmanager
def incident_worker(
    kafka: KafkaSettings, folder: Path, number: int = 0, env: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Running]:
    """A worker with the rules of the incident."""
    own = {"KAFKA_SESSION_TIMEOUT_SECONDS": "6", "SELF_INTERVAL_SECONDS": "0"}  # its own metrics are of today
    with rules_worker(kafka, folder, RULES, f"rules-{number}", env, **own) as worker:
        yield worker


def by_alert(events: Sequence[AlertEvent]) -> dict[str, list[AlertEvent]]:
    """Events of each alert, in their order."""
    found: dict[str, list[AlertEvent]] = {}
    for event in events:
        found.setdefault(event.data.fingerprint, []).append(event)
    return found


def _moods(random: Random) -> Iterator[str]:
    left = TICKS
    while left > 0:
        mood = random.choice(MOODS)
        ticks = min(left, random.randint(*TICKS_OF.get(mood, (1, 8))))
        yield from [mood] * ticks
        left -= ticks
