"""Topics on Apache Kafka: created as the enum says, checked when they exist, refused when they do not fit."""

import time

import pytest

from fleetpulse.errors import SettingsError, UnavailableError
from fleetpulse.publish.topic_admin import admin_client, config_of, ensure_topics, partitions_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from infra.embedded.ports import free_port
from tests.support.eventually import eventually
from tests.support.patience import patient
from tests.support.servers import KafkaServer

pytestmark = pytest.mark.servers


def settings(kafka: KafkaServer, prefix: str, partitions: int = 3) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix, partitions=partitions)


def described(kafka: KafkaSettings) -> dict[str, tuple[int, dict[str, str]]]:
    """Partitions and configuration of each topic as the broker has them."""
    from kafka.admin import ConfigResource, ConfigResourceType

    names = [topic.named(kafka.topic_prefix) for topic in Topic]
    with admin_client(kafka) as admin:
        rows = admin.describe_topics(names)
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        configs = admin.describe_configs(resources, config_filter="all")["topic"]
    return {
        row["name"]: (len(row["partitions"]), {key: item["value"] for key, item in configs[row["name"]].items()})
        for row in rows
    }


def test_topics_are_created_as_the_enum_says_and_a_second_run_changes_nothing(kafka: KafkaServer) -> None:
    wanted = settings(kafka, "admin-created")
    ensure_topics(wanted)
    before = described(wanted)
    for topic in Topic:
        partitions, config = before[topic.named("admin-created")]
        assert partitions == partitions_of(topic, wanted)
        assert config_of(topic, wanted).items() <= config.items()
    assert before["admin-created.alerts"][1]["message.timestamp.type"] == "LogAppendTime"
    assert before["admin-created.alerts-state"][1]["cleanup.policy"] == "compact"
    ensure_topics(wanted)
    assert described(wanted) == before


def test_another_number_of_partitions_is_refused_with_the_procedure(kafka: KafkaServer) -> None:
    ensure_topics(settings(kafka, "admin-partitions", 3))
    with pytest.raises(SettingsError) as refused:
        ensure_topics(settings(kafka, "admin-partitions", 5))
    text = str(refused.value)
    assert "admin-partitions.metrics has 3 partitions, FLEETPULSE_KAFKA_PARTITIONS asks for 5" in text
    assert "set FLEETPULSE_KAFKA_PARTITIONS=3" in text
    assert "finish its minutes" in text  # else nobody does, where hosts change partitions
    assert "fleetpulse topics --recreate" in text


def test_what_would_break_the_pipeline_is_mended_and_retention_is_left_alone(kafka: KafkaServer) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType

    wanted = settings(kafka, "admin-mended")
    ensure_topics(wanted)
    changed = {"message.timestamp.type": "CreateTime", "retention.ms": "12345678"}
    with admin_client(wanted) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "admin-mended.metrics", changed)])

    def config() -> dict[str, str]:
        return described(wanted)["admin-mended.metrics"][1]

    eventually(lambda: config()["message.timestamp.type"] == "CreateTime")  # the broker applies a change a moment later
    ensure_topics(wanted)
    eventually(lambda: config()["message.timestamp.type"] == "LogAppendTime")
    assert config()["retention.ms"] == "12345678"


def test_more_replicas_than_brokers_is_said_by_the_settings_name(kafka: KafkaServer) -> None:
    wanted = KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers, topic_prefix="admin-replicas", partitions=1, replication_factor=3
    )
    with pytest.raises(SettingsError, match="FLEETPULSE_KAFKA_REPLICATION_FACTOR"):
        ensure_topics(wanted)


def test_an_unreachable_kafka_is_named_within_the_bound() -> None:
    address = f"127.0.0.1:{free_port()}"
    start = time.monotonic()
    with pytest.raises(UnavailableError) as refused:
        ensure_topics(KafkaSettings(bootstrap_servers=address), timeout_seconds=1.5)
    assert time.monotonic() - start < patient(4)
    assert address in str(refused.value)
    assert "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS" in str(refused.value)
