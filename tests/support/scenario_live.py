"""Plays all scenarios at once on the live rules worker: one partition, and metrics and rules of its own, for each.

The topic keeps the times at which the scenario says that messages were appended, so that hours pass in seconds. The
worker is killed and started again once, where the scenarios say that it is; other scenarios are played whole before.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from aiokafka.errors import KafkaError
from kafka import KafkaProducer

from fleetpulse.events import AlertEvent
from fleetpulse.partition import partition_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import Frame, Header, encode_frame
from tests.support.alerting import alert_events
from tests.support.eventually import eventually
from tests.support.past import behind_of_rules, keep_times
from tests.support.patience import patient
from tests.support.running import Running, running
from tests.support.scenario_names import Named
from tests.support.scenarios import Forget, Restart, Scenario, Send, Step, Told
from tests.support.topics import kafka_env

PAST_MS = 6 * 3_600_000
DONE_SECONDS = 60.0


class LivePlayer:
    """`partitions` of the topics must be one more than there are scenarios; the last is for probing."""

    def __init__(self, kafka: KafkaSettings, scenarios: Sequence[Scenario], folder: Path) -> None:
        self._kafka, self._folder = kafka, folder
        self._topic = Topic.METRICS.named(kafka.topic_prefix)
        self._start_ms = (int(time.time() * 1000) - PAST_MS) // 60_000 * 60_000
        self._parts = [_Part(scenario, number, kafka.partitions) for number, scenario in enumerate(scenarios)]

    def play(self) -> dict[str, list[Told]]:
        """The events of each scenario."""
        keep_times(self._kafka, self._start_ms, len(self._parts))
        self._send(lambda part: part.before)
        with self._worker("one", lambda part: part.scenario.rules) as worker:
            self._wait_until_done(worker)
            worker.kill()
        keep_times(self._kafka, self._start_ms, len(self._parts))
        self._send(lambda part: part.after)
        with self._worker("two", lambda part: part.rules_after) as worker:
            self._wait_until_done(worker)
            found = alert_events(self._kafka)
        return {part.scenario.name: part.told(found, self._start_ms) for part in self._parts}

    def _send(self, steps_of: Any) -> None:
        producer = KafkaProducer(bootstrap_servers=self._kafka.bootstrap_servers, enable_idempotence=True)
        for part in self._parts:
            steps = [step for step in steps_of(part) if isinstance(step, Send | Forget)]
            for (at_ms, kind), together in groupby(steps, lambda step: (step.at_ms, type(step))):
                created_ms = self._start_ms + at_ms
                if kind is Forget:
                    for step in together:
                        headers = [(str(Header.DEPARTED), part.named.hosts[step.host].encode())]
                        empty = encode_frame(Frame(1, created_ms, []))
                        producer.send(self._topic, empty, b"", headers, part.number, created_ms)
                    continue
                sends = [step for step in together if isinstance(step, Send)]
                blocks = [send.block(self._start_ms, part.named.hosts[send.host], part.named.metrics) for send in sends]
                frame, key = encode_frame(Frame(1, created_ms, blocks)), blocks[0].host.encode()
                producer.send(self._topic, frame, key, [], part.number, created_ms)
        producer.flush(patient(30))
        producer.close()

    @contextmanager
    def _worker(self, name: str, rules_of: Any) -> Iterator[Running]:
        folder = self._folder / name
        folder.mkdir()
        groups = [{"name": part.scenario.name, "rules": part.named.rules(rules_of(part))} for part in self._parts]
        file = folder / "rules.yaml"
        file.write_text(yaml.safe_dump({"groups": groups}))
        with running("rules", {**kafka_env(self._kafka), "FLEETPULSE_RULES_FILES": str(file)}, folder) as worker:
            yield worker

    def _wait_until_done(self, worker: Running) -> None:
        def done() -> bool:
            if worker.process.poll() is not None:
                raise RuntimeError(f"the worker ended:\n{worker.log()}")
            with suppress(KafkaError):  # the group has no coordinator before its first member came
                return behind_of_rules(self._kafka) == {}
            return False

        eventually(done, DONE_SECONDS, interval=0.5)


class _Part:
    """One scenario and its partition."""

    def __init__(self, scenario: Scenario, number: int, partitions: int) -> None:
        self.scenario, self.number = scenario, number
        steps = list(scenario.steps)
        cut = next((place for place, step in enumerate(steps) if isinstance(step, Restart)), len(steps))
        self.before: Sequence[Step] = steps[:cut]
        self.after: Sequence[Step] = steps[cut:]
        changes = [step.rules for step in self.after if isinstance(step, Restart)]
        self.rules_after: Sequence[Any] = (changes[0] if changes else None) or scenario.rules
        hosts = dict.fromkeys(step.host for step in steps if isinstance(step, Send))
        self.named = Named.of(scenario, {host: _host_in(host, number, partitions) for host in hosts})

    def told(self, events: Sequence[AlertEvent], start_ms: int) -> list[Told]:
        """The events of this scenario, as it names things."""
        return self.named.told(events, start_ms, f"partition-{self.number}")


def _host_in(host: str, number: int, partitions: int) -> str:
    return next(name for n in range(100_000) if partition_of(name := f"{host}-{n}", partitions) == number)
