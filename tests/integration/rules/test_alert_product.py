"""`fleetpulse.alerts` as others use it, written by a live rules worker: schema, order, the example, `alerts tail`."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from tests.support.alerting import Feed, alert_events, feed_of, messages_of
from tests.support.eventually import eventually
from tests.support.patience import patient
from tests.support.rules_workers import rules_worker
from tests.support.running import running
from tests.support.servers import KafkaServer
from tests.support.topics import fresh_topics, kafka_env

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs" / "alerts.schema.json").read_text())
RULES = """
groups:
  - name: test
    rules:
      - alert: Hot
        expr: test_value
        warning: "> 80"
        critical: "> 95"
        annotations: {summary: "{{ $labels.instance }} is at {{ $value }}"}
      - alert: Watched
        expr: watched_value
        no_data: 3s
        warning: "> 80"
"""
HOSTS = ("alpha", "beta", "gamma", "delta")
VALUES = (90.0, 99.0, 10.0, 97.0)  # warning, critical, resolved; critical: one change more would be flapping
TAKEOVER = 40.0


@pytest.fixture(scope="module")
def alerts(kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> KafkaSettings:
    """A topic with the episodes of four hosts, and one of a host that fell silent."""
    topics, folder = fresh_topics(kafka.bootstrap_servers), tmp_path_factory.mktemp("rules")
    start = int(time.time() * 1000)
    with rules_worker(topics, folder, RULES) as worker, feed_of(topics) as feed:
        feed.send("silent", start, 90.0, "watched_value")
        for number, value in enumerate(VALUES):
            for host in HOSTS:
                feed.send(host, start + 15_000 * number, value)

        def heard() -> bool:
            keep_time(feed)
            events = alert_events(topics)
            return len(events) >= len(HOSTS) * len(VALUES) + 2 and any(event.data.stale for event in events)

        eventually(heard, TAKEOVER)
        assert worker.stop(within=10.0) == 0
    return topics


def keep_time(feed: Feed) -> None:
    """Samples of another host of the silent one's partition: its time goes on."""
    for number in range(20):
        feed.send(f"clock-{number}", int(time.time() * 1000), 1.0)


def documents(kafka: KafkaSettings) -> list[tuple[str, Any]]:
    return [(message.key.decode(), json.loads(message.value)) for message in messages_of(kafka, Topic.ALERTS)]


def test_every_message_meets_the_schema(alerts: KafkaSettings) -> None:
    validator = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
    found = documents(alerts)
    for key, event in found:
        validator.validate(event)
        assert key == event["data"]["fingerprint"]
        assert event["id"] == f"{event['data']['episode']}/{event['data']['transition']}"
    reasons = {event["data"]["reason"] for _, event in found}
    assert {"threshold", "severity_changed", "recovered", "no_data"} <= reasons


def test_the_events_of_a_fingerprint_are_in_one_partition_and_in_order(alerts: KafkaSettings) -> None:
    partitions: defaultdict[str, set[int]] = defaultdict(set)
    told: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for message in messages_of(alerts, Topic.ALERTS):  # a partition after the other, each in the order of its offsets
        event = json.loads(message.value)
        partitions[message.key.decode()].add(message.partition)
        told[event["data"]["host"]].append((event["time"], event["data"]["transition"]))
    assert all(len(numbers) == 1 for numbers in partitions.values())
    for host in HOSTS:
        assert [number for _, number in told[host]] == [1, 2, 3, 1]
        assert told[host] == sorted(told[host])


def example(kafka: KafkaSettings, folder: Path, expected: int) -> list[list[str]]:
    """Run docs/examples/alert_consumer.py until it has printed so many events, and kill it; all that it printed."""
    process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "docs" / "examples" / "alert_consumer.py"),
            kafka.bootstrap_servers,
            Topic.ALERTS.named(kafka.topic_prefix),
            f"{kafka.topic_prefix}-example",
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        lines = [process.stdout.readline() for _ in range(expected)]
        process.kill()
        return [line.split() for line in [*lines, *process.stdout]]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def handled_ids(kafka: KafkaSettings, folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / f"{kafka.topic_prefix}-example.sqlite")) as database:
        return {text for (text,) in database.execute("SELECT id FROM events")}


def test_the_example_resumes_after_a_kill_and_handles_each_event_once(alerts: KafkaSettings, tmp_path: Path) -> None:
    ids = {event["id"] for _, event in documents(alerts)}
    first = example(alerts, tmp_path, 5)
    handled = handled_ids(alerts, tmp_path)
    rest = example(alerts, tmp_path, len(ids - handled))
    assert {words[1] for words in rest} == ids - handled
    assert handled_ids(alerts, tmp_path) | {rest[-1][1]} == ids  # it may be killed between printing and committing
    assert ["Hot", "critical", "99"] in [words[3:] for words in first + rest]
    of_one = {words[1]: words[4] for words in first + rest if words[2] == "beta"}
    assert list(of_one.values()) == ["warning", "critical", "resolved", "critical"]
    code = (ROOT / "docs" / "examples" / "alert_consumer.py").read_text()
    assert len(code.splitlines()) <= 30


def tail(kafka: KafkaSettings, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLEETPULSE_")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fleetpulse", "alerts", "tail", *arguments],
        env=environment | kafka_env(kafka),
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_tail_shows_what_is_there_in_the_order_of_time(alerts: KafkaSettings) -> None:
    lines = tail(alerts, "--no-follow", "--since", "1h", "alertname=Hot", "host=gamma").splitlines()
    assert [line.split()[2] for line in lines] == ["WARNING", "CRITICAL", "RESOLVED", "CRITICAL"]
    assert "gamma" in lines[1]
    assert "warning → critical  99 (limit > 95)  — gamma is at 99" in lines[1]
    assert "resolved after 30s: recovered" in lines[2]
    assert "\x1b" not in "".join(lines)


def test_tail_gives_programs_the_events_as_they_are(alerts: KafkaSettings) -> None:
    found = [json.loads(line) for line in tail(alerts, "--no-follow", "--json").splitlines()]
    assert sorted(one["id"] for one in found) == sorted(event["id"] for _, event in documents(alerts))
    assert {one["id"]: one for one in found} == {event["id"]: event for _, event in documents(alerts)}


@pytest.fixture
def interrupts() -> Iterator[None]:
    """The tests may run in the background of a script: a child goes on ignoring what it inherits as ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_tail_follows_and_ends_by_a_signal(alerts: KafkaSettings, tmp_path: Path) -> None:
    env = {**kafka_env(alerts), "NO_COLOR": "1"}
    with running("alerts", env, tmp_path, ["tail", "--since", "1h", "status=resolved"]) as following:
        eventually(lambda: len(following.log().splitlines()) == len(HOSTS), 30.0)
        following.process.send_signal(signal.SIGINT)
        assert following.wait(15.0) == 130
