"""One alerting rule in one partition: evaluations and silence in, alert events and state records out. Pure.

It names alerts: the state machine (`machine.py`) knows slots, the evaluator knows keys, people know labels.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields

import numpy as np

from fleetpulse.events import AlertEvent
from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.rules.alert_event import Subject, policy_of
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.course import step_all
from fleetpulse.rules.evaluation import Evaluation, late_ticks, one_a_host, repeats
from fleetpulse.rules.machine import (
    SOURCE,
    AlertTable,
    BoolArray,
    IntArray,
    Reason,
    Tick,
    Transition,
)
from fleetpulse.rules.model import Rule
from fleetpulse.rules.presence import Presence
from fleetpulse.rules.series_slots import SeriesSlots
from fleetpulse.rules.silence import Silence
from fleetpulse.rules.state import AlertRecord, WatchedHost, alert_key, encode_record, host_key
from fleetpulse.rules.teller import Teller

IDLE_MS = 900_000  # of an alert that is over: then its place is another's
FEW_SILENT = 0.25  # when so few of the hosts are silent, their source is there again
PLAIN = Conduct()
Sent = tuple[IntArray, Int64Array]  # numbers of hosts, and append times int64[2, n] of their first and last message
Change = tuple[bytes, bytes | None]  # key and value (None: a tombstone) of a state record


class RuleAlerts:
    """The alerts of one rule, for the hosts of one partition. `key` is the rule's identity (`RuleSet.key_of`)."""

    def __init__(
        self,
        rule: Rule,
        key: str,
        presence: Presence,
        labels_of: Callable[[int], Mapping[str, str]],
        source: str = "partition-0",
        conduct: Conduct = PLAIN,
    ) -> None:
        """`source` names what brings the hosts in the alert that most of them are silent."""
        self.key = key
        self._teller = Teller(rule, key, source, conduct.page_url)
        self.levels = self._teller.levels
        self.policy = policy_of(rule, self.levels, conduct.flapping)
        self.table = AlertTable(self.policy)
        self.silence = Silence(self.policy.silent_ms)
        self._presence = presence
        self._labels_of = labels_of
        self._subjects: list[Subject] = []
        self._slots = SeriesSlots(labels_of)
        self._newly_watched: list[int] = []
        self._saved_silent: set[int] = set()
        self._watched: BoolArray = np.zeros(64, dtype=np.bool_)
        self._source_slot: int | None = None
        self._with_source: set[int] = set()  # hosts that are silent with most of the others, and not told one by one
        self._departed: list[Change] = []

    @property
    def rule(self) -> Rule:
        """The rule as it is in force."""
        return self._teller.rule

    def reset_keys(self) -> None:
        """The evaluator was replaced: keys mean something else now; alerts find their series again by labels."""
        self._slots.forget_keys()
        for slot, subject in enumerate(self._subjects):
            host = int(self.table.host[slot])
            if host >= 0 and not self.table.no_data[slot]:  # not given back
                self._slots.wait(host, subject.series, slot)

    def forget_keys(self, host: str, keys: Sequence[int]) -> None:
        """The evaluator forgot a host: its alerts stay, and find their series again by labels."""
        number = self._presence.number(host)
        self._slots.forget_keys(keys)
        own = (self.table.host[: self.table.size] == number) & ~self.table.no_data[: self.table.size]
        for slot in np.flatnonzero(own).tolist():
            self._slots.wait(number, self._subjects[slot].series, slot)

    def forget_series(self, keys: Sequence[int]) -> None:
        """These keys mean something else now: their alerts stay, and find their series again by labels."""
        slots = self._slots.of(keys)
        self._slots.forget_keys(keys)
        for slot in slots:
            self._slots.wait(int(self.table.host[slot]), self._subjects[slot].series, slot)

    def evaluate(self, evaluation: Evaluation, hosts: IntArray) -> list[AlertEvent]:
        """Apply one evaluation, whose hosts were `heard`; `hosts` are the presence's numbers of its ticks' hosts."""
        if self.policy.no_data_ms is not None:
            self._watch(hosts)
        places = self._concerned(evaluation, hosts)
        if not len(places):
            return []
        part = evaluation if len(places) == len(hosts) else evaluation.part(places)
        transitions: list[Transition] = []
        if evaluation.warm and not evaluation.errors:
            tick = self._tick(part, hosts[places])
            transitions = step_all(self.table, tick) if repeats(tick.hosts) else self.table.step(tick)
        else:
            for each in one_a_host(hosts, places):
                transitions += self.table.step(self._tick(evaluation.part(each), hosts[each]))
        late = late_ticks(evaluation, hosts) if transitions else frozenset()
        return [self._event(each, (int(self.table.host[each.slot]), each.at_ms) in late) for each in transitions]

    def _concerned(self, evaluation: Evaluation, hosts: IntArray) -> IntArray:
        """The ticks, ascending, of hosts for which a level holds or an alert is pending or firing.

        For all others a tick changes nothing, and costs nothing more.
        """
        true = np.logical_or.reduce(self._truth(evaluation.value), axis=0)
        busy = self.table.busy_hosts()
        if not len(busy) and not true.any():
            return np.zeros(0, dtype=np.intp)
        flags = np.zeros(max(int(hosts.max()), int(busy.max(initial=0))) + 1, dtype=np.bool_)
        flags[busy] = True
        flags[hosts[evaluation.host_index[true]]] = True
        return np.flatnonzero(flags[hosts])

    def heard(self, evaluated: Sequence[Sent], unevaluated: Sequence[Sent]) -> list[AlertEvent]:
        """What was sent for this rule in a batch, before it is evaluated: those hosts are not silent.

        `unevaluated` cannot be evaluated, as late samples: what is open stays as it is, and a host that was never
        evaluated stays unknown.
        """
        hosts, appended_ms = _joined(evaluated)
        if unevaluated:
            others, others_ms = _joined(unevaluated)
            known = self.silence.knows(others) | np.isin(others, hosts)
            hosts = np.concatenate([hosts, others[known]])
            appended_ms = np.concatenate([appended_ms, others_ms[:, known]], axis=1)
        fresh_ms = self._fresh_ms(hosts, appended_ms[0]) if self._with_source else ()
        returned = self.silence.seen(hosts, appended_ms)
        self._save_again(host for host, _ in returned if host in self._saved_silent)
        transitions = self.table.data_returned(returned)
        for place, (host, at_ms) in enumerate(sorted(returned, key=lambda each: each[1])):
            later = len(returned) - place - 1 + sum(first_ms > at_ms for first_ms in fresh_ms)
            transitions += self._back(host, at_ms, later)
        return [self._event(transition) for transition in transitions]

    def _fresh_ms(self, hosts: IntArray, first_ms: Int64Array) -> list[int]:
        """When each host that was never seen before sent first."""
        found: dict[int, int] = {}
        fresh = ~self.silence.knows(hosts)
        for host, at_ms in zip(hosts[fresh].tolist(), first_ms[fresh].tolist(), strict=True):
            found[host] = min(at_ms, found.get(host, at_ms))
        return list(found.values())

    def _save_again(self, hosts: Iterable[int]) -> None:
        """Hosts that are silent and no alert says so any more, or that were."""
        for host in hosts:
            if host < len(self._watched) and self._watched[host]:
                self._newly_watched.append(host)

    def _make_room(self, host: int) -> None:
        if host >= len(self._watched):
            more = np.zeros(2 * (host + 1) - len(self._watched), dtype=np.bool_)
            self._watched = np.concatenate([self._watched, more])

    def _watch(self, hosts: IntArray) -> None:
        self._make_room(int(hosts.max(initial=-1)))
        unknown = hosts[~self._watched[hosts]]
        for number in np.unique(unknown).tolist():
            self._watched[number] = True
            if self.table.no_data_slot(number) is None:
                self._add_watched(number, self._presence.hosts[number].identity)
                self._newly_watched.append(number)

    def _add_watched(self, number: int, labels: Mapping[str, str]) -> int:
        subject = self._subject(self._presence.hosts[number].name, labels, float("nan"))
        return self._place(self.table.add(number, no_data=True), subject)

    def _tick(self, evaluation: Evaluation, hosts: IntArray) -> Tick:
        rows = evaluation.host_index.astype(np.intp)
        truth = self._truth(evaluation.value)
        any_level: BoolArray = np.logical_or.reduce(truth, axis=0)
        slots = self._slots.find(evaluation, hosts, any_level, lambda place: self._begin(evaluation, hosts, place))
        known = slots >= 0
        values = evaluation.value[known]
        return Tick(
            hosts=hosts,
            at_ms=evaluation.at_ms,
            warm=~evaluation.held,
            slots=slots[known],
            rows=rows[known],
            values=values,
            truth=truth[:, known],
            recovered=self._recovered(values),
        )

    def _truth(self, values: Float64Array) -> BoolArray:
        rows = [
            np.ones(len(values), dtype=np.bool_) if level.threshold is None else level.threshold.holds(values)
            for level in self.levels
        ]
        return np.array(rows, dtype=np.bool_).reshape(len(self.levels), len(values))

    def _recovered(self, values: Float64Array) -> BoolArray:
        rows = [
            np.zeros(len(values), dtype=np.bool_) if level.recovery is None else level.recovery.holds(values)
            for level in self.levels
        ]
        return np.array(rows, dtype=np.bool_).reshape(len(self.levels), len(values))

    def _begin(self, evaluation: Evaluation, hosts: IntArray, place: int) -> int:
        row = int(evaluation.host_index[place])
        series = self._labels_of(int(evaluation.key[place]))
        host = evaluation.names[int(evaluation.host[row])]
        subject = self._subject(host, series, float(evaluation.value[place]))
        return self._place(self.table.add(int(hosts[row])), subject)

    def _subject(self, host: str, series: Mapping[str, str], value: float) -> Subject:
        instance = self._presence.hosts[self._presence.number(host)].instance
        return self._teller.subject(host, instance, series, value)

    def _place(self, slot: int, subject: Subject) -> int:
        """Name a slot that was just given."""
        self._subjects[slot:] = [subject, *self._subjects[slot + 1 :]]
        return slot

    def advance(self, position_ms: int, previous_ms: int) -> list[AlertEvent]:
        """The position moved: events of hosts that fell silent, or live without their series. See `Silence`."""
        transitions: list[Transition] = []
        fallen = self.silence.advance(position_ms, previous_ms)
        alone = self._alone(fallen, transitions)
        for host, _ in fallen:
            if self._presence.lives(host, position_ms, self.policy.silent_ms):
                transitions += self._gone(host)
        transitions += self.table.fall_silent(fallen[:alone]) + self.table.fall_silent(fallen[alone:], tell=False)
        for host in sorted(self._stale_hosts()):
            if self._presence.lives(host, position_ms, self.policy.silent_ms):
                transitions += self._gone(host)
        return [self._event(transition) for transition in transitions]

    def _stale_hosts(self) -> set[int]:
        stale = np.flatnonzero(self.table.stale[: self.table.size])
        return {host for host in self.table.host[stale].tolist() if self.silence.is_silent(host)}

    def deadline_ms(self, position_ms: int) -> int:
        """`advance` has nothing to tell before the position, which is here now, is past this."""
        returned = self._stale_hosts() & self._presence.returned if self._presence.returned else set()
        lives_ms = (self._presence.lives_after(host, position_ms, self.policy.silent_ms) for host in returned)
        return min(self.silence.deadline_ms, *lives_ms) if returned else self.silence.deadline_ms

    def _alone(self, fallen: Sequence[tuple[int, int]], transitions: list[Transition]) -> int:
        """How many of the hosts, which have just fallen silent, did so alone and not with most of the others."""
        if self.policy.no_data_ms is None or not fallen:
            return len(fallen)
        alone = 0
        if not self._with_source:
            found = self.silence.most_from(fallen)
            if found is None:
                return len(fallen)
            alone = found
        self._with_source.discard(SOURCE)
        self._with_source.update(host for host, _ in fallen[alone:])
        silent = len(self._with_source)
        share = silent / (silent + self.silence.count())
        transitions += self.table.tell_of_source(self._source(), fallen[alone][1], True, share)
        return alone

    def _back(self, host: int, at_ms: int, later: int = 0) -> list[Transition]:
        """A host returned that was silent with most others; when few are left, they are told one by one again.

        `later`: hosts that are not silent by now, and came after it.
        """
        if host not in self._with_source:
            return []
        self._with_source.discard(host)
        silent = len(self._with_source)
        share = silent / max(1, silent + self.silence.count() - later)
        if share > FEW_SILENT:
            return []
        self.silence.start_again(sorted(self._with_source), at_ms)
        self._with_source.clear()
        return self.table.tell_of_source(self._source(), at_ms, False, share)

    def settle(self, position_ms: int, filled_from_ms: int) -> list[AlertEvent]:
        """After a restart: whether most hosts are still silent, as far back as was filled in."""
        if SOURCE not in self._with_source:
            return []
        # Who was not heard since then is as silent as before; told alone, it is not one of the source's.
        since_ms = max(int(self.table.start[self._source()]), filled_from_ms)
        quiet = [host for host in np.flatnonzero(self._watched).tolist() if self.silence.last_seen_ms(host) <= since_ms]
        fallen = [(host, since_ms) for host in quiet if not self._is_told_silent(host)]
        self.silence.fall([host for host, _ in fallen])
        self._with_source = {host for host, _ in fallen}
        transitions = self.table.fall_silent(fallen, tell=False)
        share = len(fallen) / max(1, len(fallen) + self.silence.count())
        if share <= FEW_SILENT:
            self.silence.start_again(sorted(self._with_source), position_ms)
            self._with_source.clear()
            transitions += self.table.tell_of_source(self._source(), position_ms, False, share)
        return [self._event(transition) for transition in transitions]

    def _is_told_silent(self, host: int) -> bool:
        about = self.table.no_data_slot(host)
        return about is not None and bool(self.table.severity[about])

    def take_over(self, other: "RuleAlerts") -> None:
        """Who is silent for this rule, of one that had other times."""
        self.silence.take_over(other.silence)
        self._with_source = set(other._with_source) if self.policy.no_data_ms is not None else set()
        self._save_all()

    def _source(self) -> int:
        if self._source_slot is None:
            slot = self.table.add(SOURCE, no_data=True)
            self._source_slot = self._place(slot, self._teller.about_source())
        return self._source_slot

    def _gone(self, host: int) -> list[Transition]:
        busy = self.table.busy()
        own = busy[(self.table.host[busy] == host) & ~self.table.no_data[busy]]
        if not len(own):
            return []
        newest_ms = max(self._presence.hosts[host].newest_ms, int(self.table.last_eval[own].max()))
        if self.silence.is_silent(host):
            self._save_again([host])
        return self.table.close(own.tolist(), newest_ms, Reason.SERIES_GONE)

    def _event(self, transition: Transition, late: bool = False) -> AlertEvent:
        subject = self._subjects[transition.slot]
        if transition.slot == self._source_slot:
            return self._teller.event_of_source(transition, subject)
        if self.table.no_data[transition.slot]:
            return self._teller.event_of_silence(transition, subject)
        return self._teller.event(transition, subject, late)

    def needs(self, host: int) -> bool:
        """Whether something is open or watched for a host."""
        return (host < len(self._watched) and bool(self._watched[host])) or bool(self._busy_of(host).any())

    def _busy_of(self, host: int) -> BoolArray:
        return self.table.busy_of(self.table.slots_of(host))

    def forget_host(self, host: int, at_ms: int) -> list[AlertEvent]:
        """The host is gone for good, and its number will be another's: its alerts end, and nothing of it is kept."""
        slots = self.table.slots_of(host)
        events = [self._event(each) for each in self.table.close(slots.tolist(), at_ms, Reason.HOST_DEPARTED)]
        name = self._presence.hosts[host].name
        for slot in slots.tolist():
            if slot in self.table.changed:
                subject, no_data = self._subjects[slot], bool(self.table.no_data[slot])
                self._departed.append((alert_key(self.key, name, subject.fingerprint, no_data), None))
        if host < len(self._watched) and self._watched[host]:
            self._watched[host] = False
            self._saved_silent.discard(host)
            self._newly_watched = [number for number in self._newly_watched if number != host]
            self._departed.append((host_key(self.key, name), None))
        self._slots.give_back(slots[~self.table.no_data[slots]].tolist())
        self.table.release(slots.tolist())
        self.silence.forget(host)
        return events + [self._event(each) for each in self._back(host, at_ms)]

    def forget_changes(self, position_ms: int) -> None:
        """Forget changes that are too old to make an alert flap."""
        if self.policy.flap is not None:
            self.table.forget_changes(position_ms - 2 * self.policy.flap.window_ms)

    def forget_idle(self, position_ms: int) -> None:
        """Give back the places of alerts that are over for long: their series may never come again."""
        slots = self.table.idle(position_ms - IDLE_MS).tolist()
        self._slots.give_back(slots)
        self.table.release(slots)

    def firing(self) -> Iterator[str]:
        """The severity of every firing alert."""
        severity = self.table.severity[: self.table.size]
        for number in severity[severity > 0].tolist():
            yield self.levels[number - 1].severity

    def goes_on_as(self, rule: Rule) -> bool:
        """Take a rule that says the same, perhaps in another place; False, and nothing done, when it does not."""
        same = _terms(rule) == _terms(self.rule)
        if same:
            self._teller.rule = rule
        return same

    def may_keep(self, record: AlertRecord) -> bool:
        """Whether a saved alert goes on: the rule is the same but for thresholds and times, and has its severity."""
        if record.rule_hash != self.rule.hash:
            return False
        if record.no_data:
            return self.rule.no_data_ms is not None
        return not record.severity or bool(record.memory_by(self._teller.severities).severity)

    def records(self) -> list[AlertRecord]:
        """Every pending or firing alert."""
        memories = (self.table.memory(slot) for slot in range(self.table.size))
        return [self._record(slot, self._subjects[slot]) for slot, each in enumerate(memories) if each is not None]

    def watched(self) -> list[WatchedHost]:
        """The hosts whose silence matters to the rule, and which have been heard of."""
        return [self._watched_host(number) for number in np.flatnonzero(self._watched).tolist()]

    def _watched_host(self, number: int) -> WatchedHost:
        slot = self.table.no_data_slot(number)
        assert slot is not None
        name, labels = self._presence.hosts[number].name, dict(self._subjects[slot].series)
        return WatchedHost(self.key, name, labels, silent=self.silence.is_silent(number))

    def _save_all(self) -> None:
        self.table.changed.update(self.table.busy().tolist())
        self._newly_watched += np.flatnonzero(self._watched).tolist()

    def take_changes(self) -> list[Change]:
        """The state records to write since the last call."""
        changes, self._departed = self._departed, []
        for number in dict.fromkeys(self._newly_watched):
            record = self._watched_host(number)
            (self._saved_silent.add if record.silent else self._saved_silent.discard)(number)
            changes.append((host_key(self.key, record.host), encode_record(record)))
        self._newly_watched.clear()
        for slot in sorted(self.table.changed):
            subject, memory = self._subjects[slot], self.table.memory(slot)
            key = alert_key(self.key, subject.host, subject.fingerprint, bool(self.table.no_data[slot]))
            changes.append((key, None if memory is None else encode_record(self._record(slot, subject))))
        self.table.changed.clear()
        return changes

    def _record(self, slot: int, subject: Subject) -> AlertRecord:
        memory = self.table.memory(slot)
        assert memory is not None
        return AlertRecord(
            rule=self.key,
            rule_hash=self.rule.hash,
            host=subject.host,
            fingerprint=subject.fingerprint,
            series=dict(subject.series),
            labels=subject.labels,
            severities=self._teller.severities,
            annotations=subject.annotations,
            phase=memory.phase,
            since_ms=memory.since_ms,
            false_since_ms=memory.false_since_ms,
            severity=memory.severity,
            start_ms=memory.start_ms,
            number=memory.number,
            stale=memory.stale,
            held=memory.held,
            last_true_ms=memory.last_true_ms,
            last_eval_ms=memory.last_eval_ms,
            value=repr(memory.value),
            no_data=memory.no_data,
            flapping=memory.flapping,
            changes_ms=memory.changes_ms,
            source=slot == self._source_slot,
        )

    def restore_host(self, record: WatchedHost, heard_ms: int) -> None:
        """Watch a host again that was last heard of then, or before."""
        number = self._presence.number(record.host)
        if self.table.no_data_slot(number) is None:
            self._add_watched(number, record.labels)
        self._make_room(number)
        self._watched[number] = True
        if record.silent:
            self._saved_silent.add(number)
        self.silence.restore(number, heard_ms, silent=record.silent)

    def restore_alert(self, record: AlertRecord, heard_ms: int, last_tick_ms: int) -> None:
        """Bring an alert back; `last_tick_ms` is the rule's newest tick of the host that is already applied."""
        subject = Subject(record.host, record.series, record.labels, record.fingerprint, record.annotations)
        memory = record.memory_by(self._teller.severities)
        if record.source:
            self._source_slot = self._place(self.table.restore(SOURCE, memory), subject)
            self._with_source.add(SOURCE)  # until it is known which hosts are silent
            return
        number = self._presence.number(record.host)
        watched = self.table.no_data_slot(number) if record.no_data else None
        slot = self.table.restore(number, memory, watched)
        self._place(slot, subject)
        if not record.held and not record.no_data:
            self.table.last_eval[slot] = max(record.last_eval_ms, last_tick_ms)
        if not record.no_data:
            self._slots.wait(number, record.series, slot)
            self._slots.look_again()
        silent = record.stale or record.no_data or self.silence.is_silent(number)
        self.silence.restore(number, heard_ms, silent=silent)

    def restore_values(self, evaluation: Evaluation, hosts: IntArray) -> None:
        """The values of alerts brought back, at the last ticks of their hosts: they may be newer than what was saved.

        `hosts` as in `evaluate`.
        """
        nothing: BoolArray = np.zeros(len(evaluation.key), dtype=np.bool_)
        slots = self._slots.find(evaluation, hosts, nothing, lambda place: -1)
        last = evaluation.at_ms[evaluation.host_index] == self.table.last_eval[slots]
        some = (slots >= 0) & last & ~self.table.held[slots]
        self.table.value[slots[some]] = evaluation.value[some]


def _terms(rule: Rule) -> dict[str, object]:
    """All that a rule says, without where it says it."""
    return {each.name: getattr(rule, each.name) for each in fields(rule) if each.name not in ("file", "line", "group")}


def _joined(sent: Sequence[Sent]) -> Sent:
    if len(sent) == 1:
        return sent[0]
    hosts = np.concatenate([np.zeros(0, dtype=np.intp), *(hosts for hosts, _ in sent)])
    return hosts, np.concatenate([np.zeros((2, 0), dtype=np.int64), *(times for _, times in sent)], axis=1)
