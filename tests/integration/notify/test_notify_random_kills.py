"""Notifiers killed at random during an incident with a receiver that fails, hangs, hangs up and recovers."""

from pathlib import Path
from random import Random

import pytest

from fleetpulse.settings import KafkaSettings
from tests.support.notify_incident import Incident

pytestmark = pytest.mark.servers


def test_each_state_is_told_and_hardly_ever_twice(topics: KafkaSettings, tmp_path: Path) -> None:
    incident = Incident(topics, tmp_path, Random(5), kills=2)
    incident.play()
    assert incident.active_kills > 0
    assert len(incident.receiver.accepted) > 5
    assert {got.key for got in incident.receiver.attempts} == {
        got.body["notificationKey"] for got in incident.receiver.attempts
    }
