"""The rules worker on Apache Kafka. There is no ClickHouse in any of these tests: alerting does not need it."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer

from fleetpulse.events import decode_event
from fleetpulse.frames import columns_of
from fleetpulse.metric import with_common
from fleetpulse.partition import partition_of
from fleetpulse.rules.state import Saved, read_records
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import Block, decode_frame
from tests.support.alerting import (
    Feed,
    alert_events,
    feed_of,
    hosts_of_one_partition,
    messages_of,
    read_by_kafka_python,
    shown,
)
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.patience import patient
from tests.support.rules_workers import rules_worker
from tests.support.servers import KafkaServer
from tests.support.topics import topics_with_a_past

pytestmark = pytest.mark.servers

RULES = """
groups:
  - name: test
    rules:
      - record: host:test_value:doubled
        expr: test_value * 2
      - alert: Hot
        expr: test_value
        for: 60s
        warning: "> 80"
        critical: "> 95"
        annotations: {summary: "{{ $labels.instance }} is at {{ $value }}"}
      - alert: Watched
        expr: watched_value
        no_data: 3s
        warning: "> 80"
      - alert: Doubled
        expr: host:test_value:doubled > 1000
"""
LONG_RULES = """
groups:
  - name: long
    rules:
      - record: host:test_value:avg15m
        expr: avg_over_time(test_value[15m])
"""
TAKEOVER = 40.0


@pytest.fixture
def feed(topics: KafkaSettings) -> Iterator[Feed]:
    with feed_of(topics) as feed:
        yield feed


def samples_of(block: Block) -> list[tuple[int, float]]:
    columns = columns_of(block)
    return list(zip(columns.ts.tolist(), columns.value.tolist(), strict=True))


def now_ms() -> int:
    return int(time.time() * 1000)


def states(kafka: KafkaSettings) -> Saved:
    return read_records((message.key, message.value) for message in messages_of(kafka, Topic.ALERTS_STATE))


def test_a_sample_becomes_an_event_that_anybody_can_read(topics: KafkaSettings, feed: Feed, tmp_path: Path) -> None:
    start = now_ms()
    with rules_worker(topics, tmp_path, RULES) as worker:
        for second in (0, 30, 60):
            feed.send("alpha", start + 1000 * second, 90.0)
        (event,) = eventually(lambda: alert_events(topics), TAKEOVER)
        feed.send("alpha", start + 90_000, 99.0)
        feed.send("alpha", start + 150_000, 99.0)
        eventually(lambda: len(alert_events(topics)) == 2, TAKEOVER, interval=0.05)
        assert worker.stop(within=10.0) == 0
    (message, _) = read_by_kafka_python(topics, Topic.ALERTS, 2)
    assert decode_event(message.value) == event
    assert message.key.decode() == event.data.fingerprint
    assert dict(message.headers)["content-type"].startswith(b"application/cloudevents+json")
    assert event.specversion == "1.0"
    assert event.data.labels == {"alertname": "Hot", "instance": "alpha", "job": "test", "severity": "warning"}
    assert event.data.annotations == {"summary": "alpha is at 90"}
    assert shown(alert_events(topics)) == [("firing", "threshold", 1), ("firing", "severity_changed", 2)]


@pytest.mark.parametrize("state", ["pending", "firing"])
def test_a_worker_killed_in_any_state_resumes_the_same_episode(
    topics: KafkaSettings, feed: Feed, tmp_path: Path, state: str
) -> None:
    start = now_ms()
    with rules_worker(topics, tmp_path, RULES) as worker:
        feed.send("alpha", start, 90.0)
        feed.send("alpha", start + 30_000, 91.0)
        if state == "firing":
            feed.send("alpha", start + 60_000, 92.0)
            eventually(lambda: len(alert_events(topics)) == 1, TAKEOVER)
        (record,) = eventually(lambda: states(topics).alerts, TAKEOVER)
        assert record.since_ms[0] == start
        worker.kill()
    feed.send("alpha", start + 70_000, 93.0)
    with rules_worker(topics, tmp_path, RULES) as worker:
        eventually(lambda: len(alert_events(topics)) == 1, TAKEOVER)
        feed.send("alpha", start + 80_000, 94.0)
        feed.send("alpha", start + 90_000, 10.0)
        events = eventually(lambda: e if len(e := alert_events(topics)) >= 2 else [], TAKEOVER)
        assert worker.stop(within=10.0) == 0
    assert shown(events) == [("firing", "threshold", 1), ("resolved", "recovered", 2)]
    assert len({event.data.episode for event in events}) == 1
    fired = 60_000 if state == "firing" else 70_000
    assert events[0].data.evidence[0].value == ("92" if fired == 60_000 else "93")
    assert not any(alert.is_open for alert in states(topics).alerts)  # what it did of late stays, to know flapping


def test_after_a_restart_a_long_recording_goes_on_at_once(kafka: KafkaServer, tmp_path: Path) -> None:
    topics = topics_with_a_past(kafka.bootstrap_servers)
    # Twenty minutes of history, appended when they were made, and one tick while no worker runs.
    last_ms = now_ms()
    ticks = [last_ms - 30_000 * age for age in range(40, -1, -1)]
    sender = FrameSender(topics)

    def send(number: int) -> None:
        block = sender.block("alpha", ticks[number], {"test_value": float(number)})
        sender.send(block, created_ms=ticks[number])
        sender.flush()

    def recorded() -> dict[int, float]:
        frames = [
            decode_frame(m.value) for m in messages_of(topics, Topic.METRICS) if ("fp-derived", b"1") in m.headers
        ]
        blocks = [block for frame in frames for block in frame.blocks]
        found = {ts: value for block in blocks for ts, value in samples_of(block)}
        assert len(found) == sum(len(samples_of(block)) for block in blocks), "a tick was recorded twice"
        return found

    for number in range(40):
        send(number)
    with rules_worker(topics, tmp_path, LONG_RULES) as worker:
        eventually(lambda: sorted(recorded()) == ticks[:40], TAKEOVER)
        assert worker.stop(within=10.0) == 0
    send(40)
    with rules_worker(topics, tmp_path, LONG_RULES):
        eventually(lambda: sorted(recorded()) == ticks, TAKEOVER)
    sender.close()
    assert recorded()[last_ms] == pytest.approx(sum(range(11, 41)) / 30), "of all that is younger than 15 minutes"


def test_silence_fires_no_data_and_never_resolves_an_alert(topics: KafkaSettings, feed: Feed, tmp_path: Path) -> None:
    quiet, hot, lively = hosts_of_one_partition(3, topics.partitions)
    with rules_worker(topics, tmp_path, RULES):
        feed.send(quiet, now_ms(), 10.0, name="watched_value")
        feed.send(hot, now_ms(), 90.0, name="watched_value")

        def silent() -> bool:
            feed.send(lively, now_ms(), 10.0, name="watched_value")
            return len(alert_events(topics, quiet)) >= 1 and len(alert_events(topics, hot)) >= 2

        eventually(silent, TAKEOVER, interval=0.3)
        assert shown(alert_events(topics, quiet)) == [("firing", "no_data", 1)]
        assert shown(alert_events(topics, hot)) == [("firing", "threshold", 1), ("firing", "no_data", 2)]
        assert alert_events(topics, hot)[1].data.stale
        feed.send(quiet, now_ms(), 10.0, name="watched_value")
        feed.send(hot, now_ms(), 90.0, name="watched_value")
        eventually(lambda: len(alert_events(topics, quiet)) == 2 and len(alert_events(topics, hot)) == 3, TAKEOVER)
    assert shown(alert_events(topics, quiet))[1:] == [("resolved", "data_returned", 2)]
    assert shown(alert_events(topics, hot))[2:] == [("firing", "data_returned", 3)]
    assert not alert_events(topics, hot)[2].data.stale
    assert alert_events(topics, lively) == []


def test_at_the_end_of_its_partition_a_lone_host_falls_silent(
    topics: KafkaSettings, feed: Feed, tmp_path: Path
) -> None:
    with rules_worker(topics, tmp_path, RULES):
        feed.send("alpha", now_ms(), 10.0, name="watched_value")
        (event,) = eventually(lambda: alert_events(topics), TAKEOVER)
    assert shown([event]) == [("firing", "no_data", 1)]


def test_recorded_series_come_back_and_alerts_read_them(topics: KafkaSettings, feed: Feed, tmp_path: Path) -> None:
    start = now_ms()
    with rules_worker(topics, tmp_path, RULES):
        feed.send("alpha", start, 600.0)
        (event,) = eventually(
            lambda: [e for e in alert_events(topics) if e.data.labels["alertname"] == "Doubled"], TAKEOVER
        )
    assert event.data.value == "1200"
    derived = [m for m in messages_of(topics, Topic.METRICS) if ("fp-derived", b"1") in m.headers]
    blocks = [block for message in derived for block in decode_frame(message.value).blocks]
    names = {with_common(block.series.decode(), block.common) for block in blocks}
    assert names == {'host:test_value:doubled{instance="alpha",job="test"}'}
    assert {block.ts for block in blocks} == {start}


def test_a_zombie_is_fenced_and_writes_nothing_twice(topics: KafkaSettings, feed: Feed, tmp_path: Path) -> None:
    start = now_ms()
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with rules_worker(topics, tmp_path / "one", RULES) as zombie:
        feed.send("alpha", start, 90.0)
        eventually(lambda: states(topics).alerts, TAKEOVER)
        zombie.signal(signal.SIGSTOP)
        try:
            feed.send("alpha", start + 60_000, 91.0)
            with rules_worker(topics, tmp_path / "two", RULES) as heir:
                eventually(lambda: len(alert_events(topics)) == 1, TAKEOVER)
                zombie.signal(signal.SIGCONT)
                feed.send("alpha", start + 70_000, 10.0)
                eventually(lambda: len(alert_events(topics)) == 2, TAKEOVER)
                eventually(lambda: zombie.log().count("msg=assigned") > 1, TAKEOVER)
                feed.send("alpha", start + 80_000, 90.0)
                feed.send("alpha", start + 140_000, 90.0)
                eventually(lambda: len(alert_events(topics)) == 3, TAKEOVER)
                assert heir.process.poll() is None
        finally:
            zombie.signal(signal.SIGCONT)
    events = alert_events(topics)
    assert shown(events) == [("firing", "threshold", 1), ("resolved", "recovered", 2), ("firing", "threshold", 1)]
    assert len({event.data.episode for event in events}) == 2


def test_a_state_that_cannot_be_read_stops_it_and_says_what_to_do(
    topics: KafkaSettings, feed: Feed, tmp_path: Path
) -> None:
    name, key = Topic.ALERTS_STATE.named(topics.topic_prefix), b'["alert","Hot","alpha","0","series"]'
    partition = partition_of("alpha", topics.partitions)
    producer = KafkaProducer(bootstrap_servers=topics.bootstrap_servers)
    producer.send(name, b'{"v":2}', key=key, partition=partition).get(15)
    (tmp_path / "one").mkdir()
    with rules_worker(topics, tmp_path / "one", RULES) as worker:
        assert worker.wait(TAKEOVER) == 1
        log = worker.log()
    assert f"topic {name}, partition {partition}, offset 0, key {key!r}" in log.replace("\\", "")
    assert "write a record with this key and without a value" in log
    producer.send(name, None, key=key, partition=partition).get(15)
    producer.close()
    (tmp_path / "two").mkdir()
    with rules_worker(topics, tmp_path / "two", RULES):
        feed.send("alpha", now_ms(), 600.0)
        eventually(lambda: alert_events(topics), TAKEOVER)


def test_sigterm_ends_it_with_kafka_busy_or_idle(topics: KafkaSettings, feed: Feed, tmp_path: Path) -> None:
    with rules_worker(topics, tmp_path, RULES) as worker:
        eventually(lambda: "assigned" in worker.log(), TAKEOVER)
        for second in range(20):
            feed.send("alpha", now_ms() + second, 10.0)
        began = time.monotonic()
        assert worker.stop(within=10.0) == 0
        assert time.monotonic() - began < patient(10.0)
