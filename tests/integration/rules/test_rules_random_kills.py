"""Rules workers killed at random during an incident: what the topic tells is what undisturbed rules would have told."""

import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest
from kafka.errors import KafkaError
from msgspec.structs import replace

from fleetpulse.clock import from_rfc3339
from fleetpulse.events import AlertEvent
from fleetpulse.settings import KafkaSettings
from tests.support.alerting import alert_events
from tests.support.eventually import eventually
from tests.support.past import behind_of_rules, keep_times
from tests.support.rules_incident import TICKS, RulesIncident, by_alert, incident_worker
from tests.support.running import Running

pytestmark = pytest.mark.servers

KILLS, LONG, EARLY = 3, 0, 1
LONG_TICKS = 65  # over an hour
TAKEOVER = 60.0
LONGEST = "Warm"  # reads the longest window


def until_killed(worker: Running, kafka: KafkaSettings, incident: RulesIncident, random: Random, number: int) -> range:
    """Ticks flow for a random time: once it tells events, at kill EARLY while it recovers.

    Some come after its end; after kill LONG those of an hour. Returns the times (ms) in which there was no worker.
    """
    before = len(alert_events(kafka))
    for _ in range(30):
        incident.send()
    if number != EARLY:
        eventually(lambda: len(alert_events(kafka)) > before, TAKEOVER)
    until = time.monotonic() + random.uniform(0.05, 1.0)
    while time.monotonic() < until and incident.sent < TICKS:
        incident.send()
        time.sleep(random.uniform(0.0, 0.05))
    worker.kill()
    killed_ms = incident.next_ms
    for _ in range(LONG_TICKS if number == LONG else random.randint(0, 10)):
        if incident.sent < TICKS:
            incident.send()
    return range(killed_ms, incident.next_ms)


def assigned(worker: Running) -> bool:
    return "msg=assigned" in worker.log()


def done(kafka: KafkaSettings) -> bool:
    with suppress(KafkaError):
        return behind_of_rules(kafka) == {}
    return False


def transition(event: AlertEvent) -> AlertEvent:
    """What a takeover may not change. A host that sends no more may have had a longer window than is read again: then
    what no sample causes tells the last value that was saved."""
    if event.data.rule.name != LONGEST or event.data.reason == "threshold":
        return event
    return replace(event, data=replace(event.data, value="", evidence=[], annotations={}))


def test_each_transition_is_told_once_and_in_order(topics: KafkaSettings, tmp_path: Path) -> None:
    random = Random(5)
    incident = RulesIncident(topics, random)
    told_before_kill, without_worker = [], []
    for number in range(KILLS + 1):
        with incident_worker(topics, tmp_path, number) as worker:
            eventually(partial(assigned, worker), TAKEOVER)
            keep_times(topics, incident.start_ms, topics.partitions - 1)
            if number < KILLS:
                without_worker.append(until_killed(worker, topics, incident, random, number))
                told_before_kill.append(len(alert_events(topics)))
                continue
            while incident.sent < TICKS:
                incident.send()
            eventually(lambda: done(topics), TAKEOVER, interval=0.5)
            assert worker.stop(within=10.0) == 0
    incident.close()
    told, wanted = by_alert(alert_events(topics)), by_alert(incident.undisturbed())
    assert {alert: list(map(transition, some)) for alert, some in told.items()} == {
        alert: list(map(transition, some)) for alert, some in wanted.items()
    }
    events = [event for some in wanted.values() for event in some]
    assert 0 < told_before_kill[0] < told_before_kill[-1] < len(events), told_before_kill
    assert {event.data.reason for event in events} >= {
        "threshold", "severity_changed", "recovered", "no_data", "data_returned", "series_gone"
    }  # fmt: skip
    missed = {event.data.reason for event in events if from_rfc3339(event.time) in without_worker[LONG]}
    assert missed >= {"threshold", "severity_changed", "recovered", "no_data", "data_returned"}, missed
    assert any(event.data.flapping for event in events)
    assert len({event.id for event in events}) == len(events)
