"""Of a batch's evaluations: as what the alerts know the hosts, and when each was heard of. Worked out once a batch."""

from collections.abc import Mapping

import numpy as np

from fleetpulse.frames import Int64Array
from fleetpulse.promql.rings import IntArray
from fleetpulse.rules.evaluation import Evaluation
from fleetpulse.rules.evaluator import StreamEvaluator
from fleetpulse.rules.presence import Presence


class Heard:
    """The evaluations of one batch. `appended`: host → append time of its newest message, `append_ms` without."""

    def __init__(
        self, evaluator: StreamEvaluator, presence: Presence, appended: Mapping[str, int], append_ms: int
    ) -> None:
        self._presence = presence
        self._number: IntArray = np.full(evaluator.host_capacity, -1, dtype=np.intp)
        self._appended_ms: Int64Array = np.full(evaluator.host_capacity, append_ms, dtype=np.int64)
        for host, appended_ms in appended.items():
            number = evaluator.number_of(host)
            if number is not None:
                self._number[number] = presence.number(host)
                self._appended_ms[number] = appended_ms
        self._known: dict[int, tuple[Evaluation, IntArray, Int64Array]] = {}

    def of(self, evaluation: Evaluation) -> tuple[IntArray, Int64Array]:
        """Of each of its ticks: the host's number in the presence, and its append time in ms."""
        known = self._known.get(id(evaluation.host))
        if known is None:
            numbers = self._number[evaluation.host]
            known = self._known[id(evaluation.host)] = (evaluation, numbers, self._appended_ms[evaluation.host])
        return known[1], known[2]
