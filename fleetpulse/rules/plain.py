"""Plain ticks: of hosts that send blocks of a known form, each newer than all before. They need no rounds.

Nearly all ticks are plain. They are sorted once, written into the windows ticks at a time, and evaluated together.
All ticks of a host that sends anything else in a batch take the other way (`Intake.rounds`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fleetpulse.frames import Int64Array
from fleetpulse.promql.rings import BoolArray, IntArray
from fleetpulse.rules.intake import Columns, Entry, Shape
from fleetpulse.rules.needs import SPAN_MS
from fleetpulse.rules.span import Span


class Write(NamedTuple):
    """What goes into the windows of a shape: ticks by host, ascending; `rank` numbers those of a host from 0."""

    shape: Shape
    rank: IntArray
    columns: Columns


class Stretch(NamedTuple):
    """To be written, then evaluated, before the next one."""

    writes: list[Write]
    span: Span


def stretches(entries: Sequence[Entry], newest_ms: Int64Array) -> tuple[list[Stretch], set[int]]:
    """The ticks as stretches, in order, and the hosts that are not plain: none of theirs is in a stretch.

    `newest_ms` int64[hosts] is the newest time that each host sent before.
    """
    host = np.array([entry.host for entry in entries], dtype=np.intp)
    ts = np.array([entry.ts for entry in entries], dtype=np.int64)
    numbers: dict[Shape, int] = {}
    kind = np.array([numbers.setdefault(entry.shape, len(numbers)) for entry in entries], dtype=np.intp)
    order = np.argsort(host, kind="stable")
    host, ts, kind = host[order], ts[order], kind[order]
    same = host[1:] == host[:-1]
    wrong = np.zeros(len(host), dtype=np.bool_)
    again = same & (ts[1:] == ts[:-1])
    wrong[1:] = (same & (ts[1:] < ts[:-1])) | (again & (kind[1:] <= kind[:-1]))
    if again.any():
        offset = np.array([entry.offset for entry in entries], dtype=np.int64)[order]
        wrong[1:] |= again & (offset[1:] != offset[:-1])
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    wrong[starts] = ts[starts] <= newest_ms[host[starts]]
    others = np.unique(host[wrong])
    if len(others):
        kept = ~np.isin(host, others)
        host, ts, kind, order = host[kept], ts[kept], kind[kept], order[kept]
    if not len(host):
        return [], set(others.tolist())
    first = np.concatenate([[True], host[1:] != host[:-1]])
    since = ts - np.repeat(ts[first], np.diff(np.flatnonzero(first), append=len(host)))
    part = since // (SPAN_MS + 1)
    shapes = list(numbers)
    return [
        _stretch(entries, shapes, host[chosen], ts[chosen], kind[chosen], order[chosen])
        for number in range(int(part.max()) + 1)
        if (chosen := part == number).any()
    ], set(others.tolist())


def _stretch(
    entries: Sequence[Entry], shapes: list[Shape], host: IntArray, ts: Int64Array, kind: IntArray, order: IntArray
) -> Stretch:
    fresh = np.ones(len(host), dtype=np.bool_)
    fresh[1:] = (host[1:] != host[:-1]) | (ts[1:] != ts[:-1])
    row = np.cumsum(fresh) - 1
    writes, of_shape = [], {}
    appended = np.array([entries[place].appended_ms for place in order.tolist()], dtype=np.int64)
    for number in np.unique(kind).tolist():
        own = np.flatnonzero(kind == number)
        shape, hosts = shapes[number], host[own]
        packed = b"".join([entries[place].row for place in order[own].tolist()])
        values = np.frombuffer(packed, dtype="<f8").reshape(len(own), shape.width)
        writes.append(Write(shape, _rank(hosts), Columns(hosts, ts[own], values, appended[own])))
        of_shape[shape] = (row[own], appended[own])
    span = Span.plain(host[fresh], ts[fresh], of_shape)
    return Stretch(writes, span)


def _rank(hosts: IntArray) -> IntArray:
    """intp[n]: how many of the same host come before; the hosts are sorted."""
    starts = _starts(hosts)
    rank: IntArray = np.arange(len(hosts)) - np.repeat(starts, np.diff(starts, append=len(hosts)))
    return rank


def _starts(hosts: IntArray) -> IntArray:
    changes: BoolArray = np.ones(len(hosts), dtype=np.bool_)
    changes[1:] = hosts[1:] != hosts[:-1]
    return np.flatnonzero(changes)
