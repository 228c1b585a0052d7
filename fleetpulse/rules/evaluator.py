"""The stream evaluator: wire blocks of one partition in, evaluations of rules out.

Pure: no clock, no server. It keeps windows of the series that a rule selects (ring buffers, as long as the
longest range that reads them) and evaluates a rule for all hosts of a batch that share a series layout at once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import xxhash

from fleetpulse.frames import Int64Array
from fleetpulse.promql.metric_windows import MetricWindows
from fleetpulse.promql.nodes import Run
from fleetpulse.promql.rings import NEVER, BoolArray, IntArray
from fleetpulse.promql.syntax import Selector
from fleetpulse.rules.backfill import Lack, Stored
from fleetpulse.rules.evaluation import Evaluation, Unevaluated
from fleetpulse.rules.hosts import HostNumbers
from fleetpulse.rules.intake import Columns, Intake, Shape, columns_of_ticks
from fleetpulse.rules.model import Rule, RuleSet
from fleetpulse.rules.plain import Stretch, stretches
from fleetpulse.rules.plans import Plans
from fleetpulse.rules.program import Program
from fleetpulse.rules.reading import Batch
from fleetpulse.rules.result_keys import ResultKeys
from fleetpulse.rules.results import Result, cold_result, joined, result_of
from fleetpulse.rules.span import Span, Touched
from fleetpulse.wire import Block

DEFAULT_LOOKBACK_MS = 300_000
DEFAULT_MAX_FUTURE_MS = 600_000
_UNRESOLVED = -1

Ticks = Sequence[tuple[Shape, Columns]]  # of one round


class StreamEvaluator:
    """The rules' windows and last ticks of ONE partition.

    `late_samples` and `matched_samples` count the samples that a rule selects: late are those none of whose
    rules had an older last tick. `evaluated` counts (rule, host, tick).
    """

    def __init__(
        self,
        rules: RuleSet,
        lookback_ms: int = DEFAULT_LOOKBACK_MS,
        complete_from_ms: int | None = None,
        max_future_ms: int = DEFAULT_MAX_FUTURE_MS,
        keep_names: bool = False,
        ahead_ms: int | None = None,
    ) -> None:
        """Compile the rules; raises RuleError for one that cannot run on the stream.

        `complete_from_ms`: append time from which this evaluator sees every block of the partition. Pass 0 when
        reading started at the partition's first offset ever; the append time at which warm-up starts to read
        otherwise; None: the time of the first `observe`. A rule with reach r (its longest range, or the
        lookback) is not warm before ``complete_from_ms + r`` unless its past is adopted, and not while a recording that
        it reads is not, nor until what that did not record is out of the rule's reach. Samples stamped more than
        `max_future_ms` after the append time are left out (ingest refuses them). `keep_names`: results keep
        ``__name__``.
        """
        self.late_samples = 0
        self.matched_samples = 0
        self.evaluated = 0
        self._program = Program(rules, lookback_ms, ahead_ms)
        self._lookback_ms, self._ahead_ms = lookback_ms, ahead_ms
        self._complete_from_ms = complete_from_ms
        self._max_future_ms = max_future_ms
        self._keep_names = keep_names
        self._now_ms = NEVER
        self._filled_back = False
        self._cold_ms = [NEVER] * len(rules.rules)  # when a rule was last evaluated without being warm
        self._hosts = HostNumbers()
        self._hosts.on_grow.append(self._resize)
        self._keys = ResultKeys(self._hosts)
        self._plans = Plans(self._program.exprs, self._keys, keep_names)
        self._readers: dict[MetricWindows, IntArray] = {}
        self._intake = Intake(self._program.needs, self._hosts, self._add_metric)
        shape = (len(rules.rules), self._hosts.capacity)
        self._last_tick: Int64Array = np.full(shape, NEVER)
        self._plan: Int64Array = np.full(shape, _UNRESOLVED, dtype=np.int64)
        self._newest_ms: Int64Array = np.full(self._hosts.capacity, NEVER)  # of the host's samples in the windows
        self._filled: Int64Array | None = None  # as _last_tick: the newest ticks of the warm-up
        self._late: dict[int, list[Unevaluated]] = {}  # rule → what came too late for it

    def observe(self, blocks: Sequence[Block], evaluate: bool = True, now_ms: int | None = None) -> list[Evaluation]:
        """`take` for blocks of one message; `now_ms` is its append time."""
        digests = [xxhash.xxh3_64_intdigest(block.series) for block in blocks]
        appended_ms = max(0, self._now_ms) if now_ms is None else now_ms
        batch = Batch(list(blocks), digests, [appended_ms] * len(blocks), [0] * len(blocks))
        return self.take(batch, evaluate, now_ms)

    def take(self, batch: Batch, evaluate: bool = True, now_ms: int | None = None) -> list[Evaluation]:
        """Add the samples of the blocks to the windows and evaluate the rules that select any of them.

        A (rule, host) is evaluated once for each distinct timestamp ("tick") that is newer than its last, in
        order; where its group has an interval only for the first tick in each. Blocks of one host count in the order
        given, and neighbours of one message with one timestamp are one tick: what another message brings of that time
        is evaluated by the rules that read nothing else. A sample that is not newer only updates windows.
        `evaluate=False` (warm-up) only fills and moves no tick. `now_ms` is the append time of the newest message
        (None: the newest sample time so far); it decides whether windows are warm. The evaluations of one call are in
        tick order for each host and rule. A host of which a rule selects nothing is not in the rule's evaluations.
        Raises FrameError for a block whose columns do not agree; then nothing of the call has been added.
        """
        if now_ms is not None:
            self._now_ms = max(self._now_ms, now_ms)
        allowed = None if now_ms is None else self._now_ms + self._max_future_ms
        if evaluate and self._program.chain.recorders:
            batch = self._intake.without(batch, self._program.chain.is_echo)
        entries, others = self._intake.entries(batch, allowed)
        plain, more = stretches(entries, self._newest_ms) if entries else ([], set())
        others |= more
        rounds = self._rounds(batch, allowed, others) if others else []
        if now_ms is None:
            newest = [int(columns.ts.max()) for each in rounds for _, columns in each]
            newest += [int(write.columns.ts.max()) for stretch in plain for write in stretch.writes]
            self._now_ms = max([self._now_ms, *newest])
        if self._complete_from_ms is None:
            self._complete_from_ms = self._now_ms
        with np.errstate(all="ignore"):
            evaluations = [found for each in rounds for found in self._round(each, evaluate)]
            return evaluations + [found for stretch in plain for found in self._stretch(stretch, evaluate)]

    def shape_of(self, block: Block) -> tuple[int, Shape | None]:
        """The number of the block's host and what rules select of its series, for ticks that are columns already."""
        return self._intake.shape_of(block, xxhash.xxh3_64_intdigest(block.series))

    def newest_ms_of(self, hosts: IntArray) -> Int64Array:
        """int64[h]: the time of each host's newest sample in the windows; long ago for none."""
        return self._newest_ms[hosts]

    def take_ticks(self, stretches: Sequence[Stretch], rounds: Sequence[Ticks], now_ms: int) -> list[Evaluation]:
        """`take` for ticks that are columns already: a back-test's.

        A stretch may be as long as the constructor's `ahead_ms` (None: `SPAN_MS`) of each host's time.
        """
        self._now_ms = max(self._now_ms, now_ms)
        with np.errstate(all="ignore"):
            evaluations = [found for each in rounds for found in self._round(each, True)]
            return evaluations + [found for stretch in stretches for found in self._stretch(stretch, True)]

    def _rounds(self, batch: Batch, allowed: int | None, hosts: set[int]) -> list[Ticks]:
        """The ticks of some hosts, round by round."""
        rounds = self._intake.rounds(batch, hosts, allowed)
        return [[(shape, columns_of_ticks(ticks)) for shape, ticks in each.items()] for each in rounds]

    def _round(self, each: Ticks, evaluate: bool) -> list[Evaluation]:
        for shape, (hosts, ts, values, _) in each:
            for part in shape.parts:
                part.metric.write(hosts, ts, part.layout, values[:, part.take])
            self._written(shape, hosts, ts)
        if not evaluate:
            self._note_filled(each)
            return []
        span = Span(self._hosts.capacity)
        span.add(each)
        return self._evaluate(span)

    def _stretch(self, stretch: Stretch, evaluate: bool) -> list[Evaluation]:
        for shape, rank, columns in stretch.writes:
            hosts, ts, values, _ = columns
            for part in shape.parts:
                part.metric.extend(hosts, rank, ts, part.layout, values[:, part.take])
            self._written(shape, hosts, ts)
            if not evaluate:
                self._note_filled([(shape, columns)])
        return self._evaluate(stretch.span) if evaluate else []

    def _written(self, shape: Shape, hosts: IntArray, ts: Int64Array) -> None:
        self._newest_ms[hosts] = np.maximum(self._newest_ms[hosts], ts)  # of several of a host the newest is the last
        self.matched_samples += shape.matched * len(hosts)
        for part in shape.parts:
            if part.metric.moved:
                self._invalidate(part.metric)
        if shape.rules is None:
            readers = frozenset(int(rule) for part in shape.parts for rule in self._readers[part.metric])
            shape.rules = self._program.chain.with_readers(readers)

    def evaluate_at(self, at_ms: int, rules: Sequence[Rule] | None = None) -> list[Evaluation]:
        """Rules (None: all) for every host of which they select anything, at one time; no tick moves. For tests."""
        hosts = self._known(self._hosts.names)
        if not len(hosts):
            return []
        run = Run(hosts, np.full(len(hosts), at_ms, dtype=np.int64), self._lookback_ms)
        runs: dict[bytes, Run] = {}
        program = self._program
        chosen = range(len(program.rules)) if rules is None else [program.number_of[rule] for rule in rules]
        with np.errstate(all="ignore"):
            found = [self._run(rule, run, runs, write=False) for rule in chosen]
        return [evaluation for evaluation in found if evaluation is not None]

    def evaluate_again(self, rule: Rule, hosts: Iterable[str]) -> Evaluation | None:
        """A rule at the last tick of those of the hosts whose windows were whole then, once more; no tick moves.

        None where there is none, and in a group with an interval: not all that the warm-up brings was evaluated.
        """
        number, known = self._program.number_of[rule], self._known(hosts)
        at_ms = self._last_tick[number, known]
        whole = (at_ms > NEVER) & (at_ms - self._needed_ms(number) >= (self._complete_from_ms or 0))
        if not whole.any() or number in self._program.paced:
            return None
        with np.errstate(all="ignore"):
            return self._run(number, Run(known[whole], at_ms[whole], self._lookback_ms), {}, write=False)

    def _known(self, hosts: Iterable[str]) -> IntArray:
        """The numbers, ascending, of those hosts that have one."""
        return np.array(sorted({n for host in hosts if (n := self._hosts.get(host)) is not None}), dtype=np.intp)

    def replace_rules(self, rules: RuleSet) -> bool:
        """Go on with other rules; False, and nothing done, when they need windows that are not here.

        A rule that stays but for thresholds and times keeps its ticks, a new one begins with the next. Raises RuleError
        for one that cannot run on the stream; then nothing is done either.
        """
        before, program = self._program, Program(rules, self._lookback_ms, self._ahead_ms)
        if not program.may_follow(before):
            return False
        places = np.array(program.places_in(before), dtype=np.intp)
        kept = np.flatnonzero(places >= 0)
        ticks = np.tile(self._newest_ms, (len(places), 1))
        ticks[kept] = self._last_tick[places[kept]]
        self._cold_ms = [self._cold_ms[place] if place >= 0 else NEVER for place in places.tolist()]
        program.chain.take_over(before.chain)
        self._program, self._last_tick = program, ticks
        self._plan = np.full(ticks.shape, _UNRESOLVED, dtype=np.int64)
        self._filled, self._late = None, {}
        self._plans = Plans(program.exprs, self._keys, self._keep_names)
        self._intake.forget_shapes()
        for name, metric in self._intake.metrics.items():
            self._add_metric(name, metric)
        return True

    @property
    def longest_ms(self) -> int:
        """How long a sample can be read after its time: the longest range, and the lookback."""
        return max(self._program.reach_ms, default=0) + self._lookback_ms

    def labels_of(self, key: int) -> Mapping[str, str]:
        """The label set of a key, without ``__name__``; cached, not to be changed. KeyError: a forgotten host's.

        A result whose labels do not name its host (``sum by (host)`` of series without that label) gets ``host``.
        """
        return self._keys.labels_of(key)

    def last_tick(self, rule: Rule, host: str) -> int | None:
        """The newest tick at which `rule` was evaluated for `host`, or None."""
        number = self._hosts.get(host)
        if number is None:
            return None
        tick = int(self._last_tick[self._program.number_of[rule], number])
        return None if tick == NEVER else tick

    def waiting_on(self, evaluation: Evaluation) -> Iterator[tuple[Rule, Unevaluated]]:
        """Of a recording rule's evaluation: rules that read the recording, and what they cannot have of it yet.

        That is, of what was recorded just now, and at any hand where nothing was because the rule was held.
        """
        rule = self._program.number_of[evaluation.rule]
        if not any(readers[rule] for readers in self._program.readers_of):
            return
        held = evaluation.held
        with_result = np.zeros(len(held), dtype=np.bool_)
        with_result[evaluation.host_index] = True
        for readers, concerned in zip(self._program.readers_of, (with_result, held), strict=True):
            if readers[rule] and concerned.any():
                waiting = Unevaluated(evaluation.host[concerned], evaluation.appended_ms[:, concerned])
                for reader in readers[rule]:
                    yield self._program.rules[reader], waiting

    def take_late(self) -> list[tuple[Rule, Unevaluated]]:
        """Of rules, what came since the last call and was too late to be evaluated."""
        late, self._late = self._late, {}
        return [(self._program.rules[rule], each) for rule in sorted(late) for each in late[rule]]

    @property
    def next_warm_ms(self) -> int:
        """The append time at which the next rule turns warm; far away when none does."""
        if self._complete_from_ms is None:
            return NEVER
        times = [self._complete_from_ms + self._needed_ms(rule) for rule in range(len(self._program.rules))]
        times += [self._cold_ms[read] + span_ms + 1 for reads in self._program.reads for read, span_ms in reads.items()]
        return min((time for time in times if time > max(self._now_ms, 0)), default=-NEVER)

    @property
    def host_names(self) -> Sequence[str]:
        """The hosts by their number in evaluations."""
        return self._hosts.names

    @property
    def host_capacity(self) -> int:
        """Every host's number is below this."""
        return self._hosts.capacity

    def adopt_filled_ticks(self) -> None:
        """The warm-up is over, and what it filled in was evaluated before: no rule evaluates a host's ticks again."""
        if self._filled is not None:
            self._last_tick = np.maximum(self._last_tick, self._filled)
            self._filled = None

    def _note_filled(self, each: Ticks) -> None:
        if self._filled is None or self._filled.shape != self._last_tick.shape:
            filled = np.full_like(self._last_tick, NEVER)
            if self._filled is not None:
                filled[:, : self._filled.shape[1]] = self._filled
            self._filled = filled
        for shape, columns in each:
            assert shape.rules is not None
            cells = np.ix_(np.array(sorted(shape.rules)), columns.hosts)
            self._filled[cells] = np.maximum(self._filled[cells], columns.ts)

    def forget(self, host: str) -> list[int]:
        """Drop the windows, ticks and keys of a host; returns the keys, which will be used again for others."""
        number = self._hosts.get(host)
        if number is None:
            return []
        self._intake.forget(number)
        self._program.chain.forget(number)
        keys = self._keys.forget(number)
        self._last_tick[:, number] = NEVER
        if self._filled is not None and number < self._filled.shape[1]:
            self._filled[:, number] = NEVER
        self._plan[:, number] = _UNRESOLVED
        self._newest_ms[number] = NEVER
        self._hosts.forget(host)
        return keys

    def forget_unused_keys(self) -> list[int]:
        """Drop the keys of series that were in no result since the call before the last; returns them, as `forget`."""
        self._program.chain.forget_forms()
        return self._keys.evict()

    def _resize(self, capacity: int) -> None:
        more = capacity - len(self._newest_ms)
        rules = len(self._program.rules)
        self._last_tick = np.concatenate([self._last_tick, np.full((rules, more), NEVER)], axis=1)
        self._plan = np.concatenate([self._plan, np.full((rules, more), _UNRESOLVED, dtype=np.int64)], axis=1)
        self._newest_ms = np.concatenate([self._newest_ms, np.full(more, NEVER)])
        for metric in self._intake.metrics.values():
            metric.resize(capacity)

    def _add_metric(self, name: str, metric: MetricWindows) -> None:
        self._readers[metric] = np.array(self._plans.add_metric(name, metric), dtype=np.intp)

    def _invalidate(self, metric: MetricWindows) -> None:
        """Hosts' windows moved to other rings: their plans are to be found again."""
        moved = np.fromiter(metric.moved, dtype=np.intp)
        self._plan[np.ix_(self._readers[metric], moved)] = _UNRESOLVED
        metric.moved.clear()
        if self._plans.too_many:
            self._plans.forget(used=len(np.unique(self._plan)))
            self._plan[:] = _UNRESOLVED

    def _evaluate(self, span: Span) -> list[Evaluation]:
        evaluations: list[Evaluation] = []
        host, at_ms = span.host(), span.at_ms()
        newer = span.newer(host)
        whole = Run(host, at_ms, self._lookback_ms, newer)
        evaluated = np.zeros(len(host), dtype=np.bool_)
        runs: dict[bytes, Run] = {}
        for rules, rows, appended_ms in self._in_order(span):
            run = _part(whole, slice(None) if rows is None else rows, runs, appended_ms)
            cells = (np.array(rules)[:, None], run.hosts)
            newer_ticks = run.at_ms > self._last_tick[cells]
            fresh = newer_ticks if self._program.paced.isdisjoint(rules) else newer_ticks & self._due(rules, run)
            if np.count_nonzero(fresh) == fresh.size:
                self._last_tick[cells] = run.at_ms  # of several ticks of a host the newest is the last
                evaluations += self._together(rules, self._plan[cells], run, runs)
            else:
                found = (self._tick(rule, run, ticks, runs) for rule, ticks in zip(rules, fresh, strict=True))
                evaluations += [evaluation for evaluation in found if evaluation is not None]
            for metric in self._program.chain.taken(rules, self._intake.metrics):
                if metric.moved:
                    self._invalidate(metric)
            evaluated[slice(None) if rows is None else rows] |= newer_ticks.any(axis=0)
        self.late_samples += span.samples_of(~evaluated)
        evaluations.sort(key=lambda evaluation: self._program.number_of[evaluation.rule])
        return evaluations

    def _in_order(self, span: Span) -> Iterator[Touched]:
        """What is to be evaluated: rules that read what others record come after them."""
        levels = self._program.chain.levels
        if len(levels) < 2:
            yield from span.touched()
            return
        touched = list(span.touched())
        for level in map(frozenset, levels):
            for each in touched:
                rules = [rule for rule in each.rules if rule in level]
                if rules:
                    yield each._replace(rules=rules)

    def _due(self, rules: list[int], run: Run) -> BoolArray:
        """bool[rules, h]: ticks that are a host's first in their interval of each rule's group."""
        every_ms = self._program.every_ms[rules][:, None]
        before_ms = self._last_tick[np.array(rules)[:, None], run.hosts]
        same = run.hosts[1:] == run.hosts[:-1]  # several ticks of a host are neighbours, ascending
        before_ms[:, 1:] = np.where(same, np.maximum(before_ms[:, 1:], run.at_ms[:-1]), before_ms[:, 1:])
        result: BoolArray = run.at_ms // every_ms > before_ms // every_ms
        return result

    def _together(self, rules: list[int], plans: Int64Array, run: Run, runs: dict[bytes, Run]) -> list[Evaluation]:
        """Evaluate rules at every tick of the run; `plans` int64[rules, h] are those of its hosts, as far as known."""
        alike = ((plans == plans[:, :1]).all(axis=1) & (plans[:, 0] != _UNRESOLVED)).tolist()
        found = [
            self._counted(rule, self._joined(rule, [(plan, run)]) if same else self._run(rule, run, runs))
            for rule, same, plan in zip(rules, alike, plans[:, 0].tolist(), strict=True)
        ]
        return [evaluation for evaluation in found if evaluation is not None]

    def _tick(self, rule: int, run: Run, fresh: BoolArray, runs: dict[bytes, Run]) -> Evaluation | None:
        """Evaluate a rule at those ticks of the run (bool[h]) that are newer than its last, and due."""
        if not fresh.all():
            assert run.appended_ms is not None
            self._late.setdefault(rule, []).append(Unevaluated(run.hosts[~fresh], run.appended_ms[:, ~fresh]))
            if not fresh.any():
                return None
            run = _part(run, np.flatnonzero(fresh), runs)
        self._last_tick[rule, run.hosts] = run.at_ms
        return self._counted(rule, self._run(rule, run, runs))

    def _counted(self, rule: int, evaluation: Evaluation | None) -> Evaluation | None:
        if evaluation is not None:
            self.evaluated += len(evaluation.host)
            if not evaluation.warm:
                self._cold_ms[rule] = max(self._cold_ms[rule], int(evaluation.appended_ms[1].max()))
        return evaluation

    def _run(self, rule: int, run: Run, runs: dict[bytes, Run], write: bool = True) -> Evaluation | None:
        """Evaluate a rule for a run; None when it selects nothing of its hosts. `runs`: parts of runs that ran."""
        plans = self._plan[rule, run.hosts]
        if (plans == _UNRESOLVED).any():
            hosts = np.unique(run.hosts[plans == _UNRESOLVED])
            self._plan[rule, hosts] = self._plans.resolve(rule, hosts, self._hosts.names)
            plans = self._plan[rule, run.hosts]
        if (plans == plans[0]).all():
            return self._joined(rule, [(int(plans[0]), run)], write)
        numbers = np.unique(plans)
        groups = [(int(n), _part(run, np.flatnonzero(plans == n), runs)) for n in numbers]
        return self._joined(rule, groups, write)

    def _joined(self, rule: int, groups: Sequence[tuple[int, Run]], write: bool = True) -> Evaluation | None:
        """Evaluate a rule by plans, each for a run; `write`: what others read of it goes into their windows."""
        warm = self._is_warm(rule)
        results: list[Result] = []
        for number, group in groups:
            plan = self._plans.plans[number]
            if not plan.nothing:
                results.append(result_of(plan, group, self._keys) if warm else cold_result(group))
                if warm and write and rule in self._program.chain.recorders:
                    self._program.chain.write(rule, plan, group, self._intake, self._hosts.names)
        return joined(self._program.rules[rule], results, self._hosts.names, warm) if results else None

    def _needed_ms(self, rule: int) -> int:
        """What must have been seen of the stream before a rule's windows are right."""
        return self._program.reread_ms[rule] if self._filled_back else self._program.reach_ms[rule]

    def lacks(self) -> list[Lack]:
        """What long windows that are not warm need of the past; each selector once. Empty when `fill_back` was done."""
        seen_ms = NEVER if self._complete_from_ms is None else self._now_ms - self._complete_from_ms
        found: dict[Selector, int] = {}
        for reaches in () if self._filled_back else self._program.long_ms:
            for selector, back_ms in reaches.items():
                if back_ms > seen_ms:
                    found[selector] = max(back_ms, found.get(selector, 0))
        return [Lack(selector, back_ms) for selector, back_ms in found.items()]

    def adopt(self, stored: Stored) -> None:
        """Put stored samples of the past into long windows."""
        with np.errstate(all="ignore"):
            self._intake.adopt(stored)
        metric = self._intake.metrics.get(stored.metric)
        if metric is not None and metric.moved:
            self._invalidate(metric)

    def fill_back(self) -> None:
        """All that `lacks` named was adopted: long windows are warm as soon as short ones are."""
        self._filled_back = True

    def _is_warm(self, rule: int) -> bool:
        assert self._complete_from_ms is not None
        seen_ms = self._now_ms - self._complete_from_ms
        return seen_ms >= self._needed_ms(rule) and all(
            seen_ms >= self._needed_ms(read) and self._now_ms - self._cold_ms[read] > span_ms
            for read, span_ms in self._program.reads[rule].items()
        )


def _part(run: Run, places: IntArray | slice, runs: dict[bytes, Run], appended_ms: Int64Array | None = None) -> Run:
    """The run of some ticks; one object for the same ticks. `appended_ms`: other ones than the run has of them."""
    hosts, at_ms = run.hosts[places], run.at_ms[places]
    if appended_ms is None and run.appended_ms is not None:
        appended_ms = run.appended_ms[:, places]
    token = b"".join(each.tobytes() for each in (hosts, at_ms, appended_ms) if each is not None)
    part = runs.get(token)
    if part is None:
        newer = None if run.newer is None else run.newer[places]
        part = runs[token] = Run(hosts, at_ms, run.lookback_ms, newer, appended_ms)
    return part
