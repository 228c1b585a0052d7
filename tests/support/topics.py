"""Topics of a test's own, on the session's broker."""

import uuid

from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic

PARTITIONS = 4


def fresh_topics(bootstrap_servers: str) -> KafkaSettings:
    """Settings with a prefix that nobody else uses, all topics created."""
    from fleetpulse.publish.topic_admin import ensure_topics

    settings = KafkaSettings(
        bootstrap_servers=bootstrap_servers, topic_prefix=f"test-{uuid.uuid4().hex[:12]}", partitions=PARTITIONS
    )
    ensure_topics(settings)
    return settings


def topics_with_a_past(bootstrap_servers: str) -> KafkaSettings:
    """As `fresh_topics`, but ``metrics`` takes the producers' times of creation until the first worker mends that."""
    from fleetpulse.publish.topic_admin import admin_client

    settings = KafkaSettings(
        bootstrap_servers=bootstrap_servers, topic_prefix=f"test-{uuid.uuid4().hex[:12]}", partitions=PARTITIONS
    )
    configs = {"message.timestamp.type": "CreateTime"}
    metrics = {"num_partitions": PARTITIONS, "replication_factor": 1, "configs": configs}
    with admin_client(settings) as admin:
        admin.create_topics({Topic.METRICS.named(settings.topic_prefix): metrics})
    return settings


def kafka_env(settings: KafkaSettings) -> dict[str, str]:
    """The environment with which a child reaches these topics."""
    return {
        "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "FLEETPULSE_KAFKA_TOPIC_PREFIX": settings.topic_prefix,
        "FLEETPULSE_KAFKA_PARTITIONS": str(settings.partitions),
    }
