"""A producer of the fault matrix as a process: ``python -P -m tests.faults.producer SPEC RESULT``.

SPEC is a JSON file: hosts, steps, seconds between steps. RESULT is rewritten after each step: how many steps were
handed to the publisher, and the publisher's own counters. A file `enough` beside RESULT ends the steps and
lets it deliver what it has; SIGTERM ends it at once.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from fleetpulse import logs, settings
from fleetpulse.publish.packer import Packer
from fleetpulse.publish.publisher import Publisher
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.shutdown import stop_on_signals
from tests.faults.generator import Hosts, Step

ENOUGH = "enough"
COUNTERS = ("samples_total", "delivered_samples_total", "failed_samples_total", "dropped_samples_total")


@dataclass(frozen=True)
class Spec:
    """What to send. `fat`: many hosts a frame; else a frame a host."""

    hosts: Hosts
    steps: list[Step]
    pace_seconds: float
    fat: bool = True
    close_seconds: float = 60.0

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "Spec":
        raw = json.loads(path.read_text())
        steps = [Step(**step) for step in raw.pop("steps")]
        return cls(Hosts(**raw.pop("hosts")), steps, **raw)


@dataclass(frozen=True)
class Result:
    """How far a producer is: steps handed over, samples by what became of them, and whether it is through."""

    steps: int
    samples_total: int
    delivered_samples_total: int
    failed_samples_total: int
    dropped_samples_total: int
    ended: bool
    delivered: bool

    @classmethod
    def read(cls, path: Path) -> "Result":
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return cls(0, 0, 0, 0, 0, False, False)


def main(spec_file: str, result_file: str) -> int:
    """Send every step; exit 1 when not all was delivered."""
    logs.set_up("producer", "INFO", "text")
    spec, path, metrics = Spec.read(Path(spec_file)), Path(result_file), SelfMetrics()
    kafka = settings.load(KafkaSettings)
    publisher = Publisher(kafka, settings.load(PublishSettings), metrics, process="faults")
    packer = Packer(kafka.partitions)
    done = 0

    def say(ended: bool = False, delivered: bool = False) -> None:
        counts = {name: int(metrics.get(f"fleetpulse_publish_{name}")) for name in COUNTERS}
        result = Result(steps=done, ended=ended, delivered=delivered, **counts)
        scratch = path.with_suffix(".tmp")
        scratch.write_text(json.dumps(asdict(result)))
        scratch.rename(path)

    begun, enough = time.monotonic(), path.with_name(ENOUGH)
    with stop_on_signals() as stop:
        for number, step in enumerate(spec.steps):
            if stop.wait(max(0.0, begun + number * spec.pace_seconds - time.monotonic())) or enough.exists():
                break
            _send(spec, step, packer, publisher)
            done += 1
            say()
        until = time.monotonic() + spec.close_seconds
        while not stop.is_set() and time.monotonic() < until and not publisher.flush(0.5, stop):
            say()
        delivered = publisher.close(spec.close_seconds)
    say(ended=True, delivered=delivered)
    return 0 if delivered else 1


def _send(spec: Spec, step: Step, packer: Packer, publisher: Publisher) -> None:
    for block in spec.hosts.blocks(step):
        full = packer.add(block) if spec.fat else [block]
        if full:
            publisher.send(full)
    for frame in packer.drain():
        publisher.send(frame)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
