"""Seconds from a change of rules on `fleetpulse.rules` until a rules worker has it in force, while a fleet sends."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kafka import KafkaProducer

from bench.live import Fleet
from bench.servers import until
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.rules.published import AUTHORITY_KEY, MORE, Authority, PublishedGroup, encode_authority, encode_group
from fleetpulse.rules.split import split
from fleetpulse.topics import Topic

CHANGES = 20
LOOK_SECONDS = 0.02
MOST_SECONDS = 60.0
PAUSE_SECONDS = 1.0
_GROUP = """groups:
  - name: bench
    rules:
      - alert: BenchProbe
        expr: bench_probe > {threshold}
"""


def changes(running: Fleet, files: Sequence[Path]) -> list[float]:
    """First all groups of the files are published, untimed; then thresholds of one change, each waited for."""
    groups = {name: text for file in files for name, text in split(str(file), file.read_text()).items()}
    producer = KafkaProducer(**kafka_python_config(running.topics), metrics_enabled=False)
    topic = Topic.RULES.named(running.topics.topic_prefix)

    def publish(texts: Mapping[str, str], version: int) -> float:
        values = {
            name: encode_group(
                PublishedGroup(name=name, owner="api", file="", version=version, text=text, author="", changed_ms=0)
            )
            for name, text in texts.items()
        }
        if version == 1:
            values[AUTHORITY_KEY] = encode_authority(Authority("bench"))
        for left, (name, value) in zip(range(len(values) - 1, -1, -1), values.items(), strict=True):
            producer.send(topic, key=name.encode(), value=value, headers=[MORE] if left else [])
        before = running.rules.metric("fleetpulse_rules_changes_total")
        producer.flush(MOST_SECONDS)
        written = time.monotonic()
        until(
            lambda: running.rules.metric("fleetpulse_rules_changes_total") > before, MOST_SECONDS,
            f"change {version} of the rules is in force", LOOK_SECONDS,
        )  # fmt: skip
        return time.monotonic() - written

    publish(groups, 1)
    seconds = []
    for number in range(CHANGES):
        time.sleep(PAUSE_SECONDS)
        seconds.append(publish({"bench": _GROUP.format(threshold=0.5 + number)}, number + 2))
    producer.close()
    return seconds
