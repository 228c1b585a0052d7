"""Writes to `fleetpulse.rules` as the API does, for tests of those that read it."""

from collections.abc import Mapping

from kafka import KafkaProducer

from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.rules.published import AUTHORITY_KEY, MORE, Authority, PublishedGroup, encode_authority, encode_group
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic


def group_text(name: str, *rules: str) -> str:
    """A rule file with one group; each rule in one line of YAML's flow style."""
    return f"groups:\n  - name: {name}\n    rules:\n" + "".join(f"      - {rule}\n" for rule in rules)


def record(name: str, text: str, version: int = 1) -> bytes:
    """The record of a group made through the API."""
    group = PublishedGroup(name=name, owner="api", file="", version=version, text=text, author="test", changed_ms=0)
    return encode_group(group)


def publish_rules(kafka: KafkaSettings, groups: Mapping[str, str | bytes | None], authority: bool = True) -> None:
    """One change: texts, values as they are, or tombstones; all but the last say that more follows."""
    values = {name: record(name, text) if isinstance(text, str) else text for name, text in groups.items()}
    if authority:
        values[AUTHORITY_KEY] = encode_authority(Authority("test"))
    producer = KafkaProducer(**kafka_python_config(kafka), metrics_enabled=False)
    for i, (name, value) in enumerate(values.items(), start=1):
        headers = [MORE] if i < len(values) else []
        producer.send(Topic.RULES.named(kafka.topic_prefix), key=name.encode(), value=value, headers=headers)
    producer.flush(30)
    producer.close()
