"""Signs of life of hosts: what tells a silent host from one that lives without a rule's series, read when needed."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fleetpulse.hindsight.explained import UP
from fleetpulse.rules.presence import OWN_JOB
from fleetpulse.storage.history import History
from fleetpulse.storage.tiers import Tier

_OTHERS = 50  # hosts that are asked whether anything came at all


class Signs(NamedTuple):
    """Times, in order, at which hosts sent ``up``; `others_ms`: those of hosts that send a rule nothing."""

    hosts: list[str]
    at_ms: list[int]
    others_ms: list[int]


class SignsOfLife:
    """Reads the series ``up``, which every host sends."""

    def __init__(self, history: History, hosts: Sequence[str], tier: Tier) -> None:
        """`hosts` are those of the rules; `labels` will be those of their series ``up``. Raises UnavailableError."""
        self._history, self._hosts, self._tier = history, frozenset(hosts), tier
        self._ids: dict[str, list[int]] = {}
        self.labels: dict[str, Mapping[str, str]] = {}
        for each in history.series([UP]):
            if each.labels.get("job") != OWN_JOB:
                self._ids.setdefault(each.host, []).append(each.id)
                if each.host in self._hosts:
                    self.labels.setdefault(each.host, each.labels)

    def read(self, hosts: Sequence[str], of_others: bool, start_ms: int, end_ms: int) -> Signs:
        """Of `hosts` in [start, end), and of some others too. Raises UnavailableError."""
        if not hosts and not of_others:
            return Signs([], [], [])
        ids = self._ids
        known = [(host, id_) for host in hosts for id_ in ids.get(host, ())]
        others = [host for host in ids if host not in self._hosts][:_OTHERS] if of_others else []
        places = [*known, *((host, id_) for host in others for id_ in ids[host])]
        found = self._history.samples([id_ for _, id_ in places], start_ms, end_ms, self._tier)
        order = found.ts.argsort(kind="stable")
        series, ts = found.series[order], found.ts[order]
        own = series < len(known)
        return Signs([known[place][0] for place in series[own].tolist()], ts[own].tolist(), ts[~own].tolist())
