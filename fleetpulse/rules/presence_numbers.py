"""Of a batch's evaluations: the hosts as what the alerts know them. Worked out once a batch."""

from collections.abc import Sequence

import numpy as np

from fleetpulse.promql.rings import IntArray
from fleetpulse.rules.presence import Presence


class PresenceNumbers:
    """Numbers of hosts in evaluations (`names` by number) to their numbers in the presence."""

    def __init__(self, presence: Presence, names: Sequence[str], capacity: int, known: IntArray | None = None) -> None:
        """`known` intp[hosts]: the numbers in the presence, where they are known of every host."""
        self._presence = presence
        self._names = names
        self._number: IntArray = np.full(capacity, -1, dtype=np.intp) if known is None else known
        self._known: dict[int, tuple[IntArray, IntArray]] = {}

    def of(self, hosts: IntArray) -> IntArray:
        """intp[n] for hosts intp[n], which are not changed as long as this is used."""
        known = self._known.get(id(hosts))
        if known is None:
            numbers = self._number[hosts]
            if (numbers < 0).any():
                for host in np.unique(hosts[numbers < 0]).tolist():
                    self._number[host] = self._presence.number(self._names[host])
                numbers = self._number[hosts]
            known = self._known[id(hosts)] = (hosts, numbers)
        return known[1]
