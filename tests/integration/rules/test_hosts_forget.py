"""`fleetpulse hosts forget` on Apache Kafka: the host's own partition says that it is gone, and its alerts end."""

import time

import pytest

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


def _hot(feed: Feed, *hosts: str) -> None:
    for host in hosts:
        feed.send(host, int(time.time() * 1000), 90.0)
