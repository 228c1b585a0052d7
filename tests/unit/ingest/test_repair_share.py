"""When dirty buckets are recomputed: together, not too often, and not while the inserts are far behind."""

import pytest

from fleetpulse.selfmetrics import SelfMetrics
from stream_processors.ingest.partition import Partition, Work
from stream_processors.ingest.repairs import (
    AT_ONCE_SECONDS,
    PUT_OFF_SECONDS,
    SETTLE_SECONDS,
    SHARE,
    Order,
    Repairs,
    _together,
)


class Round:
    """Repairs whose rounds take as long as is said; nothing connects."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.recomputed: list[int] = []
        monkeypatch.setattr("stream_processors.ingest.repairs.time.monotonic", lambda: self.now)
        self.repairs = Repairs("clickhouse://127.0.0.1:1/x", 3, SelfMetrics())
        monkeypatch.setattr(self.repairs, "_recompute", lambda: None)

    def due(self, since: float, *, behind: bool = False) -> bool:
        return self.repairs.due([self.now - since, self.now], behind=behind)

    def run(self, seconds: float) -> None:
        self.repairs.begin([order(0, [1])])
        assert not self.due(1e9), "one round at a time"
        assert self.repairs._finished.wait(60)
        self.now += seconds
        [done] = self.repairs.done()
        assert done.work.minutes == [1]
        assert self.repairs.done() == []


def order(number: int, minutes: list[int], ids: list[int] | None = None) -> Order:
    return Order(Partition(number, 30_000), Work(minutes, ids, minutes, 5))


def test_what_is_dirty_for_longest_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Round(monkeypatch)
    assert not one.repairs.due([], behind=False)
    assert not one.due(SETTLE_SECONDS - 1)
    assert one.due(SETTLE_SECONDS)
    assert not one.due(PUT_OFF_SECONDS - 1, behind=True)
    assert one.due(PUT_OFF_SECONDS, behind=True)


def test_long_rounds_leave_most_of_the_time_to_the_inserts(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Round(monkeypatch)
    one.run(AT_ONCE_SECONDS / 2)
    assert one.due(SETTLE_SECONDS), "short ones do not matter"
    one.run(30.0)
    one.now += 30.0 / SHARE - 31.0
    assert not one.due(SETTLE_SECONDS)
    one.now += 1.0
    assert one.due(SETTLE_SECONDS)


def test_nothing_begins_after_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Round(monkeypatch)
    one.repairs.stop()
    assert not one.due(PUT_OFF_SECONDS)


def test_a_minute_is_recomputed_only_for_the_partitions_in_which_it_is_dirty() -> None:
    a, b, c = order(0, [1, 2, 3]), order(1, [2, 3]), order(0, [7], [9])
    assert _together([a, b, c]) == [([1], [a]), ([2, 3], [a, b]), ([7], [c])]
