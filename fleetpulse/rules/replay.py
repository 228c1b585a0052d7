"""Rules over stored samples as columns: the windows, expressions and machine that run live, without a message each.

What a worker reads of a message is here read of rows (host, time, values): which hosts were heard, which ticks are new
and which came late, and when a host falls silent. Everything after that is `PartitionRules`.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.metric import canonical_key
from fleetpulse.promql.rings import IntArray, absent
from fleetpulse.promql.syntax import NAME
from fleetpulse.rules.alerts import PLAIN
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.evaluator import StreamEvaluator, Ticks
from fleetpulse.rules.intake import Columns, Shape
from fleetpulse.rules.machine import NEVER, BoolArray
from fleetpulse.rules.model import RuleSet
from fleetpulse.rules.partition import Outcome
from fleetpulse.rules.plain import Stretch, Write
from fleetpulse.rules.presence_numbers import PresenceNumbers
from fleetpulse.rules.span import Span
from fleetpulse.rules.stream_run import Standing
from fleetpulse.wire import Block, join_keys

BATCH_MS = 3_600_000  # what is evaluated together at most: windows keep as much more than the rules' ranges
_PAUSE_MS = 120_000  # a host that was away for longer is alive only since it came back

Named = tuple[str, Mapping[str, str]]  # a series: its host, and its labels with ``__name__``
NOBODY_UP: Mapping[str, Mapping[str, str]] = MappingProxyType({})


class Samples(NamedTuple):
    """Samples of a slice of time: `series` intp[n] are places in the series, `ts` and `appended` int64[n] in ms."""

    series: IntArray
    ts: Int64Array
    value: Float64Array
    appended: Int64Array


class _Rows(NamedTuple):
    """Ticks by host, each host's in order of arrival: `host` intp[r], `ts` and `appended` int64[r].

    `form` intp[r] is the number of the host's form of block, `place` intp[r] the row of its values.
    """

    host: IntArray
    ts: Int64Array
    appended: Int64Array
    form: IntArray
    place: IntArray


class Replay(Standing):
    """Rules over the samples of known series, slice after slice, as one partition that holds all their hosts."""

    def __init__(
        self,
        rules: RuleSet,
        series: Sequence[Named],
        complete_from_ms: int,
        conduct: Conduct = PLAIN,
        ups: Mapping[str, Mapping[str, str]] = NOBODY_UP,
    ) -> None:
        """`complete_from_ms`: no sample since then is missing; windows are warm from their reach later on.

        `ups`: host → labels of its series ``up``, where no rule reads it.
        """
        super().__init__(rules, 0, 1, conduct=conduct)
        self.start(complete_from_ms)
        self._evaluator = StreamEvaluator(rules, complete_from_ms=complete_from_ms, ahead_ms=BATCH_MS)
        self._warm_ms = self._evaluator.next_warm_ms
        self._host = np.zeros(len(series), dtype=np.intp)
        self._column = np.zeros(len(series), dtype=np.intp)
        self._forms: list[Shape] = []
        self._known_number: dict[Shape, int] = {}
        of_host: dict[str, list[int]] = {}
        for place, (host, _) in enumerate(series):
            of_host.setdefault(host, []).append(place)
        self._form: IntArray = np.full(self._register(series, of_host), -1, dtype=np.intp)
        self._seen: IntArray = np.zeros(len(self._form), dtype=np.intp)
        for host, labels in ups.items():
            self._identify(host, [labels])
        for host, number, shape in self._registered:
            self._form[number] = -1 if shape is None else self._number_of(shape)
            self._seen[number] = self._presence.number(host)
        hosts = len(self._presence.hosts)
        self._heard: Int64Array = np.full(hosts, NEVER, dtype=np.int64)
        self._since: Int64Array = np.full(hosts, NEVER, dtype=np.int64)
        self._departed: BoolArray = np.zeros(hosts, dtype=np.bool_)
        self._resumed_ms = NEVER  # since when hosts count as away: their source was itself before

    def _register(self, series: Sequence[Named], of_host: Mapping[str, list[int]]) -> int:
        """Tell the evaluator each host's form of block; returns a number above those of all hosts."""
        self._registered: list[tuple[str, int, Shape | None]] = []
        for host, places in of_host.items():
            keys = []
            for column, place in enumerate(places):
                labels = dict(series[place][1])
                keys.append(canonical_key(labels.pop(NAME), labels))
                self._column[place] = column
            number, shape = self._live.shape_of(Block(host, {}, join_keys(keys), 0, b""))
            self._host[places] = number
            self._registered.append((host, number, shape))
            self._identify(host, [series[place][1] for place in places])
        return max((number for _, number, _ in self._registered), default=-1) + 1

    def _identify(self, host: str, labels: Sequence[Mapping[str, str]]) -> None:
        """What alerts about the host itself are labelled with: the labels of its series ``up``."""
        seen = self._presence.hosts[self._presence.number(host)]
        seen.instance = next((each["instance"] for each in labels if each.get("instance")), host)
        up: Mapping[str, str] = next((each for each in labels if each[NAME] == "up"), {})
        seen.labels = {name: text for name, text in up.items() if name != NAME} or seen.labels

    def _number_of(self, shape: Shape) -> int:
        if shape not in self._known_number:
            self._known_number[shape] = len(self._forms)
            self._forms.append(shape)
        return self._known_number[shape]

    def silent_for(self, samples: Samples, until_ms: int, silent_ms: int) -> list[str]:
        """The hosts that miss more than `silent_ms` of their samples somewhere in a slice that ends then."""
        host, ts = self._host[samples.series], samples.ts
        order = _by_host(host, ts, ts)
        if order is not None:
            host, ts = host[order], ts[order]
        before = np.concatenate([[NEVER], ts])[:-1]
        if len(host):
            starts = _starts(host)
            before[starts] = self._heard[self._seen[host[starts]]]  # the silence may have begun in the slice before
        long = np.flatnonzero((before > NEVER) & (ts - before > silent_ms))
        newest: Int64Array = np.full(len(self._form), NEVER, dtype=np.int64)
        newest[host] = ts  # of several the newest is the last
        late = np.flatnonzero(newest < until_ms - silent_ms)
        found = set(self._seen[host[long]].tolist()) | set(self._seen[late].tolist())
        return sorted(self._presence.hosts[number].name for number in found)

    def has_gap(self, samples: Samples, until_ms: int) -> bool:
        """Whether nothing at all comes for so long, in a slice that ends then, that the source may have been away."""
        at = samples.appended
        begin = min(self._position_ms, until_ms) if self._position_ms > NEVER else until_ms
        width = max(1, self._gap_ms // 2)  # with something in every such part there is no gap
        if len(at) and begin < until_ms and bool(np.bincount(np.maximum(at - begin, 0) // width).all()):
            return until_ms - int(at.max()) > self._gap_ms
        return bool((np.diff(np.sort(at), prepend=begin, append=until_ms) > self._gap_ms).any())

    def alive(self, hosts: Sequence[str], at_ms: Sequence[int], others_ms: Sequence[int] = ()) -> None:
        """Signs of life beside the rules' samples: append times, in order; to be given before the slice's samples.

        `others_ms`: of hosts that send nothing to the rules; the partition goes on with them.
        """
        self._life = (
            np.array([self._presence.number(host) for host in hosts], dtype=np.intp),
            np.array(at_ms, dtype=np.int64),
        )
        self._beats = np.unique(np.array([*at_ms, *others_ms], dtype=np.int64))
        self._lives_ms = np.union1d(self._lives_ms[self._lives_ms >= self._position_ms], self._settled_ms())

    def _settled_ms(self) -> Int64Array:
        """When hosts that came back, by their signs of life, have lived for a silence of a rule; perhaps repeated."""
        hosts, at = self._life
        if not len(hosts):
            return at
        order = np.lexsort((at, hosts))
        hosts, at = hosts[order], at[order]
        before = np.concatenate([[NEVER], at[:-1]])
        starts = _starts(hosts)
        before[starts] = self._heard[hosts[starts]]
        back = at[at - before > _PAUSE_MS]
        silences = np.array(sorted({alerts.policy.silent_ms for alerts in self._alerts.values()}), dtype=np.int64)
        settled: Int64Array = (back[:, None] + silences[None, :]).ravel()
        return settled

    _lives_ms: Int64Array = np.zeros(0, dtype=np.int64)
    _life: tuple[IntArray, Int64Array] = (np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.int64))
    _beats: Int64Array = np.zeros(0, dtype=np.int64)

    def apply_samples(self, samples: Samples) -> Outcome:
        """Apply a slice: samples that arrived after those of the slice before, in any order."""
        outcome = Outcome()
        rows, values = self._rows_of(samples)
        at = np.sort(rows.appended)
        breaks = self._breaks(rows, at) if len(at) else at
        begin = 0
        while begin < len(at):
            self._go_on(int(at[begin]), outcome)
            end = self._end_of_batch(at, begin, breaks)
            self._position_ms = self.append_ms = int(at[end - 1])
            inside = (rows.appended >= at[begin]) & (rows.appended <= at[end - 1])
            own = slice(None) if end - begin == len(at) else np.flatnonzero(inside)
            self._take(_Rows(*(each[own] for each in rows)), values, outcome)
            begin = end
        if len(self._beats):
            self._go_on(int(self._beats[-1]), outcome)
        return self._finish(outcome)

    def wait_until(self, until_ms: int) -> Outcome:
        """Nothing more comes up to a time."""
        if self.append_ms == NEVER:
            return Outcome()
        self._look_alive(until_ms)
        outcome = self.wait(until_ms - self.append_ms)
        self._forget_departed(until_ms, outcome)
        return outcome

    def _go_on(self, until_ms: int, outcome: Outcome) -> None:
        """The position moves to a time, with every sign of life up to it; silence is looked for."""
        upto = int(np.searchsorted(self._beats, until_ms, side="right"))
        beats, self._beats = self._beats[:upto], self._beats[upto:]
        begin = int(np.searchsorted(beats, self._position_ms, side="right"))
        for at_ms in [*beats[begin:].tolist(), until_ms]:
            settled = np.searchsorted(self._lives_ms, (self._position_ms, at_ms))
            if self._is_due(at_ms) or settled[0] < settled[1]:
                self._look_alive(at_ms)
                self._advance(at_ms, self._position_ms, outcome)
            forget_ms = self._conduct.forget_after_ms
            if forget_ms is not None and at_ms - self._position_ms > forget_ms // 2:
                self._resumed_ms = at_ms
            self._position_ms = self.append_ms = max(self._position_ms, at_ms)
        self._forget_departed(until_ms, outcome)

    def _forget_departed(self, now_ms: int, outcome: Outcome) -> None:
        """End what is open of hosts that are away for so long that they count as gone; see `Away`."""
        after_ms = self._conduct.forget_after_ms
        if after_ms is None:
            return
        limit = np.maximum(self._heard, self._resumed_ms) + after_ms
        due = np.flatnonzero((self._heard > NEVER) & ~self._departed & (limit <= now_ms))
        for number in due[np.argsort(limit[due], kind="stable")].tolist():
            for alerts in self._alerts.values():
                outcome.events += alerts.forget_host(number, int(limit[number]))
        self._departed[due] = True

    def _rows_of(self, samples: Samples) -> tuple[_Rows, list[Float64Array]]:
        """The slice's ticks by host and arrival, and per form the values float64[rows, width]."""
        host, column = self._host[samples.series], self._column[samples.series]
        kept = self._form[host] >= 0
        if not kept.all():
            series, ts, value, appended = samples
            samples = Samples(series[kept], ts[kept], value[kept], appended[kept])
            host, column = host[kept], column[kept]
        ts, appended, value = samples.ts, samples.appended, samples.value
        order = _by_host(host, appended, ts)
        if order is not None:
            host, column, value = host[order], column[order], value[order]
            ts, appended = ts[order], appended[order]
        fresh = np.ones(len(host), dtype=np.bool_)
        fresh[1:] = (host[1:] != host[:-1]) | (ts[1:] != ts[:-1]) | (appended[1:] != appended[:-1])
        row = np.cumsum(fresh) - 1
        first = np.flatnonzero(fresh)
        form = self._form[host[first]]
        place = np.zeros(len(first), dtype=np.intp)
        values: list[Float64Array] = []
        for number, shape in enumerate(self._forms):
            own = np.flatnonzero(form == number)
            place[own] = np.arange(len(own))
            cells = absent((len(own), shape.width))
            of_form = form[row] == number if len(self._forms) > 1 else slice(None)
            cells[place[row[of_form]], column[of_form]] = value[of_form]
            values.append(cells)
        return _Rows(host[first], ts[first], appended[first], form, place), values

    def _breaks(self, rows: _Rows, at: Int64Array) -> Int64Array:
        """Times, ascending, at which what comes next may not be evaluated with what was before.

        A host falls silent or comes back, or nothing came of any host for a while. Live, a batch is never longer than
        the shortest silence; here all that follows is known, and only what happens divides it. `at`: all append times,
        sorted.
        """
        seen, appended = self._seen[rows.host], rows.appended
        before = np.concatenate([[NEVER], appended[:-1]])
        starts = _starts(seen)
        before[starts] = self._heard[seen[starts]]
        back = (appended - before > self._silent_ms) & (before > NEVER)
        last = self._heard.copy()
        last[seen] = appended  # of several the newest is the last
        falls = np.concatenate([before[back], last[last > NEVER]]) + self._silent_ms + 1
        gaps = at[1:][np.diff(at) > self._gap_ms]
        return np.unique(np.concatenate([falls, appended[back], gaps, self._lives_ms + 1]))

    def _end_of_batch(self, at: Int64Array, begin: int, breaks: Int64Array) -> int:
        """Where what is evaluated together ends."""
        now_ms = int(at[begin])
        limit_ms = now_ms + BATCH_MS
        following = int(np.searchsorted(breaks, now_ms, side="right"))
        if following < len(breaks):
            limit_ms = min(limit_ms, int(breaks[following]) - 1)
        if self._warm_ms > now_ms:
            limit_ms = min(limit_ms, self._warm_ms - 1)
        return max(int(np.searchsorted(at, limit_ms, side="right")), begin + 1)

    def _take(self, rows: _Rows, values: list[Float64Array], outcome: Outcome) -> None:
        self._hear(self._seen[rows.host], rows.appended)
        same = rows.host[1:] == rows.host[:-1]
        starts = _starts(rows.host)
        wrong = np.zeros(len(rows.host), dtype=np.bool_)
        wrong[1:] = same & (rows.ts[1:] <= rows.ts[:-1])
        wrong[starts] = rows.ts[starts] <= self._live.newest_ms_of(rows.host[starts])
        stretches: list[Stretch] = []
        rounds: list[Ticks] = []
        if wrong.any():
            others = np.isin(rows.host, rows.host[wrong])
            rounds = self._rounds(_Rows(*(each[others] for each in rows)), values)
            rows = _Rows(*(each[~others] for each in rows))
        if len(rows.host):
            starts = _starts(rows.host)
            since = rows.ts - np.repeat(rows.ts[starts], np.diff(starts, append=len(rows.host)))
            parts = [rows]
            if int(since.max()) > BATCH_MS:
                part = since // (BATCH_MS + 1)
                parts = [_Rows(*(each[part == number] for each in rows)) for number in np.unique(part).tolist()]
            stretches = [self._stretch(each, values) for each in parts]
        self._done(stretches, rounds, outcome)

    def _done(self, stretches: list[Stretch], rounds: list[Ticks], outcome: Outcome) -> None:
        matched, late = self._live.matched_samples, self._live.late_samples
        evaluations = self._live.take_ticks(stretches, rounds, self.append_ms)
        outcome.matched_samples += self._live.matched_samples - matched
        outcome.late_samples += self._live.late_samples - late
        outcome.evaluations += sum(len(evaluation.host) for evaluation in evaluations)
        self._note_failures(evaluations, outcome)
        unseen = [waiting for evaluation in evaluations for waiting in self._live.waiting_on(evaluation)]
        self._alert(evaluations, unseen + self._live.take_late(), outcome)
        self._set_deadline(self._position_ms)
        self._warm_ms = self._live.next_warm_ms

    def _stretch(self, rows: _Rows, values: list[Float64Array]) -> Stretch:
        """Rows by host, each host's in order of time."""
        writes: list[Write] = []
        of_shape = {}
        for number in self._forms_of(rows.form):
            own = np.flatnonzero(rows.form == number) if len(self._forms) > 1 else np.arange(len(rows.form))
            columns = self._columns(rows, own, values)
            writes.append(Write(self._forms[number], _rank(columns.hosts), columns))
            of_shape[self._forms[number]] = (own, columns.appended_ms)
        return Stretch(writes, Span.plain(rows.host, rows.ts, of_shape))

    def _rounds(self, rows: _Rows, values: list[Float64Array]) -> list[Ticks]:
        """Rows of hosts some of whose ticks are late, one tick of each at a time."""
        rank = _rank(rows.host)
        rounds: list[Ticks] = []
        for number in range(int(rank.max()) + 1):
            forms = self._forms_of(rows.form[rank == number])
            chosen = [np.flatnonzero((rank == number) & (rows.form == form)) for form in forms]
            ticks = zip(forms, chosen, strict=True)
            rounds.append([(self._forms[form], self._columns(rows, own, values)) for form, own in ticks])
        return rounds

    def _forms_of(self, form: IntArray) -> list[int]:
        if len(self._forms) > 1:
            return [int(number) for number in np.flatnonzero(np.bincount(form, minlength=len(self._forms)))]
        return [0]

    def _columns(self, rows: _Rows, own: IntArray, values: list[Float64Array]) -> Columns:
        cells = values[int(rows.form[own[0]])][rows.place[own]]
        return Columns(rows.host[own], rows.ts[own], cells, rows.appended[own])

    def _numbers(self) -> PresenceNumbers:
        return PresenceNumbers(self._presence, self._live.host_names, self._live.host_capacity, self._seen)

    # ---- who lives

    def _hear(self, seen: IntArray, appended: Int64Array) -> None:
        """Hosts, by their number in the presence and each in one stretch, that sent something."""
        starts = _starts(seen)
        hosts, first = seen[starts], np.minimum.reduceat(appended, starts)
        back: BoolArray = first - self._heard[hosts] > _PAUSE_MS
        self._since[hosts[back]] = first[back]
        self._heard[hosts] = np.maximum(self._heard[hosts], np.maximum.reduceat(appended, starts))
        self._departed[hosts] = False

    def _look_alive(self, now_ms: int) -> None:
        """Before silence is looked for: what the presence must know of hosts that may be silent."""
        hosts, at = self._life
        upto = int(np.searchsorted(at, now_ms, side="left"))  # what comes now is not heard yet
        if upto:
            order = np.argsort(hosts[:upto], kind="stable")
            self._hear(hosts[:upto][order], at[:upto][order])
            self._life = (hosts[upto:], at[upto:])
            asked = np.unique(hosts[:upto])
        else:
            asked = np.zeros(0, dtype=np.intp)
        quiet = np.flatnonzero(self._heard < now_ms - self._silent_ms)
        for number in {*quiet.tolist(), *asked.tolist()}:
            seen = self._presence.hosts[number]
            seen.heard_ms, seen.since_ms = int(self._heard[number]), int(self._since[number])
            seen.newest_ms = max(seen.newest_ms, seen.heard_ms)


def _by_host(host: IntArray, appended: Int64Array, ts: Int64Array) -> IntArray | None:
    """The order by host, then arrival, then time; None where it is so already."""
    same = host[1:] == host[:-1]
    later = appended[1:] > appended[:-1]
    if appended is not ts:
        later |= (appended[1:] == appended[:-1]) & (ts[1:] >= ts[:-1])
    if bool(np.where(same, later, host[1:] > host[:-1]).all()):
        return None
    return np.lexsort((ts, appended, host))


def _starts(hosts: IntArray) -> IntArray:
    """Where each host's rows begin; the hosts are sorted."""
    return np.flatnonzero(np.concatenate([[True], hosts[1:] != hosts[:-1]]))


def _rank(hosts: IntArray) -> IntArray:
    """intp[n]: how many of the same host come before; the hosts are sorted."""
    starts = _starts(hosts)
    rank: IntArray = np.arange(len(hosts)) - np.repeat(starts, np.diff(starts, append=len(hosts)))
    return rank
