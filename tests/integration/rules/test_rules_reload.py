"""A live rules worker takes what is published on `fleetpulse.rules`, without a restart."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetpulse.settings import KafkaSettings
from tests.support.alerting import Feed, alert_events, feed_of
from tests.support.eventually import eventually
from tests.support.published_rules import group_text, publish_rules
from tests.support.rules_workers import rules_worker

pytestmark = pytest.mark.servers

TAKEOVER = 40.0
HOT = '{alert: Hot, expr: "test_value > 80"}'
FILE = group_text("from the settings", '{alert: FromFile, expr: "test_value > 50"}')
COLD = '{alert: Cold, expr: "test_value < 5"}'


@pytest.fixture
def feed(topics: KafkaSettings) -> Iterator[Feed]:
    with feed_of(topics) as feed:
        yield feed


def fired(kafka: KafkaSettings, host: str) -> list[str]:
    events = alert_events(kafka, host)  # which are in partitions of their own
    return sorted(event.data.labels["alertname"] for event in events if event.data.status == "firing")


def deleted(kafka: KafkaSettings, host: str) -> list[str]:
    events = alert_events(kafka, host)
    return sorted(event.data.labels["alertname"] for event in events if event.data.reason == "rule_deleted")


def test_changes_take_effect_while_it_works(topics: KafkaSettings, feed: Feed, tmp_path: Path) -> None:
    start = int(time.time() * 1000)
    with rules_worker(topics, tmp_path, FILE) as worker:
        feed.send("alpha", start, 90.0)
        eventually(lambda: fired(topics, "alpha") == ["FromFile"], TAKEOVER)  # nothing is published: the files apply

        publish_rules(topics, {"hot": group_text("hot", HOT), "cold": group_text("cold", COLD)})
        eventually(lambda: "rules changed" in worker.log())
        feed.send("alpha", start + 10_000, 90.0)
        eventually(lambda: fired(topics, "alpha") == ["FromFile", "Hot"])
        assert deleted(topics, "alpha") == ["FromFile"]

        publish_rules(topics, {"hot": "groups: [", "cold": b"{}"}, authority=False)
        eventually(lambda: worker.log().count("rule group refused") == 2)
        feed.send("beta", start + 20_000, 2.0)  # what was in force goes on
        eventually(lambda: fired(topics, "beta") == ["Cold"])

        publish_rules(topics, {"hot": None}, authority=False)
        eventually(lambda: deleted(topics, "alpha") == ["FromFile", "Hot"])
        assert worker.stop() == 0
    assert "Traceback" not in worker.log()


def test_a_new_worker_reads_the_topic_to_its_end_before_it_begins(
    topics: KafkaSettings, feed: Feed, tmp_path: Path
) -> None:
    publish_rules(topics, {"cold": group_text("cold", COLD), "hot": group_text("hot", COLD)})  # two rules, one name
    publish_rules(topics, {"hot": group_text("hot", HOT)}, authority=False)
    feed.send("alpha", int(time.time() * 1000), 90.0)
    with rules_worker(topics, tmp_path, FILE) as worker:
        eventually(lambda: fired(topics, "alpha") == ["Hot"], TAKEOVER)
        assert "source=topic" in worker.log()
        assert "rules changed" not in worker.log()
