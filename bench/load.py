"""The producer of a benchmark, a process of its own: ``python -m bench.load PLAN`` sends a stream.

It uses the product's own Kafka client, codec and frames. Its CPU is never part of a figure.
"""

import json
import pickle
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import recorded
from bench.messages import Messages, Outgoing
from bench.stream import Shape, Stream
from fleetpulse.publish.client import close_client, open_client
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.topics import Topic

HERE = Path(__file__).parent.parent
_MOST_WAITING = 32 * 1024 * 1024  # bytes: kafka-python has no bound of its own


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: ticks [first, last) of a shape.

    `start_ms`: stamp tick n with start + n · interval and send as fast as possible; 0: now, at the stream's own pace.
    `derived`: a file of messages that a rules worker wrote, to be sent in their place in time.
    """

    bootstrap_servers: str
    topic_prefix: str
    partitions: int
    shape: dict[str, Any]
    first: int
    last: int
    start_ms: int
    producer: str = "be4c000000000001"
    agents: bool = False
    closing: bool = True
    derived: str = ""


class Load:
    """A running load; `wait` gives what it sent."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._result = folder / f"load-{time.monotonic_ns()}.json"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.load", json.dumps(asdict(plan)), str(self._result)],
            cwd=HERE,
            stdin=subprocess.DEVNULL,
        )

    def wait(self, seconds: float) -> dict[str, Any]:
        """Samples, frames, bytes and seconds; raises when it failed or takes longer."""
        try:
            code = self.process.wait(seconds)
        finally:
            self.stop()
        if code != 0:
            raise RuntimeError(f"the load ended with exit code {code}")
        result: dict[str, Any] = json.loads(self._result.read_text())
        return result

    def stop(self) -> None:
        """End it at once."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def main(argv: list[str]) -> int:
    """Send what the plan says, wait for Kafka's acknowledgements, and write the result."""
    plan = Plan(**json.loads(argv[0]))
    kafka = KafkaSettings(
        bootstrap_servers=plan.bootstrap_servers, topic_prefix=plan.topic_prefix, partitions=plan.partitions
    )
    sender = Sender(kafka)
    begun = time.monotonic()
    for message in _messages(plan):
        sender.send(message)
    sender.close()
    result = sender.sent | {"seconds": time.monotonic() - begun}
    Path(argv[1]).write_text(json.dumps(result))
    return 0


class Sender:
    """kafka-python with a bound on what waits."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._client = open_client(kafka, PublishSettings())
        self._topic = Topic.METRICS.named(kafka.topic_prefix)
        self._waiting: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self.sent = {"samples": 0, "frames": 0, "bytes": 0}

    def send(self, message: Outgoing) -> None:
        """Hand over; waits when too much is on its way."""
        while self._waiting and (self._bytes > _MOST_WAITING or self._waiting[0][0].is_done):
            future, size = self._waiting.popleft()
            future.get(60)
            self._bytes -= size
        size = len(message.value)
        future = self._client.send(
            self._topic,
            key=message.key,
            value=message.value,
            headers=message.headers,
            partition=message.partition,
            timestamp_ms=message.ts_ms,
        )
        self._waiting.append((future, size))
        self._bytes += size
        self.sent["samples"] += message.samples
        self.sent["frames"] += 1
        self.sent["bytes"] += size

    def close(self) -> None:
        """Until Kafka has everything."""
        for future, _ in self._waiting:
            future.get(60)
        close_client(self._client, 5.0)


def _messages(plan: Plan) -> Iterator[Outgoing]:
    shape = Shape(**plan.shape)
    stream = Stream(recorded.load(), shape)
    messages = Messages(stream, plan.partitions, plan.producer, plan.agents)
    messages.skip(plan.first)
    derived = deque(pickle.loads(Path(plan.derived).read_bytes()) if plan.derived else ())
    step_ms = int(shape.interval_seconds * 1000)
    ts_ms, begun = plan.start_ms, time.time()
    for tick in range(plan.first, plan.last):
        if plan.start_ms:
            ts_ms = plan.start_ms + tick * step_ms
            while derived and derived[0].ts_ms < ts_ms:
                yield derived.popleft()
            yield from messages.tick(tick, ts_ms)
        else:
            at = begun + (tick - plan.first) * shape.interval_seconds
            yield from _at_pace(messages, tick, at, shape.interval_seconds)
    yield from derived
    if plan.closing:
        yield messages.closing(ts_ms or time.time_ns() // 1_000_000)


def _at_pace(messages: Messages, tick: int, begun: float, seconds: float) -> Iterator[Outgoing]:
    """A tick spread over its interval, as hosts are; each message is stamped when it is sent."""
    for group in range(messages.groups):
        wait = begun + seconds * group / messages.groups - time.time()
        if wait > 0.001:
            time.sleep(wait)
        yield from messages.part(tick, time.time_ns() // 1_000_000, range(group, group + 1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
