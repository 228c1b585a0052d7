"""Several ticks of each host at once: alerts jump from one tick that changes something to the next.

The same as `AlertTable.step` for one tick after another; most ticks of a batch change nothing, and cost nothing here.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fleetpulse.frames import Int64Array
from fleetpulse.rules.machine import FIRING, NEVER, PENDING, AlertTable, BoolArray, IntArray, Tick, Transition


class _Course(NamedTuple):
    """Ticks of s slots, r at most: `at_ms` int64[s, r] ascending, of which the first `ticks` intp[s] are some.

    `given` intp[s, r] is the place in the tick's results, -1 where the slot has none.
    """

    slots: IntArray
    ticks: IntArray
    at_ms: Int64Array
    given: IntArray


def step_all(table: AlertTable, tick: Tick) -> list[Transition]:
    """Evaluate; in `tick` a host may have several ticks, the older first, and all are warm."""
    course = _course(table, tick)
    if not len(course.slots):
        return []
    if not len(tick.slots):  # nobody has a result, and the place -1 of `given` has to be one
        nothing = np.zeros((table.levels, 1), dtype=np.bool_)
        tick = replace(tick, values=np.zeros(1), truth=nothing, recovered=nothing)
    ranks = np.arange(course.at_ms.shape[1])
    late = (course.at_ms <= table.last_eval[course.slots][:, None]) & (ranks < course.ticks[:, None])
    table.late += int(np.count_nonzero(late & ((course.given >= 0) | table.busy_of(course.slots)[:, None])))
    begin = late.sum(axis=1)
    transitions: list[Transition] = []
    while True:
        left = np.flatnonzero(begin < course.ticks)
        if not len(left):
            return sorted(transitions, key=lambda transition: transition.at_ms)
        part = _Course(*(each[left] for each in course))
        changes = ~_steady(table, part, begin[left], tick)
        changes &= (ranks >= begin[left][:, None]) & (ranks < part.ticks[:, None])
        end = np.where(changes.any(axis=1), changes.argmax(axis=1), part.ticks)
        _pass(table, part, begin[left], end, tick)
        now = np.flatnonzero(end < part.ticks)
        if len(now):
            slots, at = part.slots[now], part.at_ms[now, end[now]]
            transitions += table.apply(slots, at, part.given[now, end[now]], tick)
        begin[left] = end + 1


def _course(table: AlertTable, tick: Tick) -> _Course:
    """The slots with results, and the busy ones of the hosts, at all ticks of their hosts."""
    order = np.argsort(tick.hosts, kind="stable")
    starts = np.flatnonzero(np.diff(tick.hosts[order], prepend=-1))
    hosts, counts = tick.hosts[order][starts], np.diff(starts, append=len(order))
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order)) - np.repeat(starts, counts)
    busy = table.busy()
    busy = busy[~table.no_data[busy] & np.isin(table.host[busy], hosts)]
    slots = np.union1d(tick.slots, busy)
    place = np.searchsorted(hosts, table.host[slots])
    count = counts[place]
    ranks = np.arange(int(count.max(initial=0)))
    at_ms = tick.at_ms[order][starts[place][:, None] + np.minimum(ranks, count[:, None] - 1)]
    given = np.full(at_ms.shape, -1, dtype=np.intp)
    given[np.searchsorted(slots, tick.slots), rank[tick.rows]] = np.arange(len(tick.slots))
    return _Course(slots, count, at_ms, given)


def _steady(table: AlertTable, course: _Course, begin: IntArray, tick: Tick) -> BoolArray:
    """bool[s, r]: ticks that would change nothing but what `_pass` notes, if none before them changed more."""
    slots, at, present = course.slots, course.at_ms, course.given >= 0
    truth = tick.truth[:, course.given] & present
    staying = table.recovery[:, :, None] & ~tick.recovered[:, course.given] & present
    phase, since, false_since = (a[:, slots, None] for a in (table.phase, table.since, table.false_since))
    true = truth | (staying & (phase == FIRING))
    waits = np.where(phase == FIRING, at - false_since < table.policy.keep_ms, at - since < table.policy.for_ms)
    goes_on = np.where(
        phase == FIRING,
        np.where(false_since == NEVER, true, ~true & waits),
        np.where(phase == PENDING, true & waits, ~true),
    ).all(axis=0)
    before = np.concatenate([at[:, :1], at[:, :-1]], axis=1)
    before[np.arange(len(slots)), begin] = table.last_eval[slots]
    lapse = (at - before > table.policy.silent_ms) & (before > NEVER)
    moved = table.held[slots] | table.stale[slots] | table.changes.flapping[slots]
    moved |= table.severity_of(slots) != table.severity[slots]
    idle = ~table.busy_of(slots)[:, None]
    steady: BoolArray = goes_on & (idle | ~(lapse | moved[:, None]))
    return steady


def _pass(table: AlertTable, course: _Course, begin: IntArray, end: IntArray, tick: Tick) -> None:
    """Note the steady ticks from `begin` to before `end`."""
    ranks = np.arange(course.at_ms.shape[1])
    inside = (ranks >= begin[:, None]) & (ranks < end[:, None])
    present = inside & (course.given >= 0)
    taken = present | (inside & table.busy_of(course.slots)[:, None])
    true = present & tick.truth[:, course.given].any(axis=0)
    for noted, cells in ((table.last_eval, taken), (table.last_true, true)):
        some = np.flatnonzero(cells.any(axis=1))
        noted[course.slots[some]] = course.at_ms[some, _last(cells[some])]
    some = np.flatnonzero(present.any(axis=1))
    table.value[course.slots[some]] = tick.values[course.given[some, _last(present[some])]]


def _last(cells: BoolArray) -> IntArray:
    """intp[s]: the last place with True of each row."""
    last: IntArray = cells.shape[1] - 1 - cells[:, ::-1].argmax(axis=1)
    return last
