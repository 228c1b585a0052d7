"""What recording rules computed, as blocks for `fleetpulse.metrics`: one block a host and tick."""

from collections.abc import Callable, Iterable, Mapping

from fleetpulse.metric import canonical_key
from fleetpulse.rules.evaluation import Evaluation
from fleetpulse.rules.model import RuleKind
from fleetpulse.wire import Block, join_keys, make_block


class Recorder:
    """Names the results of recording rules; remembers the names. `labels_of` is the evaluator's."""

    def __init__(self, labels_of: Callable[[int], Mapping[str, str]]) -> None:
        self._labels_of = labels_of
        self._names: dict[str, dict[int, str]] = {}

    def blocks(self, evaluations: Iterable[Evaluation]) -> list[Block]:
        """The recorded samples of a batch; alerting rules are passed over."""
        gathered: dict[tuple[str, int], tuple[list[str], list[float]]] = {}
        for evaluation in evaluations:
            if evaluation.rule.kind is not RuleKind.RECORD:
                continue
            rule = evaluation.rule
            names = self._names.setdefault(rule.hash, {})
            at = evaluation.at_ms.tolist()
            columns = (evaluation.host_index.tolist(), evaluation.key.tolist(), evaluation.value.tolist())
            for row, key, value in zip(*columns, strict=True):
                name = names.get(key)
                if name is None:
                    labels = {**self._labels_of(key), **rule.labels}
                    name = names[key] = canonical_key(rule.name, labels)
                series, values = gathered.setdefault((evaluation.hosts[row], at[row]), ([], []))
                series.append(name)
                values.append(value)
        return [
            make_block(host, {}, join_keys(series), at_ms, values)
            for (host, at_ms), (series, values) in gathered.items()
        ]
