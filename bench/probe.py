"""Single samples that are followed to a query and to an alert event, while a fleet sends as usual."""

import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from clickhouse_driver import Client
from kafka import KafkaConsumer, TopicPartition

from fleetpulse.events import decode_event
from fleetpulse.partition import partition_of
from fleetpulse.publish.client import close_client, open_client
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import VERSION, Frame, Header, encode_frame, make_block

HOSTS = 48
EVERY_SECONDS = 0.2
LOOK_SECONDS = 0.05
RULES = """groups:
  - name: bench
    rules:
      - alert: BenchProbe
        expr: bench_probe > 0.5
"""
_QUERY = (
    "SELECT host, max(toUnixTimestamp64Milli(timestamp)) FROM metrics_of(metric='bench_probe', hosts=[]) "
    "WHERE timestamp > now() - INTERVAL 2 MINUTE GROUP BY host"
)


class Probes:
    """Probe hosts send one sample each in turn; its value crosses the alert's threshold every time."""

    def __init__(self, topics: KafkaSettings, grafana_url: str) -> None:
        self._topics = topics
        self._client = Client.from_url(grafana_url)
        self._sent: dict[tuple[str, int], float] = {}  # (host, sample's ms) → when it was handed to Kafka
        self._waiting: dict[tuple[str, int], float] = {}  # those whose event has not come
        self.to_query: list[float] = []
        self.to_event: list[float] = []
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def run(self, seconds: float, settle_seconds: float = 60.0) -> int:
        """Send for ``seconds``, then wait for what is on its way; the number of samples sent."""
        threads = [threading.Thread(target=work, daemon=True) for work in (self._look, self._listen)]
        for thread in threads:
            thread.start()
        sent = self._send(seconds)
        deadline = time.monotonic() + settle_seconds
        while min(len(self.to_query), len(self.to_event)) < sent and time.monotonic() < deadline:
            time.sleep(0.2)
        self._stop.set()
        for thread in threads:
            thread.join(10.0)
        self._client.disconnect()
        return sent

    def _send(self, seconds: float) -> int:
        producer = open_client(self._topics, PublishSettings())
        name = Topic.METRICS.named(self._topics.topic_prefix)
        begun, count = time.monotonic(), 0
        while time.monotonic() - begun < seconds:
            round_, number = divmod(count, HOSTS)
            host, now = f"probe-{number:02}", time.time()
            ts_ms = int(now * 1000)
            block = make_block(host, {"instance": host}, b"bench_probe", ts_ms, [float(1 - round_ % 2)], (), round_ + 1)
            headers = [
                (Header.PRODUCER.value, b"be4c0000000000ff"),
                (Header.SEQ.value, b"%d" % (count + 1)),
                (Header.SAMPLES.value, b"1"),
            ]
            with self._lock:
                self._sent[host, ts_ms] = self._waiting[host, ts_ms] = now
            partition = partition_of(host, self._topics.partitions)
            producer.send(
                name, key=host.encode(), value=encode_frame(Frame(VERSION, ts_ms, [block])), headers=headers,
                partition=partition,
            )  # fmt: skip
            count += 1
            time.sleep(max(0.0, begun + count * EVERY_SECONDS - time.monotonic()))
        producer.flush(30)
        close_client(producer, 5.0)
        return count

    def _look(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            rows: Sequence[tuple[str, int]] = self._client.execute(_QUERY)
            now = time.time()
            with self._lock:
                for host, newest in rows:
                    before = self._seen.get(host, 0)
                    self._seen[host] = newest
                    self.to_query += [
                        now - at for (of, ms), at in self._sent.items() if of == host and before < ms <= newest
                    ]

    def _listen(self) -> None:
        consumer = KafkaConsumer(
            bootstrap_servers=self._topics.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=50,
        )
        name = Topic.ALERTS.named(self._topics.topic_prefix)
        partitions = [TopicPartition(name, number) for number in range(self._topics.partitions)]
        consumer.assign(partitions)
        consumer.seek_to_end(*partitions)
        while not self._stop.is_set():
            for messages in consumer.poll(100).values():
                now = time.time()
                for message in messages:
                    self._take(message.value, now)
        consumer.close()

    def _take(self, raw: bytes, now: float) -> None:
        event = decode_event(raw)
        if event.data.rule.name != "BenchProbe":
            return
        ts_ms = round(datetime.fromisoformat(event.time).timestamp() * 1000)
        with self._lock:
            at = self._waiting.pop((event.data.host, ts_ms), None)
        if at is not None:
            self.to_event.append(now - at)


def rule_file(folder: Path) -> Path:
    """The file of the probe's own alert."""
    path = folder / "probe-rules.yaml"
    path.write_text(RULES)
    return path


def percentiles(seconds: list[float]) -> dict[str, Any]:
    """p50, p99 and most of the delays; None without any."""
    if not seconds:
        return {"count": 0, "p50": None, "p99": None, "most": None}
    ordered = sorted(seconds)
    return {
        "count": len(ordered),
        "p50": ordered[len(ordered) // 2],
        "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "most": ordered[-1],
    }
