"""The scenarios of `tests/scenarios` on the live rules worker and Apache Kafka: the same events as the pure rules."""

import uuid
from pathlib import Path

import pytest

from fleetpulse.publish.topic_admin import ensure_topics
from fleetpulse.settings import KafkaSettings
from tests.support.scenario_live import LivePlayer
from tests.support.scenarios import scenarios
from tests.support.servers import KafkaServer

pytestmark = pytest.mark.servers

SCENARIOS = [scenario for scenario in scenarios() if not scenario.not_live]


def test_the_live_worker_tells_what_the_scenarios_say(kafka: KafkaServer, tmp_path: Path) -> None:
    settings = KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=f"test-{uuid.uuid4().hex[:12]}",
        partitions=len(SCENARIOS) + 1,
    )
    ensure_topics(settings)
    played = LivePlayer(settings, SCENARIOS, tmp_path).play()
    for scenario in SCENARIOS:
        assert played[scenario.name] == list(scenario.events), scenario.name
