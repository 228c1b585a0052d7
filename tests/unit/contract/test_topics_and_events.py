"""Topics as data, and alert events as CloudEvents."""

import json

import pytest

from fleetpulse.errors import FrameError
from fleetpulse.events import (
    AlertData,
    Evidence,
    RuleRef,
    decode_event,
    encode_event,
    episode_of,
    fingerprint_of,
    make_event,
)
from fleetpulse.publish.topic_admin import config_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic

DATA = AlertData(
    status="firing",
    labels={"alertname": "HostCpuHigh", "instance": "web-1", "severity": "critical"},
    annotations={"summary": "busy"},
    starts_at="2026-01-01T00:00:00.000Z",
    fingerprint="0123456789abcdef",
    episode="fedcba9876543210",
    transition=1,
    reason="threshold",
    host="web-1",
    rule=RuleRef("HostCpuHigh", "abc"),
    value="NaN",
    evidence=[Evidence("up", "2026-01-01T00:00:00.000Z", "+Inf")],
)


def test_topics_that_must_meet_have_the_same_partitions() -> None:
    assert {topic for topic in Topic if topic.value.per_host} == {
        Topic.METRICS,
        Topic.ALERTS,
        Topic.ALERTS_STATE,
        Topic.HOSTS,
    }


def test_every_topic_is_stamped_by_the_broker() -> None:
    assert {config_of(topic, KafkaSettings())["message.timestamp.type"] for topic in Topic} == {"LogAppendTime"}


def test_every_topic_is_named_after_the_prefix_and_is_kept_by_key_or_by_time() -> None:
    prefix = KafkaSettings().topic_prefix
    assert {topic.named(prefix) for topic in Topic} == {
        "fleetpulse.metrics",
        "fleetpulse.metrics-dead",
        "fleetpulse.alerts",
        "fleetpulse.alerts-state",
        "fleetpulse.rules",
        "fleetpulse.silences",
        "fleetpulse.notify-state",
        "fleetpulse.hosts",
    }
    for topic in Topic:
        assert topic.value.compacted != (topic.value.retention_ms is not None)
        assert topic.value.producers
        assert topic.value.consumers


def test_an_event_is_a_cloudevent_with_alertmanagers_words() -> None:
    event = json.loads(encode_event(make_event(DATA, at="2026-01-01T00:00:01.000Z")))
    assert event["specversion"] == "1.0"
    assert event["type"] == "fleetpulse.alert.v1"
    assert event["id"] == "fedcba9876543210/1"
    assert event["source"] == "/fleetpulse/rules/HostCpuHigh"
    assert event["subject"] == "web-1"
    assert event["data"]["startsAt"] == "2026-01-01T00:00:00.000Z"
    assert event["data"]["endsAt"] == "0001-01-01T00:00:00Z"
    assert event["data"]["generatorURL"] == ""
    assert event["data"]["previousSeverity"] is None
    assert event["data"]["value"] == "NaN"


def test_events_come_back_and_fields_of_a_later_writer_are_read_over() -> None:
    event = make_event(DATA, at="2026-01-01T00:00:01.000Z")
    later = json.loads(encode_event(event)) | {"dataschema": "later"}
    later["data"]["added"] = {"by": "a later version"}
    assert decode_event(encode_event(event)) == event
    assert decode_event(json.dumps(later).encode()) == event


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"\xff\xfe", b"null"])
def test_what_is_no_event(raw: bytes) -> None:
    with pytest.raises(FrameError) as refused:
        decode_event(raw)
    assert refused.value.reason == "undecodable"


def test_an_event_of_another_type_is_refused_by_name() -> None:
    other = json.loads(encode_event(make_event(DATA, at=""))) | {"type": "fleetpulse.alert.v2"}
    with pytest.raises(FrameError, match=r"fleetpulse\.alert\.v2") as refused:
        decode_event(json.dumps(other).encode())
    assert refused.value.reason == "unknown_type"


def test_the_fingerprint_leaves_out_severity_and_nothing_else() -> None:
    labels = {"alertname": "a", "instance": "i"}
    assert fingerprint_of(labels | {"severity": "warning"}) == fingerprint_of(labels | {"severity": "critical"})
    assert fingerprint_of(labels) == fingerprint_of(labels | {"severity": "x"})
    assert fingerprint_of(labels | {"device": "sda"}) != fingerprint_of(labels)
    assert fingerprint_of(labels) == fingerprint_of(dict(reversed(labels.items())))


def test_an_episode_is_its_rule_fingerprint_and_start() -> None:
    first = episode_of("r", "f", 1)
    assert first == episode_of("r", "f", 1)
    assert len({first, episode_of("s", "f", 1), episode_of("r", "g", 1), episode_of("r", "f", 2)}) == 4
