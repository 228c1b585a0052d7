"""Limits of active series: what is new is refused beyond them, and the offender is named, boundedly."""

import logging
from collections import Counter

import pytest

from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.windows.registry import Registry
from stream_processors.ingest.limits import HOST_LIMIT, LIMIT, MOST_OFFENDERS, OTHER, Limits, Room
from stream_processors.ingest.registration import NewSeries

METRIC = "fleetpulse_ingest_refused_series_total"


def new(host: str, number: int) -> NewSeries:
    return NewSeries(f'm{{host="{host}",x="{number}"}}', number, "m", host, {}, 0)


def room(known: int = 0, others: int = 0, **expected: int) -> Room:
    registry = Registry()
    for number in range(known):
        registry.add(f"known{number}", number, "a")
    return Room(registry, Counter(expected), others)


def limits(of_host: int, of_all: int, metrics: SelfMetrics | None = None) -> Limits:
    return Limits(IngestSettings(max_series_per_host=of_host, max_series=of_all), metrics or SelfMetrics())


@pytest.mark.parametrize(
    ("where", "taken"),
    [(room(), 3), (room(known=2), 1), (room(a=2), 1), (room(known=2, a=1), 0), (room(others=50, b=9), 3)],
)
def test_a_host_is_full_with_what_it_has_and_what_is_expected(where: Room, taken: int) -> None:
    refused = limits(3, 1000).refuse(where, [new("a", number) for number in range(10)])
    assert (len(refused), set(refused.values())) == (10 - taken, {HOST_LIMIT})


def test_all_hosts_share_the_limit_of_the_worker() -> None:
    series = [new(host, number) for number in range(4) for host in "abc"]
    refused = limits(100, 10).refuse(room(known=2, others=2, z=1), series)
    assert (len(refused), set(refused.values())) == (12 - 5, {LIMIT})


def test_partitions_that_register_together_share_the_limit_of_the_worker() -> None:
    rooms = [(room(known=2, others=1), [new(host, n) for n in range(4)]) for host in "abc"]
    refused = limits(100, 10).refuse_of(rooms)
    assert [sum(one.key in refused for one in series) for _, series in rooms] == [0, 1, 4]


def test_one_host_over_its_limit_takes_no_room_from_others() -> None:
    series = [*[new("a", number) for number in range(50)], new("b", 51)]
    refused = limits(3, 6).refuse(room(), series)
    assert len(refused) == 47
    assert series[-1].key not in refused


def test_a_host_is_full_only_when_nothing_is_expected_any_more() -> None:
    assert limits(2, 100).full(room(known=2), "a")
    assert not limits(2, 100).full(room(known=2, a=1), "a")
    assert not limits(2, 100).full(room(known=1), "a")


def test_offenders_are_named_and_bounded_and_lose_their_place(caplog: pytest.LogCaptureFixture) -> None:
    metrics = SelfMetrics()
    one = limits(1, 100, metrics)
    many = [new(f"h{number}", number) for number in range(MOST_OFFENDERS + 5)]
    for _ in range(2):
        one.note({series.key: HOST_LIMIT for series in many}, many)
    assert metrics.get(METRIC, offender="h0", reason=HOST_LIMIT) == 2
    assert metrics.get(METRIC, offender=OTHER, reason=HOST_LIMIT) == 10
    assert sum(METRIC in key for key, _ in metrics.samples()) == MOST_OFFENDERS + 1
    with caplog.at_level(logging.WARNING):
        one.tell()
        one.tell()
        one.note({many[-1].key: LIMIT}, many)
    assert len(caplog.records) == 1
    assert metrics.get(METRIC, offender="h0", reason=HOST_LIMIT) == 0
    assert metrics.get(METRIC, offender=many[-1].host, reason=LIMIT) == 1
