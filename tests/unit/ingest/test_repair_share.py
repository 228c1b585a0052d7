"""When dirty buckets are recomputed: together, not too often, and not while the inserts are far behind."""

import pytest

from fleetpulse.selfmetrics import SelfMetrics
from stream_processors.ingest.partition import Partition, Work
from stream_processors.ingest.repair_pieces import Order, Piece, Pieces, together
from stream_processors.ingest.repairs import AT_ONCE_SECONDS, PUT_OFF_SECONDS, SETTLE_SECONDS, SHARE, Repairs


class Round:
    """Repairs whose rounds take as long as is said; nothing connects."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.recomputed: list[int] = []
        monkeypatch.setattr("stream_processors.ingest.repairs.time.monotonic", lambda: self.now)
        self.repairs = Repairs("clickhouse://127.0.0.1:1/x", 3, SelfMetrics())
        monkeypatch.setattr(self.repairs, "_recompute", lambda piece: None)

    def due(self, since: float, *, behind: bool = False) -> bool:
        return self.repairs.due([self.now - since, self.now], behind=behind)

    def run(self, seconds: float) -> None:
        one = order(0, [1])
        self.repairs.begin([one], [one.partition])
        assert not self.due(1e9), "one round at a time"
        assert self.repairs._finished.wait(60)
        self.now += seconds
        [done] = self.repairs.done()
        assert done.work.minutes == [1]
        assert self.repairs.done() == []


def order(number: int, minutes: list[int], ids: list[int] | None = None) -> Order:
    return again(Partition(number, 30_000), minutes, ids)


def again(partition: Partition, minutes: list[int], ids: list[int] | None = None, place: int = 5) -> Order:
    return Order(partition, Work(minutes, ids, minutes, place))


def pieces_of(pieces: list[Piece]) -> list[tuple[list[int], list[int]]]:
    return [(piece.minutes, [order.partition.number for order in piece.orders]) for piece in pieces]


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
    pieces = together([order(0, [1, 2, 3]), order(1, [2, 3]), order(2, [7], [9])])
    assert pieces_of(pieces) == [([1], [0]), ([2, 3], [0, 1]), ([7], [2])]
    assert [one.work.clean for piece in pieces for one in piece.orders] == [[1], [2, 3], [2, 3], [7]]


def test_what_fails_comes_last_and_in_halves() -> None:
    a, b = order(0, [1, 2, 3]), order(1, [1, 2, 3])
    pieces = Pieces()
    pieces.add([a, b], [a.partition, b.partition])
    for now in range(100, 2000, 100):
        piece = pieces.take(now)
        assert piece is not None
        pieces.put_back(piece, now)
    late = order(2, [1])
    pieces.add([late], [a.partition, b.partition, late.partition])
    first = pieces.take(2000)
    assert first is not None
    assert pieces_of([first]) == [([1], [2])]
    assert sorted(pieces_of(pieces.waiting)) == [([minute], [number]) for minute in (1, 2, 3) for number in (0, 1)]
    assert pieces.buckets == 6


def test_what_failed_waits_longer_each_time() -> None:
    pieces = Pieces()
    one = order(0, [1])
    pieces.add([one], [one.partition])
    waited = []
    for _ in range(12):
        piece = pieces.take(1e9)
        assert piece is not None
        pieces.put_back(piece, 0.0)
        assert pieces.take(0.0) is None
        waited.append(pieces.waiting[0].not_before)
    assert waited == [min(30.0, 0.5 * 2**n) for n in range(12)]


@pytest.mark.parametrize(("late", "both"), [([8], [8, 9]), (None, None)])
def test_a_bucket_that_failed_is_not_clean_by_what_came_late_to_it(late: list[int], both: list[int]) -> None:
    first = order(0, [1, 2], [9])
    pieces = Pieces()
    pieces.add([first], [first.partition])
    failed = pieces.take(0.0)
    assert failed is not None
    pieces.put_back(failed, 0.0)
    pieces.add([again(first.partition, [2, 3], late, 6)], [first.partition])
    works = sorted(one.work for piece in pieces.waiting for one in piece.orders)
    assert works == [Work([1], [9], [1], 5), Work([2], both, [2], 6), Work([3], late, [3], 6)]


def test_a_lost_partition_is_left_to_its_next_owner() -> None:
    lost, kept = order(0, [1]), order(1, [1])
    pieces = Pieces()
    pieces.add([lost, kept], [lost.partition, kept.partition])
    pieces.add([], [kept.partition])
    assert pieces_of(pieces.waiting) == [([1], [1])]
