"""Recordings that other rules read: their results go into the windows at once, at the tick that gave them.

So a rule and what it reads of other rules are of the same tick. The same samples come back through the topic, for
everybody else and for the next owner; here they are known by their times, and left out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.metric import host_of
from fleetpulse.promql.layout import LabelSet, with_host, without_host
from fleetpulse.promql.metric_windows import MetricWindows
from fleetpulse.promql.nodes import Run, present_of
from fleetpulse.promql.rings import NEVER, BoolArray, IntArray, absent
from fleetpulse.rules.intake import Intake
from fleetpulse.rules.model import Rule
from fleetpulse.rules.plans import Plan


class Chain:
    """What rules record for others. `levels` are the rules by number, each level after what it reads."""

    def __init__(self, rules: Sequence[Rule], reads: Sequence[Mapping[int, int]], every: Sequence[list[int]]) -> None:
        """`reads`: the recordings that each rule reads; `every`: the rules that read each, at any hand."""
        self.recorders = frozenset(read for each in reads for read in each)
        self.names = frozenset(rules[number].name for number in self.recorders)
        self._every = every
        self._rules = rules
        depth = [0] * len(rules)
        for _ in rules:  # a chain is no longer than that
            depth = [max((depth[read] + 1 for read in each), default=0) for each in reads]
        self.levels = [[number for number, own in enumerate(depth) if own == level] for level in sorted(set(depth))]
        self._written: dict[str, tuple[Int64Array, Int64Array]] = {}  # metric → first and last time of each host
        self._forms: dict[tuple[int, tuple[LabelSet, ...], bool], tuple[list[int], list[LabelSet]]] = {}

    def with_readers(self, rules: frozenset[int]) -> frozenset[int]:
        """The rules, and all that read what they record."""
        return rules.union(*(self._every[rule] for rule in rules if rule in self.recorders))

    def taken(self, rules: Sequence[int], metrics: Mapping[str, MetricWindows]) -> list[MetricWindows]:
        """The metrics among `metrics` that rules record for others."""
        names = (self._rules[rule].name for rule in rules if rule in self.recorders)
        return [metrics[name] for name in names if name in metrics]

    def write(self, rule: int, plan: Plan, run: Run, intake: Intake, names: Sequence[str]) -> None:
        """Put what a plan of a recording gave at the ticks of a run into the windows."""
        present, value = _result(plan, run)
        rows = np.flatnonzero(present.any(axis=1)) if present.shape[1] else np.zeros(0, dtype=np.intp)
        odd = np.array([":" in names[host] for host in run.hosts[rows].tolist()], dtype=np.bool_)
        for own in (rows[~odd], rows[odd]):
            if not len(own):
                continue
            hosts, ts = run.hosts[own], run.at_ms[own]
            take, columns = self._form(rule, plan, names[int(hosts[0])], intake)
            if take:
                cells = absent((len(own), len(take)))
                np.copyto(cells, value[own][:, take], where=present[own][:, take])
                intake.write(self._rules[rule].name, columns, hosts, ts, cells)
                self._note(self._rules[rule].name, hosts, ts)

    def is_echo(self, metrics: Sequence[str], host: int, first_ms: int, last_ms: int) -> bool:
        """Whether samples of these metrics, from the topic, were put into the windows here when they were made."""
        for name in metrics:
            known = self._written.get(name)
            if known is None or host >= len(known[0]) or not known[0][host] <= first_ms <= last_ms <= known[1][host]:
                return False
        return True

    def forget(self, host: int) -> None:
        """The number is another host's from now on."""
        for first, last in self._written.values():
            if host < len(first):
                first[host], last[host] = -NEVER, NEVER

    def forget_forms(self) -> None:
        """Results come and go; those that are needed are worked out again."""
        self._forms.clear()

    def take_over(self, before: "Chain") -> None:
        """Know what another one wrote, whose rules are replaced."""
        self._written = {name: before._written[name] for name in self.names if name in before._written}

    def _form(self, rule: int, plan: Plan, host: str, intake: Intake) -> tuple[list[int], list[LabelSet]]:
        """Which series of a plan's result rules read, and as which columns."""
        key = (rule, plan.output.labels, ":" in host)
        form = self._forms.get(key)
        if form is None:
            form = self._forms[key] = ([], [])
            for place, column in enumerate(plan.output.labels):
                labels = with_host(column, host)
                labels = labels if host_of(labels) == host else {**labels, "host": host}
                labels = {**labels, **self._rules[rule].labels}
                labels = {name: text for name, text in labels.items() if text}
                own = without_host(labels, host)
                if host_of(labels) == host and intake.selects(self._rules[rule].name, own):
                    form[0].append(place)
                    form[1].append(own)
        return form

    def _note(self, name: str, hosts: IntArray, ts: Int64Array) -> None:
        size = int(hosts.max()) + 1
        first, last = self._written.get(name, (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)))
        if size > len(first):
            more = 2 * size - len(first)
            first = np.concatenate([first, np.full(more, -NEVER)])
            last = np.concatenate([last, np.full(more, NEVER)])
            self._written[name] = (first, last)
        np.minimum.at(first, hosts, ts)
        np.maximum.at(last, hosts, ts)


def _result(plan: Plan, run: Run) -> tuple[BoolArray, Float64Array]:
    vector = run.of(plan.node)
    present: npt.NDArray[np.bool_] = present_of(vector)
    for node in plan.nodes:
        failure = run.failed.get(id(node))
        if failure is not None:
            present = present & ~failure[0][:, None]
    return present, vector.value
