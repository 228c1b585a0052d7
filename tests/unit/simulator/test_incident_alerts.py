"""The shipped rules on a simulated fleet: a CPU spike fires at once on its hosts, and a calm fleet fires nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleetpulse.events import AlertEvent
from fleetpulse.publish.packer import Packer
from fleetpulse.rules.load import load, shipped_packs
from fleetpulse.rules.partition import PartitionRules
from fleetpulse.rules.state import read_records
from fleetpulse.wire import Frame, encode_frame
from producers.simulator.fleet import Fleet
from producers.simulator.incident import parse_incident
from producers.simulator.run import frames, ticks

START = 1_800_000_000
HOSTS = 20


@dataclass(frozen=True)
class Sent:
    """A message of the metrics topic."""

    offset: int
    append_ms: int
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


def alerts_of(fleet: Fleet, backfill_s: int, duration_s: int) -> list[AlertEvent]:
    rules = PartitionRules(load(shipped_packs()), 0, 1)
    rules.start(0)
    rules.restore(read_records([]), None, 0, 0)
    events: list[AlertEvent] = []
    offset = 0
    for tick in ticks(START, 10, backfill_s, duration_s):
        append_ms = max(tick, START) * 1000  # the history arrives with the first tick
        for blocks in frames(fleet, tick, Packer(1)):
            message = Sent(offset, append_ms, encode_frame(Frame(1, append_ms, blocks)))
            events += rules.apply([message]).events
            offset += 1
    return events


def test_a_cpu_spike_is_a_critical_alert_within_a_minute_of_the_start_on_its_hosts_alone() -> None:
    spike = parse_incident("cpu_spike:3", HOSTS, seed=1, start_s=START)
    fleet = Fleet(HOSTS, 100, 1, [spike])
    events = alerts_of(fleet, backfill_s=130, duration_s=50)
    expected = {fleet.hosts[number].common["instance"] for number in spike.hosts}
    assert {event.data.host for event in events} == expected
    for event in events:
        assert event.data.labels["severity"] == "critical"
        assert event.data.labels["simulated"] == "true"
        assert event.data.status == "firing"


def test_a_calm_fleet_fires_nothing() -> None:
    assert alerts_of(Fleet(HOSTS, 100, 1), backfill_s=0, duration_s=1200) == []
