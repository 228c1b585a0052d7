"""A half-hour window over a SIGKILL, on Apache Kafka and ClickHouse: its alert keeps its state and its value."""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from fleetpulse.frames import columns_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import decode_frame
from tests.support.alerting import alert_events, messages_of, shown
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.ingested import ask, ingest_env
from tests.support.rules_workers import rules_worker
from tests.support.running import running
from tests.support.servers import KafkaServer
from tests.support.topics import topics_with_a_past

pytestmark = pytest.mark.servers

RULES = """
groups:
  - name: long
    rules:
      - record: host:test_value:avg30m
        expr: avg_over_time(test_value[30m])
      - alert: HighForLong
        expr: avg_over_time(test_value[30m]) > 50
      - alert: HighNow
        expr: test_value > 1000
"""
SOON = 60.0
TICKS = 70


def recorded(kafka: KafkaSettings) -> Mapping[int, float]:
    found: dict[int, float] = {}
    for message in messages_of(kafka, Topic.METRICS):
        if ("fp-derived", b"1") in message.headers:
            for block in decode_frame(message.value).blocks:
                columns = columns_of(block)
                found |= zip(columns.ts.tolist(), columns.value.tolist(), strict=True)
    return found


def test_a_half_hour_window_survives_a_sigkill(kafka: KafkaServer, database: Database, tmp_path: Path) -> None:
    topics = topics_with_a_past(kafka.bootstrap_servers)
    sender = FrameSender(topics)
    last_ms = time.time_ns() // 1_000_000 - 1000
    ticks = [last_ms - 60_000 * age for age in range(TICKS - 1, -1, -1)]

    def send(ts: int, value: float) -> None:
        sender.send(sender.block("alpha", ts, {"test_value": value}), created_ms=ts)
        sender.flush()

    for number, ts in enumerate(ticks):
        send(ts, 100.0 if number < TICKS - 7 else 0.0)  # the newest minutes alone would resolve it
    worker_of = partial(rules_worker, topics, rules=RULES, SELF_INTERVAL_SECONDS="0")  # its own metrics are of today
    with running("ingest", ingest_env(topics, database.url), tmp_path):
        with worker_of(tmp_path / "first", CLICKHOUSE_URL=database.url) as worker:
            eventually(lambda: len(recorded(topics)) == TICKS, SOON)
            eventually(lambda: len(alert_events(topics)) == 1, SOON)
            worker.kill()
        stored = "SELECT count() FROM metrics WHERE metric = 'test_value'"
        eventually(lambda: ask(database.url, stored) == TICKS, SOON)

        with worker_of(tmp_path / "without") as worker:
            send(last_ms + 100, 0.0)
            send(last_ms + 200, 2000.0)
            eventually(lambda: "long windows hold until ClickHouse answers" in worker.log(), SOON)
            eventually(lambda: len(alert_events(topics)) == 2, SOON)  # short windows go on
            worker.kill()

        with worker_of(tmp_path / "second", CLICKHOUSE_URL=database.url) as worker:
            eventually(lambda: "long windows are warm" in worker.log(), SOON)
            send(last_ms + 300, 0.0)
            eventually(lambda: last_ms + 300 in recorded(topics), SOON)
            events = alert_events(topics)
    sender.close()
    assert shown([event for event in events if event.data.labels["alertname"] == "HighForLong"]) == [
        ("firing", "threshold", 1)
    ]
    values = recorded(topics)
    assert last_ms + 100 not in values, "a window that is not warm records nothing"
    # Of (t - 30 min, t]: 22 ticks of 100, 7 of 0, and the three that came later.
    edge = 100.0 * len([ts for ts in ticks[: TICKS - 7] if ts > last_ms + 300 - 1_800_000])
    assert values[last_ms + 300] == pytest.approx((edge + 2000.0) / 33, rel=0.07)
