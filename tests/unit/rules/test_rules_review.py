"""What a hostile review proved wrong: departures, restarts and gaps while hosts are silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.model import RuleKind, RuleSet
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from fleetpulse.wire import Header, join_keys, make_block
from stream_processors.rules import rules_topic
from tests.support.rules_world import HOST_SILENT, T0, World, alert, block


class _Consumer:
    """Gives one record, then an error, then nothing."""

    def __init__(self) -> None:
        self.calls = 0

    async def getmany(self, partition: object, timeout_ms: int) -> dict[object, list[SimpleNamespace]]:
        self.calls += 1
        await asyncio.sleep(0)
        if self.calls == 2:
            raise KafkaError("the broker is away")
        record = SimpleNamespace(offset=0, headers=(), key=b"k", value=None)
        return {partition: [record]} if self.calls == 1 else {}


class _Topic(rules_topic.RulesTopic):
    def __init__(self, kafka: KafkaSettings, metrics: SelfMetrics) -> None:
        super().__init__(kafka, metrics)
        self.consumer = _Consumer()

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[Any]:
        yield self.consumer


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


def test_lost_messages_do_not_keep_a_host_for_ever() -> None:
    world = World((HOST_SILENT,), conduct=Conduct(forget_after_ms=3_600_000))
    _feed(world, range(0, 100, 10), "abcdefgh")
    world.publish(100, block("a", 100))  # is lost
    world.done(world.live.apply([world.publish(110, block("a", 110))]))
    _feed(world, range(120, 10_000, 60), "abcdefg")
    assert world.live._presence.known("h") is None
    assert world.live._presence.known("g") is not None


def test_hosts_without_a_number_are_not_kept() -> None:
    world = World((alert(name="a:b", kind=RuleKind.RECORD, warning=None, critical=None, labels={}, annotations={}),))
    for number in range(100):
        world.send(60 * number, block(f"pod{number}", 60 * number, job="fleetpulse"))
    for second in (30_000, 30_100):
        world.send(second, block("z", second, job="fleetpulse"))
    assert len(world.live._away._sent_ms) < 10


def test_a_new_host_does_not_take_over_the_ticks_of_one_that_departed() -> None:
    world = World((alert(),))
    world.send(0, block("a", 0))
    ahead = [world.publish(10, block("ahead", 600)), world.publish(11, headers=_departs("ahead"))]
    world.done(world.live.apply(ahead))
    world.restart()
    world.send(20, block("new", 20, 99))
    assert [event.data.host for event in world.events] == ["new"]


def test_a_change_of_rules_outlives_an_error_of_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_topic, "RETRY_SECONDS", 0.0)
    topic = _Topic(KafkaSettings(), SelfMetrics())
    topic.book.authority = "db"
    taken: list[RuleSet] = []

    async def take(rules: RuleSet) -> None:
        taken.append(rules)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(topic.follow(take), 5))
    assert len(taken) == 1
    assert topic.consumer.calls == 3


def test_after_a_gap_of_the_whole_partition_hosts_are_not_forgotten_at_once() -> None:
    world = World((alert(),), conduct=Conduct(forget_after_ms=3_600_000))
    for second in range(0, 300, 10):
        for host in "abc":
            world.send(second, block(host, second, 90))
    told = len(world.events)
    for host in "abc":
        world.send(7500, block(host, 7500, 90))
    assert [event.data.status for event in world.events[told:] if event.data.status == "resolved"] == []
    assert all(world.live._presence.known(host) is not None for host in "abc")


def test_alerts_of_series_that_come_and_go_do_not_pile_up() -> None:
    failed = alert(expr="job_failed", warning=None, critical=None, labels={}, annotations={})
    world = World((failed,))
    for second in range(0, 20_000, 40):
        keys = join_keys(['up{instance="a"}', f'job_failed{{instance="a",id="{second}"}}'])
        world.send(second, make_block("a", {"job": "n"}, keys, T0 + 1000 * second, [1.0, 1.0]))
    (alerts,) = world.live._alerts.values()
    assert alerts.table.size < 100
    firing = [event for event in world.events if event.data.status == "firing"]
    assert len({event.data.episode for event in firing}) == 500
