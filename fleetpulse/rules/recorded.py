"""Results of recording rules as wire blocks, ready to be published: one block a host.

Several ticks of a host are one block when they have the same series: that costs less than a block a tick, here and
for everybody who reads it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.metric import canonical_key
from fleetpulse.rules.evaluation import Evaluation
from fleetpulse.rules.model import Rule, RuleKind, RuleSet
from fleetpulse.wire import Block, join_keys

_KEY_BITS = 44  # of a series number: the rule's number above, the result's key below
_MAX_FORMS = 200_000


class Row(NamedTuple):
    """One host's results at one time: `series` int64[k], numbers of series, and `value` float64[k]."""

    host: int
    at_ms: int
    series: Int64Array
    value: Float64Array


class RecordedSeries:
    """Names results: the series text of a host's block is worked out once for each set of results."""

    def __init__(self, rules: RuleSet, labels_of: Callable[[int], Mapping[str, str]]) -> None:
        """`labels_of` is the evaluator's."""
        self._rules = rules.rules
        self._number_of = {rule: number for number, rule in enumerate(self._rules)}
        self._labels_of = labels_of
        self._forms: dict[bytes, tuple[dict[str, str], bytes]] = {}

    def blocks(self, evaluations: Sequence[Evaluation]) -> list[Block]:
        """The blocks of all recording rules among the evaluations, by host; a host's ticks in order of time."""
        recorded = [e for e in evaluations if e.rule.kind is RuleKind.RECORD and len(e.value)]
        if not recorded:
            return []
        spans: dict[int, list[Evaluation]] = {}
        for evaluation in recorded:
            spans.setdefault(id(evaluation.host), []).append(evaluation)
        # One rule is evaluated once a tick: spans of the same rules have no tick in common.
        alike = len({tuple(self._number_of[e.rule] for e in span) for span in spans.values()}) == 1
        if alike and all(map(_is_dense, recorded)):
            return [block for span in spans.values() for block in self._dense(span)]
        return self._joined(self._sparse(recorded), recorded[0].names)

    def _dense(self, evaluations: Sequence[Evaluation]) -> list[Block]:
        """The blocks of evaluations of the same ticks that have the same number of results for each."""
        first = evaluations[0]
        count = len(first.host)
        series = np.concatenate([self._numbers(e).reshape(count, -1) for e in evaluations], axis=1)
        value = np.concatenate([e.value.reshape(count, -1) for e in evaluations], axis=1)
        order = np.lexsort((first.at_ms, first.host))
        host, at_ms, series = first.host[order], first.at_ms[order], series[order]
        packed = value[order].astype("<f8", copy=False)
        width = series.shape[1]
        times = np.repeat(at_ms.astype("<i8", copy=False), width).reshape(-1, width)
        begins = np.ones(count, dtype=np.bool_)
        begins[1:] = (host[1:] != host[:-1]) | (series[1:] != series[:-1]).any(axis=1)
        starts = np.flatnonzero(begins).tolist()
        blocks = []
        for a, b in zip(starts, [*starts[1:], count], strict=True):
            common, text = self._form(series[a], series[a].tobytes())
            name, bits = first.names[int(host[a])], packed[a:b].tobytes()
            if b - a == 1:
                blocks.append(Block(name, common, text, int(at_ms[a]), bits))
            else:
                blocks.append(Block(name, common, text, times[a:b].tobytes(), bits, _indices(width, b - a)))
        return blocks

    def _sparse(self, evaluations: Sequence[Evaluation]) -> list[Row]:
        host = np.concatenate([e.host[e.host_index] for e in evaluations])
        at_ms = np.concatenate([e.at_ms[e.host_index] for e in evaluations])
        series = np.concatenate([self._numbers(e) for e in evaluations])
        value = np.concatenate([e.value for e in evaluations])
        order = np.lexsort((series, at_ms, host))
        host, at_ms, series, value = host[order], at_ms[order], series[order], value[order]
        starts = np.flatnonzero(np.diff(host, prepend=-1) | np.diff(at_ms, prepend=at_ms[0])).tolist()
        ends = [*starts[1:], len(host)]
        return [Row(int(host[a]), int(at_ms[a]), series[a:b], value[a:b]) for a, b in zip(starts, ends, strict=True)]

    def _numbers(self, evaluation: Evaluation) -> Int64Array:
        return (self._number_of[evaluation.rule] << _KEY_BITS) + evaluation.key

    def _joined(self, rows: Sequence[Row], names: Sequence[str]) -> list[Block]:
        """Neighbouring rows of one host and the same series as one block."""
        blocks: list[Block] = []
        alike: list[Row] = []
        token = b""
        for row in rows:
            own = row.series.tobytes()
            if alike and (row.host != alike[0].host or own != token):
                blocks.append(self._block(alike, token, names))
                alike = []
            token = own
            alike.append(row)
        blocks.append(self._block(alike, token, names))
        return blocks

    def _block(self, rows: Sequence[Row], token: bytes, names: Sequence[str]) -> Block:
        first = rows[0]
        common, text = self._form(first.series, token)
        if len(rows) == 1:
            packed = first.value.astype("<f8", copy=False).tobytes()
            return Block(names[first.host], common, text, first.at_ms, packed)
        width = len(first.series)
        ts = np.repeat(np.array([row.at_ms for row in rows], dtype="<i8"), width).tobytes()
        value = np.concatenate([row.value for row in rows]).astype("<f8", copy=False).tobytes()
        return Block(names[first.host], common, text, ts, value, _indices(width, len(rows)))

    def forget_keys(self) -> None:
        """The evaluator forgot hosts: their keys may come to mean something else."""
        self._forms.clear()

    def _form(self, series: Int64Array, token: bytes) -> tuple[dict[str, str], bytes]:
        """Common labels and series text for series numbers int64[k] of one host; `token` is their bytes."""
        form = self._forms.get(token)
        if form is None:
            if len(self._forms) >= _MAX_FORMS:
                self._forms.clear()
            form = self._forms[token] = self._named(series.tolist())
        return form

    def _named(self, series: list[int]) -> tuple[dict[str, str], bytes]:
        rules = [self._rules[number >> _KEY_BITS] for number in series]
        labels = [
            _recorded_labels(rule, self._labels_of(number & ((1 << _KEY_BITS) - 1)))
            for rule, number in zip(rules, series, strict=True)
        ]
        common = dict(set.intersection(*(set(each.items()) for each in labels)))
        own = [{name: value for name, value in each.items() if name not in common} for each in labels]
        return common, join_keys(canonical_key(rule.name, each) for rule, each in zip(rules, own, strict=True))


@lru_cache(256)
def _indices(width: int, rows: int) -> bytes:
    """The packed indices of so many rows that all have every series."""
    return np.tile(np.arange(width, dtype="<u4"), rows).tobytes()


def _recorded_labels(rule: Rule, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of a recorded series: the rule's own win, an empty one removes."""
    return {name: value for name, value in {**labels, **rule.labels}.items() if value}


def _is_dense(evaluation: Evaluation) -> bool:
    """Whether every tick has the same number of results; they are in order of the ticks."""
    ticks = np.arange(len(evaluation.host))
    each, rest = divmod(len(evaluation.host_index), len(ticks))
    return not rest and all((evaluation.host_index[place::each] == ticks).all() for place in (0, each - 1))
