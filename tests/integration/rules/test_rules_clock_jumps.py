"""A rules worker whose wall clock jumps by hours during an incident tells what undisturbed rules would have told."""

import time
from pathlib import Path
from random import Random

import pytest

from fleetpulse.settings import KafkaSettings
from tests.support.alerting import alert_events
from tests.support.eventually import eventually
from tests.support.past import behind_of_rules, keep_times
from tests.support.rules_incident import RulesIncident, by_alert, incident_worker

pytestmark = [pytest.mark.servers, pytest.mark.debian("libfaketime")]

SOON = 60.0
STEPS = ("+5h", "-7h", "+0")
TICKS = 30  # after each of them
IDLE_SECONDS = 5.0  # longer than it takes until wall time at the end of a partition is looked at again


def test_no_alert_fires_or_resolves_by_a_jump_of_the_clock(topics: KafkaSettings, tmp_path: Path) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    offset = tmp_path / "offset"
    offset.write_text("+0")
    clock = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    incident = RulesIncident(topics, Random(5))
    with incident_worker(topics, tmp_path, 0, clock) as worker:
        eventually(lambda: "msg=assigned" in worker.log(), SOON)
        for step in ("+0", *STEPS):
            offset.write_text(step)
            keep_times(topics, incident.next_ms, topics.partitions - 1)  # a message that it logs
            time.sleep(IDLE_SECONDS)  # at the end of every partition
            for _ in range(TICKS):
                incident.send()
            eventually(lambda: behind_of_rules(topics) == {}, SOON, interval=0.5)
        assert worker.stop(within=10.0) == 0
        log = worker.log()
    incident.close()
    told, wanted = by_alert(alert_events(topics)), by_alert(incident.undisturbed())
    assert told == wanted
    assert len({line[3:16] for line in log.splitlines() if line.startswith("ts=")}) >= len(STEPS), log
    assert {event.data.reason for events in told.values() for event in events} >= {"threshold", "recovered", "no_data"}
