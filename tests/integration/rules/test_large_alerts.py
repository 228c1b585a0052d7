"""One huge series holds up nobody: its alert is cut, or left out, and the other hosts' alerts go on."""

import asyncio
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer

from fleetpulse.metric import MAX_VALUE_LENGTH
from fleetpulse.partition import partition_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES, Topic
from fleetpulse.wire import Frame, encode_frame, make_block
from stream_processors.rules.fit import LARGEST_BYTES
from stream_processors.rules.transaction import Transaction
from tests.support.alerting import alert_events, feed_of, messages_of, shown
from tests.support.eventually import eventually
from tests.support.rules_workers import rules_worker

pytestmark = pytest.mark.servers

WITHIN = 60.0
LABELS = 60
# Of labels at their limits the alert repeats a megabyte, and what it says about them ten.
RULES = f"""
groups:
  - name: test
    rules:
      - alert: Hot
        expr: test_value
        warning: "> 80"
      - alert: Wordy
        expr: wordy_value
        warning: "> 80"
        annotations: {{summary: "{"".join(f"{{{{ $labels.big{n % LABELS} }}}}" for n in range(10 * LABELS))}"}}
"""


def send_large(kafka: KafkaSettings, host: str, name: str, value: float) -> None:
    labels = ",".join(f'big{number}="{chr(0x1F600) * MAX_VALUE_LENGTH}"' for number in range(LABELS))
    block = make_block(host, {}, f'{name}{{{labels},instance="{host}"}}'.encode(), int(time.time() * 1000), [value])
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, max_request_size=MAX_MESSAGE_BYTES)
    topic = Topic.METRICS.named(kafka.topic_prefix)
    producer.send(topic, encode_frame(Frame(1, 0, [block])), partition=partition_of(host, kafka.partitions)).get(15)
    producer.close()


def test_a_series_of_megabytes_does_not_stop_the_alerts(topics: KafkaSettings, tmp_path: Path) -> None:
    with rules_worker(topics, tmp_path, RULES) as worker, feed_of(topics) as feed:
        send_large(topics, "large", "test_value", 90.0)
        (large,) = eventually(lambda: alert_events(topics, "large"), WITHIN)
        assert len(large.data.labels["big0"]) == MAX_VALUE_LENGTH
        assert "too large for Kafka" not in worker.log()
        send_large(topics, "wordy", "wordy_value", 90.0)
        feed.send("alpha", int(time.time() * 1000), 90.0)
        (wordy,) = eventually(lambda: alert_events(topics, "wordy"), WITHIN)
        assert wordy.data.annotations == {}
        assert len(wordy.data.labels["big0"]) == MAX_VALUE_LENGTH
        eventually(lambda: len(alert_events(topics, "alpha")) == 1, WITHIN)
        assert "an alert event is too large for Kafka" in worker.log()
        assert "an alert's state is too large for Kafka" in worker.log()
        worker.kill()
    with rules_worker(topics, tmp_path, RULES):
        send_large(topics, "wordy", "wordy_value", 10.0)
        events = eventually(lambda: e if len(e := alert_events(topics, "wordy")) >= 2 else [], WITHIN)
    assert shown(events) == [("firing", "threshold", 1), ("resolved", "recovered", 2)]


async def write_largest(kafka: KafkaSettings) -> None:
    transaction = Transaction(kafka, 0)
    await transaction.open()
    value = b"x" * (LARGEST_BYTES - 1)
    await transaction.write([(b"k", value)], [(b"k", value)])
    await transaction.close()


def test_kafka_takes_the_largest_message_that_is_called_fitting(topics: KafkaSettings) -> None:
    asyncio.run(write_largest(topics))
    for topic in (Topic.ALERTS, Topic.ALERTS_STATE):
        (message,) = messages_of(topics, topic)
        assert len(message.value) == LARGEST_BYTES - 1
