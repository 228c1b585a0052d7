"""Which alert of a rule is about which series: the evaluator's dense keys to the state machine's slots. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fleetpulse.frames import Int64Array
from fleetpulse.metric import canonical_key
from fleetpulse.rules.evaluation import Evaluation
from fleetpulse.rules.machine import BoolArray, IntArray

_UNKNOWN, _NO_SLOT = -1, -2  # of a key: not looked at yet; no alert is about it
_FIRST_KEYS = 64


class SeriesSlots:
    """Of one rule in one partition.

    A series gets a slot when it is first true: what never was near an alert costs nothing. An alert whose series has
    no key, as after a restart, waits for it by host and labels; while alerts wait, each series of their hosts is
    looked at once.
    """

    def __init__(self, labels_of: Callable[[int], Mapping[str, str]]) -> None:
        """`labels_of` gives the label set of a key."""
        self._labels_of = labels_of
        self._of_key: Int64Array = np.full(_FIRST_KEYS, _UNKNOWN, dtype=np.int64)
        self._waiting: dict[int, dict[str, int]] = {}  # host → labels → slot

    def of(self, keys: Sequence[int]) -> list[int]:
        """The slots of the alerts about the series of these keys; a key without one is left out."""
        known = np.array(keys, dtype=np.intp)
        slots = self._of_key[known[known < len(self._of_key)]]
        found: list[int] = slots[slots >= 0].tolist()
        return found

    def forget_keys(self, keys: Sequence[int] | None = None) -> None:
        """These keys, or all, mean something else now."""
        if keys is None:
            self._of_key[:] = _UNKNOWN
        else:
            freed = np.array(keys, dtype=np.intp)
            self._of_key[freed[freed < len(self._of_key)]] = _UNKNOWN

    def wait(self, host: int, series: Mapping[str, str], slot: int) -> None:
        """The alert of this slot finds its series again by labels."""
        self._waiting.setdefault(host, {})[canonical_key("", series)] = slot

    def look_again(self) -> None:
        """Alerts wait since now: also of series that had none may one be waiting."""
        self._of_key[self._of_key == _NO_SLOT] = _UNKNOWN

    def find(
        self, evaluation: Evaluation, hosts: IntArray, true: BoolArray, place: Callable[[int], int]
    ) -> npt.NDArray[np.intp]:
        """The slot of each series of the result, intp[n]; below 0: no alert is about it.

        `hosts` intp[h] are the presence's numbers, `true` bool[n] says which series need a slot, and `place` gives a
        new one to the series at that place of the result.
        """
        keys = evaluation.key
        self._make_room(int(keys.max(initial=-1)))
        slots = self._of_key[keys]
        wanted = (slots < 0) & true
        if self._waiting:
            wanted |= (slots == _UNKNOWN) & np.isin(hosts, list(self._waiting))[evaluation.host_index]
        for i in np.flatnonzero(wanted).tolist():
            key = int(keys[i])
            known = int(self._of_key[key])
            if known >= 0:  # since an earlier tick of the series
                continue
            slot = self._meet(int(hosts[int(evaluation.host_index[i])]), key) if known == _UNKNOWN else None
            if slot is None and true[i]:
                slot = place(i)
            self._of_key[key] = _NO_SLOT if slot is None else slot
        return self._of_key[keys].astype(np.intp)

    def _make_room(self, key: int) -> None:
        if key >= len(self._of_key):
            grown: Int64Array = np.full(2 * (key + 1), _UNKNOWN, dtype=np.int64)
            grown[: len(self._of_key)] = self._of_key
            self._of_key = grown

    def _meet(self, host: int, key: int) -> int | None:
        waiting = self._waiting.get(host)
        if waiting is None:
            return None
        slot = waiting.pop(canonical_key("", self._labels_of(key)), None)
        if not waiting:
            del self._waiting[host]
        return slot

    def give_back(self, slots: Collection[int]) -> None:
        """These slots will be another's."""
        gone = set(slots)
        if not gone:
            return
        self._of_key[np.isin(self._of_key, list(gone))] = _UNKNOWN
        for host, waiting in list(self._waiting.items()):
            left = {series: slot for series, slot in waiting.items() if slot not in gone}
            self._waiting[host] = left
            if not left:
                del self._waiting[host]
