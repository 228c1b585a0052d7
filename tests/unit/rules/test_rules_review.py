"""What a hostile review proved wrong: departures, restarts and gaps while hosts are silent."""

from dataclasses import replace

from fleetpulse.rules.conduct import Conduct
from fleetpulse.wire import Header
from tests.support.rules_world import HOST_SILENT, World, block


def _departs(host: str) -> list[tuple[str, bytes]]:
    return [(str(Header.DEPARTED), host.encode())]


def _feed(world: World, seconds: range, hosts: str) -> None:
    for second in seconds:
        for host in hosts:
            world.send(second, block(host, second))


def _all_silent(conduct: Conduct | None = None) -> World:
    world = World((HOST_SILENT,)) if conduct is None else World((HOST_SILENT,), conduct=conduct)
    _feed(world, range(0, 300, 10), "abc")
    world.done(world.live.wait(400_000))
    assert world.shown() == [("firing", "no_data", "critical", 1)]
    return world


def test_when_all_hosts_of_a_silent_source_depart_its_alert_ends() -> None:
    world = _all_silent()
    for host in "abc":
        world.send(700, headers=_departs(host))
    assert world.events[-1].data.status == "resolved"


def test_hosts_of_a_silent_source_may_be_forgotten_one_after_another() -> None:
    world = _all_silent(Conduct(forget_after_ms=3_600_000))
    for second in range(400, 9000, 60):
        world.done(world.live.wait(second * 1000))
    assert world.live._presence.known("a") is None
    assert world.events[-1].data.status == "resolved"


def test_a_host_may_be_new_and_depart_in_one_batch() -> None:
    world = World((HOST_SILENT,))
    world.send(0, block("a", 0))
    messages = [world.publish(10, block("b", 10)), world.publish(10.1, headers=_departs("b"))]
    world.done(world.live.apply(messages))
    assert [key for key, value in world.states if value is None] != []


def test_a_restart_tells_nothing_while_the_source_is_silent() -> None:
    for seconds in (300, 310, 3600):
        world = _all_silent()
        world.restart(seconds=seconds)
        world.done(world.live.wait(200_000))
        assert len(world.events) == 1, seconds


def test_a_restart_that_reads_less_than_the_limit_again_ends_the_sources_alert_in_time() -> None:
    world = World((replace(HOST_SILENT, no_data_ms=7_200_000),))
    _feed(world, range(0, 300, 10), "abc")
    world.done(world.live.wait(8_000_000))
    world.send(8400, block("a", 8400))  # two of three are silent: still firing
    world.restart(seconds=3600)
    assert world.shown() == [("firing", "no_data", "critical", 1)]
    _feed(world, range(8410, 9000, 60), "abc")
    assert world.events[-1].data.status == "resolved"
