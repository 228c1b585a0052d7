"""Ledger rows as ranges of offsets: one way through each partition that leaves nothing out. Pure.

A worker that lost a partition without noticing may write a row over offsets that the next owner wrote too. Both read
the same messages, so either row is right; added up is one row for each offset.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple


class Place(NamedTuple):
    """A partition of one incarnation of a topic."""

    topic: str
    partition: int
    incarnation: int


class Range(NamedTuple):
    """One row of the ledger: offsets [first, next). `lost`: messages before it that were gone, as ingest saw it."""

    place: Place
    first: int
    next: int
    lost: int = 0


class Hole(NamedTuple):
    """Offsets [first, next) that no row of the ledger accounts for; `problem` says in which way."""

    place: Place
    first: int
    next: int
    problem: str


@dataclass
class Tiling:
    """`left_out` are rows that may not be added up; `contested` those of the others that share offsets with one."""

    left_out: list[Range] = field(default_factory=list)
    contested: list[Range] = field(default_factory=list)
    twice: list[Range] = field(default_factory=list)  # of these, one of several rows of the same range is added up
    holes: list[Hole] = field(default_factory=list)
    lost: dict[Place, int] = field(default_factory=dict)  # messages that Kafka deleted before they were read


def tile(ranges: Iterable[Range]) -> Tiling:
    """Choose the rows to add up."""
    tiling = Tiling()
    ordered = sorted(ranges, key=attrgetter("place", "first", "next"))
    for place, of_place in groupby(ordered, key=attrgetter("place")):
        _tile_one(tiling, place, list(of_place))
    return tiling


def _tile_one(tiling: Tiling, place: Place, rows: list[Range]) -> None:
    distinct: list[Range] = []
    for row in rows:
        if distinct and distinct[-1][:3] == row[:3]:
            if row[:3] not in {other[:3] for other in tiling.twice[-1:]}:
                tiling.twice.append(row)
            distinct[-1] = row._replace(lost=max(row.lost, distinct[-1].lost))
        else:
            distinct.append(row)
    begin = 0
    reached: int | None = None
    while begin < len(distinct):
        if reached is not None:
            _note_hole(tiling, place, reached, distinct[begin])
        path, reached = _longest_path(distinct, begin)
        chosen = set(path)
        after = next((at for at in range(begin, len(distinct)) if distinct[at].first >= reached), len(distinct))
        overhang = [at for at in range(begin, after) if at not in chosen and distinct[at].next > reached]
        if overhang:  # rows that share offsets and do not meet: no way leads on without counting something twice
            furthest = max(distinct[at].next for at in overhang)
            tiling.holes.append(Hole(place, reached, furthest, "overlap"))
            reached = furthest
            after = next((at for at in range(after, len(distinct)) if distinct[at].first >= reached), len(distinct))
        _share_out(tiling, distinct[begin:after], {distinct[at] for at in path})
        begin = after


def _longest_path(rows: list[Range], begin: int) -> tuple[list[int], int]:
    """Places of rows that follow one another without a hole, from the first row as far as possible; and the end."""
    start = rows[begin].first
    came_by: dict[int, int] = {start: -1}  # offset → the row that ends there
    furthest = start
    for at in range(begin, len(rows)):
        row = rows[at]
        if row.first > furthest:
            break
        if row.first in came_by and row.next not in came_by:
            came_by[row.next] = at
            furthest = max(furthest, row.next)
    path = []
    offset = furthest
    while came_by[offset] >= 0:
        path.append(came_by[offset])
        offset = rows[came_by[offset]].first
    return path[::-1], furthest


def _share_out(tiling: Tiling, rows: list[Range], chosen: set[Range]) -> None:
    left_out = [row for row in rows if row not in chosen]
    tiling.left_out += left_out
    for row in chosen:
        if any(other.first < row.next and row.first < other.next for other in left_out):
            tiling.contested.append(row)


def _note_hole(tiling: Tiling, place: Place, reached: int, row: Range) -> None:
    messages = row.first - reached
    if messages <= 0:
        return
    if row.lost:
        tiling.lost[place] = tiling.lost.get(place, 0) + min(messages, row.lost)
    if row.lost < messages:
        tiling.holes.append(Hole(place, reached, row.first - row.lost, "missing"))
