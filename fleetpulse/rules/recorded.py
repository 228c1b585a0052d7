"""Results of recording rules as wire blocks: one block a host and tick, ready to be published."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fleetpulse.metric import canonical_key
from fleetpulse.rules.evaluation import Evaluation
from fleetpulse.rules.model import Rule, RuleKind, RuleSet
from fleetpulse.wire import Block, join_keys

_KEY_BITS = 44  # of a series number: the rule's number above, the result's key below
_MAX_FORMS = 200_000


class RecordedSeries:
    """Names results: the series text of a host's block is worked out once for each set of results."""

    def __init__(self, rules: RuleSet, labels_of: Callable[[int], Mapping[str, str]]) -> None:
        """`labels_of` is the evaluator's."""
        self._rules = rules.rules
        self._number_of = {rule: number for number, rule in enumerate(self._rules)}
        self._labels_of = labels_of
        self._forms: dict[bytes, tuple[dict[str, str], bytes]] = {}

    def blocks(self, evaluations: Sequence[Evaluation]) -> list[Block]:
        """The blocks of all recording rules among the evaluations, ordered by host and time."""
        recorded = [e for e in evaluations if e.rule.kind is RuleKind.RECORD and len(e.value)]
        if not recorded:
            return []
        names = sorted({host for evaluation in recorded for host in evaluation.hosts})
        place = {name: i for i, name in enumerate(names)}
        host = np.concatenate([np.array([place[h] for h in e.hosts])[e.host_index] for e in recorded])
        at_ms = np.concatenate([e.at_ms[e.host_index] for e in recorded])
        series = np.concatenate([(self._number_of[e.rule] << _KEY_BITS) + e.key for e in recorded])
        value = np.concatenate([e.value for e in recorded])
        order = np.lexsort((series, at_ms, host))
        host, at_ms, series, value = host[order], at_ms[order], series[order], value[order]
        starts = np.flatnonzero(np.diff(host, prepend=-1) | np.diff(at_ms, prepend=at_ms[0]))
        blocks = []
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(host)], strict=True):
            common, text = self._form(series[start:end])
            packed = value[start:end].astype("<f8", copy=False).tobytes()
            blocks.append(Block(names[host[start]], common, text, int(at_ms[start]), packed))
        return blocks

    def forget_keys(self) -> None:
        """The evaluator forgot hosts: their keys may come to mean something else."""
        self._forms.clear()

    def _form(self, series: np.ndarray) -> tuple[dict[str, str], bytes]:
        """Common labels and series text for series numbers int64[k] of one host."""
        token = series.tobytes()
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


def _recorded_labels(rule: Rule, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of a recorded series: the rule's own win, an empty one removes."""
    return {name: value for name, value in {**labels, **rule.labels}.items() if value}
