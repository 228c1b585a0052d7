"""Hosts that are gone for good stay gone, whatever was recorded of them before."""

import pytest

from fleetpulse.rules.model import RuleKind
from fleetpulse.wire import Header
from tests.support.rules_world import World, alert, block

BARE: dict[str, object] = {"labels": {}, "annotations": {}, "warning": None, "critical": None}
RECORD = alert(name="host:heat", kind=RuleKind.RECORD, expr="temperature_celsius + 0", **BARE)
SILENT = alert(name="NoHeat", expr="host:heat > 1000", no_data_ms=120_000, **BARE)
DERIVED = [(str(Header.DERIVED), b"1")]


@pytest.mark.parametrize("restart", [False, True])
def test_what_was_recorded_of_a_departed_host_does_not_bring_it_back(restart: bool) -> None:
    world = World((RECORD, SILENT))
    for second in range(0, 100, 10):
        recorded = [made for host in "ab" for made in world.send(second, block(host, second)).recorded]
        if second < 90:
            world.send(second + 0.1, *recorded, headers=DERIVED)
    world.send(91, headers=[(str(Header.DEPARTED), b"a")])
    world.send(92, *recorded, headers=DERIVED)  # of the last tick, made before the departure was read
    if restart:
        world.restart()
    for second in range(100, 400, 10):
        world.send(second, block("b", second))
    assert world.events == []
    assert world.live._presence.known("a") is None
    world.send(400, block("a", 400))
    for second in range(410, 600, 10):
        world.send(second, block("b", second))
    assert [(event.data.host, event.data.reason) for event in world.events] == [("a", "no_data")], "it came back itself"
