"""The result of one rule for many hosts: what the state machine and the publication of recorded series read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fleetpulse.rules.model import Rule

LATE_MS = 60_000  # an event of a sample that came so long after its time says that it is late


class Unevaluated(NamedTuple):
    """What came for a rule and cannot be evaluated: `host` intp[n], as in `Evaluation`, perhaps repeated.

    `appended_ms` int64[2, n]: append times of the first and of the last message that brought it.
    """

    host: npt.NDArray[np.intp]
    appended_ms: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One rule evaluated at h ticks, each of one host; its series are n in all.

    Rules evaluated together share lists and arrays: nothing of it is to be changed. It is to be used before the
    evaluator is given more: a forgotten host's number is another's then.

    `host` intp[h] is the evaluator's number of each tick's host (`names` by number), `at_ms` int64[h] its time:
    hosts whose ticks differ (scraped targets do) are evaluated together, and so are several ticks of one host, the
    older first. The result vector is `host_index` int32[n] (position in `host`, ascending), `key` int64[n] (dense
    id of the label set without ``__name__``: `StreamEvaluator.labels_of(key)`; the same labels always have the same
    key while the evaluator lives) and `value` float64[n]. A tick that is not held, and not in `host_index`: the
    expression gave nothing for it. For an alert with thresholds the value is not yet compared.

    A **held** tick's host must stay as it is: either its window is not warm (`warm` False: the evaluator has seen
    less than the rule's reach), or its evaluation failed (`errors`: position in `host` → sentence, as when
    one-to-one matching finds two partners). Held ticks have no samples in the result.

    `appended_ms` int64[2, h]: append times of the first and of the last message that brought something for the rule
    at this tick.
    """

    rule: Rule
    host: npt.NDArray[np.intp]
    names: Sequence[str]
    at_ms: npt.NDArray[np.int64]
    appended_ms: npt.NDArray[np.int64]
    warm: bool
    host_index: npt.NDArray[np.int32]
    key: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    errors: Mapping[int, str] = field(default_factory=dict)

    @property
    def hosts(self) -> list[str]:
        """The name of each tick's host."""
        return [self.names[number] for number in self.host.tolist()]

    @property
    def held(self) -> npt.NDArray[np.bool_]:
        """bool[h]: ticks whose host's state must not change by this evaluation."""
        held = np.full(len(self.host), not self.warm)
        held[list(self.errors)] = True
        return held

    def part(self, places: npt.NDArray[np.intp]) -> "Evaluation":
        """Only the ticks at these positions, ascending."""
        place = np.full(len(self.host), -1, dtype=np.int32)
        place[places] = np.arange(len(places), dtype=np.int32)
        index = place[self.host_index]
        kept = index >= 0
        return Evaluation(
            rule=self.rule,
            host=self.host[places],
            names=self.names,
            at_ms=self.at_ms[places],
            appended_ms=self.appended_ms[:, places],
            warm=self.warm,
            host_index=index[kept],
            key=self.key[kept],
            value=self.value[kept],
            errors={int(place[old]): sentence for old, sentence in self.errors.items() if place[old] >= 0},
        )


def late_ticks(evaluation: Evaluation, hosts: npt.NDArray[np.intp]) -> frozenset[tuple[int, int]]:
    """(host, time) of the ticks that came `LATE_MS` and more after their time."""
    late = evaluation.appended_ms[1] - evaluation.at_ms > LATE_MS
    return frozenset(zip(hosts[late].tolist(), evaluation.at_ms[late].tolist(), strict=True))


def repeats(hosts: npt.NDArray[np.intp]) -> bool:
    """Whether a host is there twice."""
    return len(hosts) > 1 and len(np.unique(hosts)) < len(hosts)


def one_a_host(hosts: npt.NDArray[np.intp], places: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
    """The places as arrays with each host once: the first place of every host, then the second, and so on."""
    if not len(places):
        return []
    order = np.argsort(hosts[places], kind="stable")
    starts = np.flatnonzero(np.diff(hosts[places][order], prepend=-1))
    if len(starts) == len(places):
        return [places]
    rank = np.empty(len(places), dtype=np.intp)
    rank[order] = np.arange(len(places)) - np.repeat(starts, np.diff(starts, append=len(places)))
    return [places[rank == number] for number in range(int(rank.max()) + 1)]
