"""A stretch of ticks that are in the windows and not evaluated yet: what numpy then evaluates in one go.

A rule reads of a window only what is not newer than its tick. So ticks of one host may be evaluated after several
of them are in, as long as each is newer than all that the host sent before, and the windows keep what the oldest
of them reads (`SPAN_MS` more than the rules' ranges).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fleetpulse.frames import Int64Array
from fleetpulse.promql.rings import IntArray
from fleetpulse.rules.intake import Columns, Shape
from fleetpulse.rules.needs import SPAN_MS

_AFTER = 2**62


Rows = tuple[IntArray, Int64Array]  # rows that a shape has, and the append times of the messages that brought them


class Touched(NamedTuple):
    """`rules` that may select something new of `rows`, ascending (None: all).

    `appended_ms` int64[2, rows]: append times of the first and of the last message that brought them a part of a row.
    """

    rules: list[int]
    rows: IntArray | None
    appended_ms: Int64Array


class Span:
    """Rows are numbered as they are added; a row is one host's tick. `hosts` is the number of hosts there may be."""

    def __init__(self, hosts: int) -> None:
        self._first: Int64Array = np.full(hosts, _AFTER, dtype=np.int64)
        self._row_of: IntArray = np.full(hosts, -1, dtype=np.intp)
        self._hosts: list[IntArray] = []
        self._ts: list[Int64Array] = []
        self._of_shape: dict[Shape, list[Rows]] = {}
        self._rounds = 0
        self._count = 0

    @classmethod
    def plain(cls, host: IntArray, at_ms: Int64Array, of_shape: Mapping[Shape, Rows]) -> "Span":
        """Rows that are known already: ascending by host and time; `of_shape` are the rows that each shape has."""
        span = cls(0)
        span._hosts, span._ts, span._count = [host], [at_ms], len(host)
        span._of_shape = {shape: [rows] for shape, rows in of_shape.items()}
        span._rounds = 2 if (host[1:] == host[:-1]).any() else 1
        return span

    def __len__(self) -> int:
        return self._count

    def takes(self, columns: Columns) -> bool:
        """Whether the ticks are near enough to the hosts' first ones here."""
        return bool((columns.ts - self._first[columns.hosts] <= SPAN_MS).all())

    def add(self, round_: Sequence[tuple[Shape, Columns]]) -> None:
        """Add a round: each host has one time in it, and perhaps several shapes."""
        self._rounds += 1
        for shape, columns in round_:
            rows = self._rows(columns) if len(round_) == 1 else self._shared_rows(columns)
            self._of_shape.setdefault(shape, []).append((rows, columns.appended_ms))
        if len(round_) > 1:
            for _, columns in round_:
                self._row_of[columns.hosts] = -1

    def _rows(self, columns: Columns) -> IntArray:
        rows = np.arange(self._count, self._count + len(columns.hosts))
        self._count += len(rows)
        self._hosts.append(columns.hosts)
        self._ts.append(columns.ts)
        self._first[columns.hosts] = np.minimum(self._first[columns.hosts], columns.ts)
        return rows

    def _shared_rows(self, columns: Columns) -> IntArray:
        unknown = self._row_of[columns.hosts] < 0
        if unknown.any():
            hosts = columns.hosts[unknown]
            self._row_of[hosts] = self._rows(columns._replace(hosts=hosts, ts=columns.ts[unknown]))
        return self._row_of[columns.hosts]

    def host(self) -> IntArray:
        """intp[rows]: each row's host."""
        return np.concatenate(self._hosts)

    def at_ms(self) -> Int64Array:
        """int64[rows]: each row's time."""
        return np.concatenate(self._ts)

    def newer(self, host: IntArray) -> Int64Array | None:
        """int64[rows]: how many rows of the same host come after each; None when no host has two."""
        if self._rounds == 1:
            return None
        order = np.argsort(host, kind="stable")
        ends = np.flatnonzero(np.diff(host[order], append=-1))
        last = np.repeat(ends, np.diff(ends, prepend=-1))
        newer = np.empty(len(host), dtype=np.int64)
        newer[order] = last - np.arange(len(host))
        return newer

    def touched(self) -> Iterator[Touched]:
        """What is to be evaluated, each rule once."""
        if len(self._of_shape) == 1:
            shape = next(iter(self._of_shape))
            yield Touched(sorted(shape.rules or ()), None, self._appended([shape]))
            return
        shapes_of: dict[int, list[Shape]] = {}
        for shape in self._of_shape:
            for rule in shape.rules or ():
                shapes_of.setdefault(rule, []).append(shape)
        alike: dict[tuple[Shape, ...], list[int]] = {}
        for rule in sorted(shapes_of):
            alike.setdefault(tuple(shapes_of[rule]), []).append(rule)
        for shapes, rules in alike.items():
            rows = np.unique(np.concatenate([rows for shape in shapes for rows, _ in self._of_shape[shape]]))
            yield Touched(rules, rows, self._appended(shapes)[:, rows])

    def _appended(self, shapes: Iterable[Shape]) -> Int64Array:
        """int64[2, rows of the span]: of the parts that these shapes have of a row, the first and the last."""
        appended = np.empty((2, self._count), dtype=np.int64)
        appended[0], appended[1] = _AFTER, -_AFTER
        for rows, appended_ms in (each for shape in shapes for each in self._of_shape[shape]):
            appended[0, rows] = np.minimum(appended[0, rows], appended_ms)  # a shape has a row once
            appended[1, rows] = np.maximum(appended[1, rows], appended_ms)
        return appended

    def samples_of(self, rows: np.ndarray) -> int:
        """The samples that rules select of the rows with True in bool[rows]."""
        return sum(
            shape.matched * int(np.count_nonzero(rows[part]))
            for shape, parts in self._of_shape.items()
            for part, _ in parts
        )
