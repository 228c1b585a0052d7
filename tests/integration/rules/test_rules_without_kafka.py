"""The rules worker while Kafka is away: on a broker of its own, which is killed."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleetpulse.errors import SettingsError
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import decode_frame, join_keys, make_block
from infra.embedded.guard import Guard
from stream_processors.rules.recorder import Recorder
from tests.support.alerting import alert_events, messages_of
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.patience import patient
from tests.support.running import running
from tests.support.servers import KafkaServer, start_kafka
from tests.support.topics import fresh_topics, kafka_env

pytestmark = pytest.mark.servers

HOSTS = 500
WITHIN = 60.0
RULES = """
groups:
  - name: test
    rules:
      - record: host:test_value:doubled
        expr: test_value * 2
      - alert: Hot
        expr: test_value
        warning: "> 80"
"""


@pytest.fixture(scope="module")
def own_kafka(guard: Guard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    server = start_kafka(tmp_path_factory.mktemp("rules-kafka"), guard)
    yield server
    server.server.stop()


def test_recorded_values_wait_for_kafka_whatever_the_limits_of_producers(own_kafka: KafkaServer) -> None:
    topics = fresh_topics(own_kafka.bootstrap_servers)
    recorder = Recorder(topics, PublishSettings(buffer_bytes=5_000, delivery_timeout_seconds=1.0), SelfMetrics())
    now_ms = int(time.time() * 1000)
    blocks = [make_block(f"h{n}", {}, join_keys([f'm{{instance="h{n}"}}']), now_ms, [1.0]) for n in range(HOSTS)]

    async def run() -> None:
        publishing = asyncio.ensure_future(recorder.publish(blocks))
        done, _ = await asyncio.wait([publishing], timeout=5.0)
        assert not done, "Kafka is away"
        await asyncio.to_thread(own_kafka.server.start)
        await asyncio.wait_for(publishing, patient(WITHIN))

    own_kafka.server.kill()
    asyncio.run(run())
    recorder.close()
    frames = [decode_frame(message.value) for message in messages_of(topics, Topic.METRICS)]
    assert {block.host for frame in frames for block in frame.blocks} == {f"h{n}" for n in range(HOSTS)}


def test_another_number_of_partitions_is_an_error_and_no_endless_wait(topics: KafkaSettings) -> None:
    recorder = Recorder(replace(topics, partitions=7), PublishSettings(), SelfMetrics())
    block = make_block("h1", {}, join_keys(['m{instance="h1"}']), 0, [1.0])
    with pytest.raises(SettingsError, match="has 4 partitions"):
        asyncio.run(asyncio.wait_for(recorder.publish([block]), patient(WITHIN)))
    recorder.close()


def test_sigterm_ends_it_within_ten_seconds(own_kafka: KafkaServer, tmp_path: Path) -> None:
    topics = fresh_topics(own_kafka.bootstrap_servers)
    (tmp_path / "rules.yaml").write_text(RULES)
    sender = FrameSender(topics)
    start = int(time.time() * 1000)

    def send(numbers: range) -> None:
        for number in numbers:
            sender.send(sender.block("alpha", start + number, {"test_value": 10.0 if number % 2 else 90.0}))
        sender.flush()

    env = {**kafka_env(topics), "FLEETPULSE_RULES_FILES": str(tmp_path / "rules.yaml")}
    with running("rules", env, tmp_path) as worker:
        send(range(2))
        eventually(lambda: len(alert_events(topics)) == 2, WITHIN)
        send(range(2, 3000))
        sender.close()
        own_kafka.server.kill()
        time.sleep(3.0)
        assert worker.stop(within=10.0) == 0
