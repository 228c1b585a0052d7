"""The state machine of alerts: inactive → pending → firing → resolved, over arrays of alerts of one rule.

Pure: every time is an argument, in milliseconds. The same code runs live, in unit tests, back-tests and explain.

A rule has one or more *levels*, lowest severity first (``warning``, ``critical``; an ordinary Prometheus rule
has one). Each level is a Prometheus alert of its own with the rule's ``for`` and ``keep_firing_for``:

    inactive ──true──▶ pending ──true for `for`──▶ firing ──false for `keep_firing_for`──▶ inactive
        ▲───────false──────┘                         └── stays while `recovery` is given and does not hold

and the alert has the severity of its highest firing level: one alert that changes severity. It resolves when no
level fires. Timers run on the host's event time; time in which a host was silent, its windows were not warm or
its clock jumped does not count: the timers stand still ("held"). A silent host never resolves anything: a firing
alert is marked stale, a pending one waits, and a rule with `no_data` fires an alert about the silence itself.

Source of the single level: Prometheus, rules/alerting.go (`AlertingRule.Eval`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.rules.flapping import Changes, Flapping

IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

INACTIVE, PENDING, FIRING = 0, 1, 2
NEVER = -(2**62)  # no such time: older than any sample
NOBODY = -2  # the host of a slot that is free
SOURCE = -1  # in the place of a host: what brings the hosts
DEFAULT_SILENT_MS = 300_000  # a rule without no_data: Prometheus' lookback
_FIRST_SLOTS = 16


class Reason(StrEnum):
    """Why a transition happened."""

    THRESHOLD = "threshold"
    SEVERITY_CHANGED = "severity_changed"
    RECOVERED = "recovered"
    SERIES_GONE = "series_gone"
    NO_DATA = "no_data"
    DATA_RETURNED = "data_returned"
    RULE_CHANGED = "rule_changed"
    RULE_DELETED = "rule_deleted"
    HOST_DEPARTED = "host_departed"
    FLAPPING = "flapping"
    FLAPPING_ENDED = "flapping_ended"


@dataclass(frozen=True, slots=True)
class Policy:
    """How one rule turns truth into transitions. Times in ms.

    `severities` names the levels, lowest first. `has_recovery` says which levels end by a recovery condition.
    `filters`: the expression itself compares, so a series that is not in the result may still exist. `flap`: when
    changes are withheld because there are too many; None: never.
    """

    severities: tuple[str, ...]
    for_ms: int = 0
    keep_ms: int = 0
    no_data_ms: int | None = None
    has_recovery: tuple[bool, ...] = ()
    filters: bool = False
    flap: Flapping | None = None

    @property
    def silent_ms(self) -> int:
        """Append time without the host after which it is silent for this rule."""
        return DEFAULT_SILENT_MS if self.no_data_ms is None else self.no_data_ms


@dataclass(frozen=True, slots=True)
class Transition:
    """One event of an alert. `severity` 0 is resolved, else the level's number from 1."""

    slot: int
    number: int
    at_ms: int
    reason: Reason
    severity: int
    previous: int
    stale: bool
    start_ms: int
    value: float
    flapping: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """All that the machine knows of one alert: what a restart must bring back. Lists have one item a level."""

    phase: list[int]
    since_ms: list[int]
    false_since_ms: list[int]
    severity: int
    start_ms: int
    number: int
    stale: bool
    held: bool
    last_true_ms: int
    last_eval_ms: int
    value: float
    no_data: bool
    flapping: bool = False
    changes_ms: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Tick:
    """One evaluation of a rule: `hosts` evaluated (intp[h], each once) at `at_ms` (int64[h]); `warm` bool[h].

    Results: `slots` (intp[r], each once) with `rows` (their position in `hosts`), `values` float64[r], and per
    level `truth` and `recovered` (bool[levels, r]). A busy alert of an evaluated host that is not among them has
    no result, that is: false.
    """

    hosts: IntArray
    at_ms: Int64Array
    warm: BoolArray
    slots: IntArray
    rows: IntArray
    values: Float64Array
    truth: BoolArray
    recovered: BoolArray


class AlertTable:
    """The alerts of one rule in one partition, by dense slot. `changed` collects slots whose memory is not saved."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.levels = len(policy.severities)
        self.size = 0
        self.late = 0
        self.changed: set[int] = set()
        self.recovery = np.array(policy.has_recovery or (False,) * self.levels, dtype=np.bool_)[:, None]
        self._row_of_host = np.full(_FIRST_SLOTS, -1, dtype=np.intp)
        self._no_data_slot: dict[int, int] = {}
        self._free: list[int] = []
        self.changes = Changes(policy.flap)
        self._allocate(_FIRST_SLOTS)

    def _allocate(self, capacity: int) -> None:
        def grown(name: str, dtype: npt.DTypeLike, fill: float, levels: bool = False) -> None:
            shape = (self.levels, capacity) if levels else (capacity,)
            new = np.full(shape, fill, dtype=dtype)
            if self.size:
                new[..., : self.size] = getattr(self, name)[..., : self.size]
            setattr(self, name, new)

        self.phase: npt.NDArray[np.int8]
        self.since: Int64Array
        self.false_since: Int64Array
        self.host: IntArray
        self.severity: npt.NDArray[np.int8]
        self.start: Int64Array
        self.number: Int64Array
        self.stale: BoolArray
        self.held: BoolArray
        self.no_data: BoolArray
        self.last_true: Int64Array
        self.last_eval: Int64Array
        self.value: Float64Array
        grown("phase", np.int8, INACTIVE, levels=True)
        grown("since", np.int64, NEVER, levels=True)
        grown("false_since", np.int64, NEVER, levels=True)
        grown("host", np.intp, NOBODY)
        grown("severity", np.int8, 0)
        grown("start", np.int64, NEVER)
        grown("number", np.int64, 0)
        for name in ("stale", "held", "no_data"):
            grown(name, np.bool_, False)
        grown("last_true", np.int64, NEVER)
        grown("last_eval", np.int64, NEVER)
        grown("value", np.float64, np.nan)
        self.changes.resize(capacity)
        self._capacity = capacity

    def add(self, host: int, no_data: bool = False) -> int:
        """A slot for a new alert of this host; one that is about the host's silence with `no_data`."""
        if self._free:
            slot = self._free.pop()
        else:
            if self.size == self._capacity:
                self._allocate(2 * self._capacity)
            slot = self.size
            self.size += 1
        self.host[slot] = host
        if no_data:
            self.no_data[slot] = True
            self._no_data_slot[host] = slot
        if host >= len(self._row_of_host):
            self._row_of_host = np.full(2 * (host + 1), -1, dtype=np.intp)
        return slot

    def release(self, slots: Iterable[int]) -> None:
        """Give back the slots of alerts that are over and will not come again."""
        for slot in slots:
            if self.no_data[slot]:
                self._no_data_slot.pop(int(self.host[slot]), None)
            self.phase[:, slot] = INACTIVE
            self.since[:, slot] = self.false_since[:, slot] = NEVER
            self.host[slot] = NOBODY
            self.severity[slot] = self.number[slot] = 0
            self.stale[slot] = self.held[slot] = self.no_data[slot] = False
            self.start[slot] = self.last_true[slot] = self.last_eval[slot] = NEVER
            self.value[slot] = np.nan
            self.changes.forget(slot)
            self.changed.discard(slot)
            self._free.append(slot)

    def idle(self, before_ms: int) -> IntArray:
        """Slots of series that were last evaluated before then, of which nothing is to be kept or written."""
        given = (self.host[: self.size] >= 0) & ~self.no_data[: self.size]
        old = np.flatnonzero(given & (self.last_eval[: self.size] < before_ms))
        kept = [slot in self.changed or self.memory(slot) is not None for slot in old.tolist()]
        return old[~np.array(kept, dtype=np.bool_)]

    def slots_of(self, host: int) -> IntArray:
        """Every slot of a host."""
        return np.flatnonzero(self.host[: self.size] == host)

    def no_data_slot(self, host: int) -> int | None:
        """The slot of the alert about this host's silence, if it has one."""
        return self._no_data_slot.get(host)

    def busy(self) -> IntArray:
        """The slots that are pending or firing."""
        active = self.phase[:, : self.size].any(axis=0) | (self.severity[: self.size] > 0)
        return np.flatnonzero(active)

    def busy_of(self, slots: IntArray) -> BoolArray:
        """bool[n]: which of the slots are pending or firing."""
        busy: BoolArray = self.phase[:, slots].any(axis=0) | (self.severity[slots] > 0)
        return busy

    def severity_of(self, slots: IntArray) -> npt.NDArray[np.int8]:
        """int8[n]: the highest firing level of the slots, from 1; 0 is none."""
        numbers = np.arange(1, self.levels + 1, dtype=np.int8)[:, None]
        highest: npt.NDArray[np.int8] = np.where(self.phase[:, slots] == FIRING, numbers, 0).max(axis=0)
        return highest

    def busy_hosts(self) -> IntArray:
        """The hosts with a pending or firing alert of a series."""
        busy = self.busy()
        return self.host[busy[~self.no_data[busy]]]

    def step(self, tick: Tick) -> list[Transition]:
        """Evaluate: the transitions, in order of time. An alert's tick that is not newer than its last is late."""
        slots, rows, given = self._concerned(tick)
        at = tick.at_ms[rows]
        newer = at > self.last_eval[slots]
        self.late += int(np.count_nonzero(~newer))
        warm = tick.warm[rows]
        self._hold(slots[newer & ~warm])
        go = newer & warm
        return self.apply(slots[go], at[go], given[go], tick) if go.any() else []

    def apply(self, slots: IntArray, at: Int64Array, given: IntArray, tick: Tick) -> list[Transition]:
        """Evaluate distinct slots at warm ticks `at` that are newer than their last.

        `given` are the places in the tick's results, -1 where there is none.
        """
        present = given >= 0
        self._thaw(slots, at)
        self.value[slots[present]] = tick.values[given[present]]
        truth = np.zeros((self.levels, len(slots)), dtype=np.bool_)
        truth[:, present] = tick.truth[:, given[present]]
        staying = np.zeros_like(truth)
        staying[:, present] = self.recovery & ~tick.recovered[:, given[present]]
        self._advance(slots, at, truth, staying)
        self.last_eval[slots] = at
        self.last_true[slots] = np.where(truth.any(axis=0), at, self.last_true[slots])
        return self._settle(slots, at, present)

    def _concerned(self, tick: Tick) -> tuple[IntArray, IntArray, IntArray]:
        # Slots with a result, then busy ones of the evaluated hosts without (their place in the results is -1).
        busy = self.busy()
        busy = busy[~self.no_data[busy]]
        known = tick.hosts < len(self._row_of_host)
        hosts = tick.hosts[known]
        self._row_of_host[hosts] = np.flatnonzero(known)
        rows = self._row_of_host[self.host[busy]]
        self._row_of_host[hosts] = -1
        absent = (rows >= 0) & ~np.isin(busy, tick.slots)
        count = int(np.count_nonzero(absent))
        return (
            np.concatenate([tick.slots, busy[absent]]),
            np.concatenate([tick.rows, rows[absent]]),
            np.concatenate([np.arange(len(tick.slots)), np.full(count, -1, dtype=np.intp)]),
        )

    def _hold(self, slots: IntArray) -> None:
        active = self.phase[:, slots].any(axis=0) & ~self.held[slots]
        self.held[slots[active]] = True
        self.changed.update(slots[active].tolist())

    def _thaw(self, slots: IntArray, at: Int64Array) -> None:
        # Time that was not observed does not count: push the timers forward by it.
        seen = self.last_eval[slots] > NEVER
        elapsed = np.where(seen, at - np.where(seen, self.last_eval[slots], 0), 0)
        frozen = self.held[slots] | (elapsed > self.policy.silent_ms)
        if not frozen.any():
            return
        moved, by = slots[frozen], elapsed[frozen]
        for timer in (self.since, self.false_since):
            chosen = timer[:, moved]
            timer[:, moved] = np.where(chosen > NEVER, chosen + by, chosen)
        self.held[moved] = False
        self.changed.update(moved[self.phase[:, moved].any(axis=0)].tolist())

    def _advance(self, slots: IntArray, at: Int64Array, truth: BoolArray, staying: BoolArray) -> None:
        before = (self.phase[:, slots], self.since[:, slots], self.false_since[:, slots])
        phase, since, false_since = (array.copy() for array in before)
        true = truth | (staying & (phase == FIRING))
        # 1. true: inactive becomes pending, pending long enough becomes firing
        starts = true & (phase == INACTIVE)
        since[starts] = np.broadcast_to(at, since.shape)[starts]
        phase[starts] = PENDING
        phase[true & (phase == PENDING) & (at - since >= self.policy.for_ms)] = FIRING
        false_since[true] = NEVER
        # 2. false: pending is over at once, firing after keep_firing_for
        phase[~true & (phase == PENDING)] = INACTIVE
        ending = ~true & (phase == FIRING)
        first = ending & (false_since == NEVER)
        false_since[first] = np.broadcast_to(at, false_since.shape)[first]
        phase[ending & (at - false_since >= self.policy.keep_ms)] = INACTIVE
        idle = phase == INACTIVE
        since[idle] = NEVER
        false_since[idle] = NEVER
        self.phase[:, slots], self.since[:, slots], self.false_since[:, slots] = phase, since, false_since
        differs = (phase != before[0]) | (since != before[1]) | (false_since != before[2])
        self.changed.update(slots[differs.any(axis=0)].tolist())

    def _settle(self, slots: IntArray, at: Int64Array, present: BoolArray) -> list[Transition]:
        # The alert's severity is the highest firing level; a transition where it, or staleness, changes.
        severity = self.severity_of(slots)
        moved = (severity != self.severity[slots]) | self.stale[slots] | (severity != self.changes.seen[slots])
        places = np.flatnonzero(moved | self.changes.flapping[slots])
        transitions = []
        for i in places[np.argsort(at[places], kind="stable")].tolist():
            gone = not present[i] and not self.policy.filters
            transition = self._told(int(slots[i]), int(at[i]), int(severity[i]), gone)
            transitions += [transition] if transition else []
        return transitions

    def _told(self, slot: int, at_ms: int, level: int, gone: bool) -> Transition | None:
        # `level` is what fires now; while the alert flaps, what was told goes only up.
        flapped, old = bool(self.changes.flapping[slot]), int(self.severity[slot])
        changed, flaps = self.changes.note(slot, at_ms, level)
        if changed:
            self.changed.add(slot)
        new = max(level, old) if flaps else level
        if new == old and flaps == flapped and not self.stale[slot]:
            return None
        if not old:
            reason = Reason.THRESHOLD
        elif not new:
            reason = Reason.SERIES_GONE if gone else Reason.RECOVERED
        elif new != old:
            reason = Reason.SEVERITY_CHANGED
        elif flaps != flapped:
            reason = Reason.FLAPPING if flaps else Reason.FLAPPING_ENDED
        else:
            reason = Reason.DATA_RETURNED
        return self._move(slot, at_ms, new, reason)

    def forget_changes(self, before_ms: int) -> None:
        """Alerts that are over and last changed before then: nothing of them is worth a record any more."""
        old = self.changes.before(before_ms)
        for slot in old[~self.busy_of(old)].tolist():
            self.changes.forget(slot)
            self.changed.add(slot)

    def _move(self, slot: int, at_ms: int, severity: int, reason: Reason, stale: bool = False) -> Transition:
        previous = int(self.severity[slot])
        if not previous:
            self.start[slot] = at_ms
            self.number[slot] = 0
        self.severity[slot] = severity
        self.stale[slot] = stale
        self.number[slot] += 1
        self.changed.add(slot)
        return Transition(
            slot=slot,
            number=int(self.number[slot]),
            at_ms=at_ms,
            reason=reason,
            severity=severity,
            previous=previous,
            stale=stale,
            start_ms=int(self.start[slot]),
            value=float(self.value[slot]),
            flapping=bool(self.changes.flapping[slot]),
        )

    def fall_silent(self, silent: Sequence[tuple[int, int]], tell: bool = True) -> list[Transition]:
        """Hosts (host, since when) that fell silent: firing alerts turn stale, pending ones wait, no_data fires.

        The alert about silence fires where the rule has `no_data`, the host has a slot for it, and no other alert
        of the rule fires for that host; not unless `tell`.
        """
        transitions = []
        busy = self.busy()
        for host, at_ms in silent:
            own = busy[(self.host[busy] == host) & ~self.no_data[busy]]
            self._hold(own)
            firing = own[self.severity[own] > 0]
            transitions += [
                self._move(slot, at_ms, int(self.severity[slot]), Reason.NO_DATA, stale=True)
                for slot in firing[~self.stale[firing]].tolist()
            ]
            about = self._no_data_slot.get(host)
            if tell and about is not None and not len(firing) and not self.severity[about]:
                self.last_true[about] = self.last_eval[about] = at_ms
                self.value[about] = self.policy.silent_ms / 1000
                transitions.append(self._move(about, at_ms, 1, Reason.NO_DATA))
        return transitions

    def data_returned(self, returned: Sequence[tuple[int, int]]) -> list[Transition]:
        """Hosts (host, when) that sent again: alerts about their silence resolve; the rest waits for its next tick."""
        transitions = []
        for host, at_ms in returned:
            about = self._no_data_slot.get(host)
            if about is not None and self.severity[about]:
                self.value[about] += (at_ms - self.start[about]) / 1000
                transitions.append(self._move(about, at_ms, 0, Reason.DATA_RETURNED))
        return transitions

    def tell_of_source(self, slot: int, at_ms: int, silent: bool, share: float) -> list[Transition]:
        """The alert about the source of the hosts fires or ends; `share` of them are silent."""
        self.value[slot] = share
        if silent == bool(self.severity[slot]):
            return []
        if silent:
            self.last_true[slot] = self.last_eval[slot] = at_ms
        reason = Reason.NO_DATA if silent else Reason.DATA_RETURNED
        return [self._move(slot, at_ms, self.levels if silent else 0, reason)]

    def close(self, slots: Iterable[int], at_ms: int, reason: Reason) -> list[Transition]:
        """End these alerts because their rule changed or went: firing ones resolve, pending ones are forgotten."""
        transitions = []
        for slot in slots:
            self.phase[:, slot] = INACTIVE
            self.since[:, slot] = self.false_since[:, slot] = NEVER
            self.changes.forget(slot)
            self.changed.add(slot)
            if self.severity[slot]:
                transitions.append(self._move(slot, at_ms, 0, reason))
        return transitions

    def memory(self, slot: int) -> Memory | None:
        """What a restart needs of this alert; None when it is neither pending nor firing, nor was of late."""
        changes_ms = self.changes.times(slot)
        if not self.severity[slot] and not self.phase[:, slot].any() and not changes_ms:
            return None
        return Memory(
            phase=self.phase[:, slot].tolist(),
            since_ms=self.since[:, slot].tolist(),
            false_since_ms=self.false_since[:, slot].tolist(),
            severity=int(self.severity[slot]),
            start_ms=int(self.start[slot]),
            number=int(self.number[slot]),
            stale=bool(self.stale[slot]),
            held=bool(self.held[slot]),
            last_true_ms=int(self.last_true[slot]),
            last_eval_ms=int(self.last_eval[slot]),
            value=float(self.value[slot]),
            no_data=bool(self.no_data[slot]),
            flapping=bool(self.changes.flapping[slot]),
            changes_ms=changes_ms,
        )

    def restore(self, host: int, memory: Memory, slot: int | None = None) -> int:
        """The slot (a new one for None) of an alert brought back. Levels that the rule lost are dropped."""
        if slot is None:
            slot = self.add(host, memory.no_data)
        count = min(self.levels, len(memory.phase))
        self.phase[:count, slot] = memory.phase[:count]
        self.since[:count, slot] = memory.since_ms[:count]
        self.false_since[:count, slot] = memory.false_since_ms[:count]
        self.severity[slot] = min(memory.severity, self.levels)
        self.start[slot], self.number[slot] = memory.start_ms, memory.number
        self.stale[slot], self.held[slot] = memory.stale, memory.held
        self.last_true[slot], self.last_eval[slot] = memory.last_true_ms, memory.last_eval_ms
        self.value[slot] = memory.value
        level = int(self.severity_of(np.array([slot]))[0])
        self.changes.restore(slot, level, memory.flapping, memory.changes_ms)
        return slot
