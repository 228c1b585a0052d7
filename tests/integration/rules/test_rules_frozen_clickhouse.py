"""ClickHouse hangs while a rules worker takes over in an incident: all is told, and what needs the past holds."""

import signal
from functools import partial
from pathlib import Path
from random import Random

import pytest

from fleetpulse.clock import from_rfc3339
from fleetpulse.settings import KafkaSettings
from tests.support.alerting import alert_events
from tests.support.eventually import eventually
from tests.support.past import behind_of_rules, keep_times
from tests.support.rules_incident import RulesIncident, by_alert, incident_worker
from tests.support.running import Running
from tests.support.servers import ClickHouseServer

pytestmark = pytest.mark.servers

SOON = 60.0
BEFORE, FROZEN = 60, 20  # ticks
LONG = """
groups:
  - name: long
    rules:
      - alert: WarmForLong
        expr: avg_over_time(temperature_celsius[2h]) > 60
"""


def assigned(worker: Running) -> bool:
    return "msg=assigned" in worker.log()


def test_short_windows_go_on_and_long_ones_hold(
    topics: KafkaSettings, own_clickhouse: ClickHouseServer, tmp_path: Path
) -> None:
    long = tmp_path / "long.yaml"
    long.write_text(LONG)
    env = {
        "FLEETPULSE_RULES_FILES": f"{tmp_path / 'rules.yaml'},{long}",
        "FLEETPULSE_CLICKHOUSE_URL": own_clickhouse.url(),
    }
    incident = RulesIncident(topics, Random(5))

    def send(ticks: int) -> None:
        for _ in range(ticks):
            incident.send()
        eventually(lambda: behind_of_rules(topics) == {}, SOON, interval=0.5)

    with incident_worker(topics, tmp_path, 0, env) as worker:
        eventually(partial(assigned, worker), SOON)
        keep_times(topics, incident.start_ms, topics.partitions - 1)
        send(BEFORE)
        worker.kill()
    killed_ms = incident.next_ms
    own_clickhouse.server.child.process.send_signal(signal.SIGSTOP)
    with incident_worker(topics, tmp_path, 1, env) as worker:
        eventually(partial(assigned, worker), SOON)
        keep_times(topics, incident.start_ms, topics.partitions - 1)
        send(FROZEN)
        frozen = worker.log()
        own_clickhouse.server.child.process.send_signal(signal.SIGCONT)
        eventually(lambda: "long windows" in worker.log(), SOON)
        assert worker.stop(within=10.0) == 0
    incident.close()
    assert "long windows are warm" not in frozen
    events = alert_events(topics)
    wanted = incident.undisturbed()
    assert by_alert([event for event in events if event.data.rule.name != "WarmForLong"]) == by_alert(wanted)
    assert any(from_rfc3339(event.time) >= killed_ms for event in wanted)
    held = [event for event in events if event.data.rule.name == "WarmForLong"]
    assert held, "it fired before"
    since = {event.data.reason for event in held if from_rfc3339(event.time) >= killed_ms}
    assert since <= {"no_data", "series_gone"}, "no sample fires or resolves it while its windows are not whole"
