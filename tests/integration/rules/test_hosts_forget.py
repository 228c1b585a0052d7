"""`fleetpulse hosts forget` on Apache Kafka: the host's own partition says that it is gone, and its alerts end."""

import time

import pytest

from fleetpulse.cli import main
from fleetpulse.hosts_command import forget_hosts
from fleetpulse.partition import partition_of
from fleetpulse.rules.model import rule_set
from fleetpulse.rules.partition import PartitionRules
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from stream_processors.inbox import Message
from tests.support.alerting import Feed, feed_of, hosts_of_one_partition, messages_of
from tests.support.rules_world import alert

pytestmark = pytest.mark.servers


def test_what_fires_for_a_forgotten_host_ends(topics: KafkaSettings) -> None:
    gone, stays = hosts_of_one_partition(2, topics.partitions)
    with feed_of(topics) as feed:
        _hot(feed, gone, stays)
    forget_hosts(topics, [gone])
    records = messages_of(topics, Topic.METRICS)
    assert {record.partition for record in records} == {partition_of(gone, topics.partitions)}
    rules = PartitionRules(rule_set((alert(expr="test_value"),)), records[0].partition, topics.partitions)
    outcome = rules.apply(
        [Message(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers) for r in records]
    )
    assert outcome.unreadable == 0
    found = [(event.data.host, event.data.reason, event.data.transition) for event in outcome.events]
    assert sorted(found) == sorted([(gone, "threshold", 1), (stays, "threshold", 1), (gone, "host_departed", 2)])
    assert rules.firing() == ["warning"]


def test_it_works_while_the_api_is_away(
    topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLEETPULSE_API_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS", topics.bootstrap_servers)
    monkeypatch.setenv("FLEETPULSE_KAFKA_TOPIC_PREFIX", topics.topic_prefix)
    monkeypatch.setenv("FLEETPULSE_KAFKA_PARTITIONS", str(topics.partitions))
    assert main(["hosts", "forget", "web-017"]) == 0
    said = capsys.readouterr()
    assert said.out == "web-017: its alerts end now; should it send again, it is a new host\n"
    assert said.err.startswith("note: whether the names are right was not checked: the API does not answer")
    (record,) = messages_of(topics, Topic.METRICS)
    assert record.key == b"web-017"


def _hot(feed: Feed, *hosts: str) -> None:
    for host in hosts:
        feed.send(host, int(time.time() * 1000), 90.0)
