"""The result of one rule for many hosts: what the state machine and the publication of recorded series read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fleetpulse.rules.model import Rule


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One rule evaluated once for each of h hosts; a host appears at most once, its series n times in all.

    Rules evaluated together share lists and arrays: nothing of it is to be changed.

    `at_ms` int64[h] is each host's tick: hosts whose ticks differ (scraped targets do) are evaluated together.
    The result vector is `host_index` int32[n] (position in `hosts`), `key` int64[n] (dense id of the label set
    without ``__name__``: `StreamEvaluator.labels_of(key)`; the same labels always have the same key while the
    evaluator lives) and `value` float64[n]. A host that is in `hosts`, not held, and not in `host_index`: the
    expression gave nothing for it. For an alert with thresholds the value is not yet compared.

    A **held** host's state must stay as it is: either its window is not warm (`not_warm` bool[h]: the evaluator
    has seen less than the rule's reach), or its evaluation failed (`errors`: position in `hosts` → sentence, as
    when one-to-one matching finds two partners). Held hosts have no samples in the result.
    """

    rule: Rule
    hosts: list[str]
    at_ms: npt.NDArray[np.int64]
    not_warm: npt.NDArray[np.bool_]
    host_index: npt.NDArray[np.int32]
    key: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    errors: Mapping[int, str] = field(default_factory=dict)

    @property
    def held(self) -> npt.NDArray[np.bool_]:
        """bool[h]: hosts whose state must not change by this evaluation."""
        held = self.not_warm.copy()
        held[list(self.errors)] = True
        return held
