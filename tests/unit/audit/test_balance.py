"""The balance of a host and hour, the way through a partition's rows, the gaps in a producer's numbers."""

import itertools
import random

import pytest

from stream_processors.audit.account import Arrived, Books, Dead, Dropped, Row, account
from stream_processors.audit.coverage import Gap, Island, gaps, uncovered
from stream_processors.audit.ranges import Hole, Place, Range, tile

KEY = ("h", 5)
PLACE = Place("t", 0, 0)


def row(books: Books) -> Row:
    [one] = account(books, 0).rows
    return one


def explained(one: Row) -> dict[str, int]:
    names = ("sent", "stored", "duplicate", "refused", "dead", "dropped", "lost", "pending", "unexplained")
    return {name: getattr(one, name) for name in names if getattr(one, name)}


def test_what_arrived_is_stored_duplicate_or_refused() -> None:
    one = row(Books({KEY: Arrived(10, refused=2, known=3)}, {KEY: 5}))
    assert explained(one) == {"sent": 10, "stored": 5, "duplicate": 3, "refused": 2}


@pytest.mark.parametrize(("stored", "unexplained"), [(4, 1), (5, 0), (6, -1), (0, 5)])
def test_the_table_must_have_exactly_the_rest(stored: int, unexplained: int) -> None:
    one = row(Books({KEY: Arrived(10, refused=2, known=3)}, {KEY: stored}))
    assert (one.unexplained, one.sent) == (unexplained, 10)


@pytest.mark.parametrize(("stored", "duplicate", "unexplained"), [(4, 3, 1), (5, 3, 0), (7, 1, 0), (8, 1, -1)])
def test_what_may_be_a_workers_own_may_be_stored(stored: int, duplicate: int, unexplained: int) -> None:
    one = row(Books({KEY: Arrived(10, refused=2, known=3, unsure=2)}, {KEY: stored}))
    assert (one.duplicate, one.unexplained, one.sent) == (duplicate, unexplained, 10)


@pytest.mark.parametrize(("stored", "pending", "unexplained"), [(9, 4, 1), (10, 4, 0), (12, 2, 0), (15, 0, -1)])
def test_what_waits_may_be_stored_meanwhile(stored: int, pending: int, unexplained: int) -> None:
    one = row(Books({KEY: Arrived(10)}, {KEY: stored}, waiting={KEY: 4}))
    assert (one.pending, one.unexplained, one.sent) == (pending, unexplained, 14)


def test_samples_of_nobody_are_too_many() -> None:
    report = account(Books({}, {KEY: 3}), 0)
    assert (report.unexplained, report.balanced, report.rows[0].unexplained, report.rows[0].sent) == (3, False, -3, 0)


def test_earlier_hours_are_left_out() -> None:
    assert account(Books({KEY: Arrived(1)}, {}), 6).balanced


GAP = {("p", "h"): [Gap(7, 5, appended_ms=1000)]}
CLOSED = frozenset("p")


@pytest.mark.parametrize(
    ("books", "becomes"),
    [
        (Books({}, {}, gaps=GAP, pending_since_ms=2000), {"unexplained": 7}),
        (Books({}, {}, gaps=GAP, pending_since_ms=500), {"pending": 7}),
        (Books({}, {}, gaps=GAP, pending_since_ms=500, closed=CLOSED), {"unexplained": 7}),
        (Books({}, {}, gaps=GAP, lossy_hosts=frozenset("h")), {"lost": 7}),
        (Books({}, {}, gaps=GAP, dropped=[Dropped("p", "h", 5, 7)], closed=CLOSED), {"dropped": 7}),
        (
            Books({}, {}, gaps=GAP, dropped=[Dropped("p", "h", 5, 4)], closed=CLOSED),
            {"dropped": 4, "unexplained": 3},
        ),
        (Books({}, {}, gaps=GAP, dropped=[Dropped("q", "h", 5, 7)], closed=CLOSED), {"dropped": 7, "unexplained": 7}),
        (Books({}, {}, gaps=GAP, dead=[Dead("p", "h", 5, 7, False)], closed=CLOSED), {"dead": 7}),
        (Books({}, {}, gaps=GAP, dead=[Dead("q", "h", 5, 7, False)], closed=CLOSED), {"dead": 7, "unexplained": 7}),
        (Books({}, {}, dead=[Dead("p", "h", 5, 7, False)]), {"dead": 7}),
        (Books({}, {}, dead=[Dead("p", "h", 5, 7, True)]), {"dead": 7}),
    ],
)  # fmt: skip
def test_what_a_gap_in_the_numbers_is(books: Books, becomes: dict[str, int]) -> None:
    assert explained(row(books)) == {"sent": sum(becomes.values()), **becomes}


def test_a_frame_that_nobody_could_decode_explains_the_gaps_of_all_its_hosts() -> None:
    found = {("p", host): [Gap(2, 5, 0)] for host in ("g", "h", "i")}
    report = account(Books({}, {}, gaps=found, dead=[Dead("p", "h", 5, 6, False)], closed=CLOSED), 0)
    assert {one.host: explained(one) for one in report.rows} == {host: {"sent": 2, "dead": 2} for host in "ghi"}


def rows_of(*pairs: tuple[int, int]) -> list[Range]:
    return [Range(PLACE, first, end) for first, end in pairs]


@pytest.mark.parametrize(
    ("pairs", "left_out", "contested", "holes"),
    [
        ([(0, 3), (3, 7)], [], [], []),
        ([(0, 3), (5, 7)], [], [], [(3, 5, "missing")]),
        ([(0, 3), (0, 5), (3, 4), (4, 9)], [(0, 5)], [(0, 3), (3, 4), (4, 9)], []),
        ([(0, 3), (0, 5), (3, 4), (5, 9)], [(0, 3), (3, 4)], [(0, 5)], []),
        ([(0, 5), (3, 9)], [(3, 9)], [(0, 5)], [(5, 9, "overlap")]),
        ([(4, 5), (5, 9)], [], [], []),
    ],
)
def test_a_way_through_the_rows(
    pairs: list[tuple[int, int]],
    left_out: list[tuple[int, int]],
    contested: list[tuple[int, int]],
    holes: list[tuple[int, int, str]],
) -> None:
    for order in itertools.permutations(rows_of(*pairs)):
        tiling = tile(order)
        assert sorted(one[1:3] for one in tiling.left_out) == left_out
        assert sorted(one[1:3] for one in tiling.contested) == contested
        assert tiling.holes == [Hole(PLACE, *hole) for hole in holes]


def test_rows_of_the_same_range_and_messages_that_kafka_deleted() -> None:
    tiling = tile([*rows_of((0, 3), (3, 5), (3, 5), (3, 5)), Range(PLACE, 9, 12, lost=4), Range(PLACE, 20, 21, lost=6)])
    assert (tiling.twice, tiling.left_out) == (rows_of((3, 5)), [])
    assert (tiling.lost, tiling.holes) == ({PLACE: 10}, [Hole(PLACE, 12, 14, "missing")])


def test_each_partition_has_a_way_of_its_own() -> None:
    other = Place("t", 1, 0)
    assert tile([Range(PLACE, 0, 3), Range(other, 5, 9), Range(PLACE._replace(incarnation=1), 0, 2)]).holes == []


def test_ways_through_rows_of_owners_that_overlap() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        rows, begin = [], 0
        while begin < 30:  # each owner begins where the furthest row before it ends, or was stopped before that
            at = begin
            for _ in range(chance.randrange(1, 4)):
                rows.append(Range(PLACE, at, at + chance.randrange(1, 6)))
                at = rows[-1].next
            if chance.random() < 0.5:  # another writes over it from the same place on
                late = begin
                while late < at:
                    rows.append(Range(PLACE, late, late + chance.randrange(1, 6)))
                    late = rows[-1].next
            begin = max(one.next for one in rows)
        tiling = tile(chance.sample(rows, len(rows)))
        chosen = {one[:3] for one in rows} - {one[:3] for one in tiling.left_out}
        assert sum(end - first for _, first, end in chosen) == begin
        assert tiling.holes == []


def test_gaps_and_what_is_not_covered() -> None:
    islands = [Island(20, 30, 2, 0), Island(0, 10, 1, 0), Island(5, 12, 1, 0), Island(30, 31, 3, 0)]
    assert gaps(islands) == [Gap(8, 2, 0)]
    assert gaps([]) == []
    assert uncovered(Island(8, 25, 0, 0), islands) == 8
    assert uncovered(Island(40, 45, 0, 0), islands) == 5
