"""Dense keys for the label sets of results: a host's keys for a result layout are worked out once, not each tick.

What is kept is bounded by the series of two periods between calls of `evict`: series come and go on hosts that stay.
"""

from collections.abc import Mapping
from weakref import WeakValueDictionary

import numpy as np

from fleetpulse.frames import Int64Array
from fleetpulse.metric import host_of
from fleetpulse.promql.layout import LabelSet, with_host
from fleetpulse.promql.rings import BoolArray, IntArray
from fleetpulse.rules.hosts import HostNumbers

_FEW = 32  # hosts of an output that are kept one by one: where every host has its own devices, outputs are many


class Output:
    """The series of a result, without ``__name__``, and the keys of the hosts that have it.

    `few` are the keys of a host and the period in which they were used last; `keys` int64[host, series], -1 where not
    worked out, and `used` int32[host] take over when hosts are many.
    """

    def __init__(self, labels: tuple[LabelSet, ...]) -> None:
        self.labels = labels
        self.few: dict[int, tuple[Int64Array, int]] = {}
        self.keys: Int64Array | None = None
        self.used = np.zeros(0, dtype=np.int32)

    def forget(self, host: int) -> None:
        """The number is another host's from now on."""
        self.few.pop(host, None)
        if self.keys is not None and host < len(self.keys):
            self.keys[host] = -1


class ResultKeys:
    """One key for one (host, label set), for as long as the host is known and the key is used; then it is another's."""

    def __init__(self, hosts: HostNumbers) -> None:
        self._hosts = hosts
        self._labels: list[Mapping[str, str] | None] = []
        self._of: list[tuple[int, LabelSet]] = []  # by key: host and column
        self._free: list[int] = []
        self._known: dict[int, dict[LabelSet, int]] = {}
        self._outputs: WeakValueDictionary[tuple[LabelSet, ...], Output] = WeakValueDictionary()  # plans hold them
        self._period = 0

    def __len__(self) -> int:
        return len(self._labels) - len(self._free)

    def output(self, labels: tuple[LabelSet, ...]) -> Output:
        """The output with these series."""
        output = self._outputs.get(labels)
        if output is None:
            output = self._outputs[labels] = Output(labels)
        return output

    def of(self, output: Output, hosts: IntArray) -> Int64Array:
        """int64[h, series]: the keys of an output's series for each host."""
        if not output.labels:
            return np.zeros((len(hosts), 0), dtype=np.int64)
        if output.keys is None:
            if len(hosts) == 1:
                return self._own(output, int(hosts[0]))[None, :]
            distinct = np.unique(hosts).tolist()
            if len(output.few.keys() | set(distinct)) <= _FEW:
                own = {host: self._own(output, host) for host in distinct}
                return np.array([own[host] for host in hosts.tolist()], dtype=np.int64)
        return self._of_many(output, hosts)

    def _own(self, output: Output, host: int) -> Int64Array:
        found = output.few.get(host)
        if found is not None and found[1] == self._period:
            return found[0]
        keys = found[0] if found is not None else self._worked_out(output, host)
        output.few[host] = (keys, self._period)
        return keys

    def _of_many(self, output: Output, hosts: IntArray) -> Int64Array:
        all_keys = self._made_room(output)
        keys: Int64Array = all_keys[hosts]
        if np.count_nonzero(keys[:, 0] < 0):
            for host in np.unique(hosts[keys[:, 0] < 0]).tolist():
                all_keys[host] = self._worked_out(output, host)
            keys = all_keys[hosts]
        output.used[hosts] = self._period
        return keys

    def _made_room(self, output: Output) -> Int64Array:
        before = np.zeros((0, len(output.labels)), dtype=np.int64) if output.keys is None else output.keys
        if output.keys is None or len(before) < self._hosts.capacity:
            keys = np.full((self._hosts.capacity, len(output.labels)), -1, dtype=np.int64)
            keys[: len(before)] = before
            used = np.zeros(self._hosts.capacity, dtype=np.int32)
            used[: len(before)] = output.used
            for host, (own, period) in output.few.items():
                keys[host], used[host] = own, period
            output.few.clear()
            output.keys, output.used = keys, used
            return keys
        return before

    def _worked_out(self, output: Output, host: int) -> Int64Array:
        return np.array([self._key(host, labels) for labels in output.labels], dtype=np.int64)

    def labels_of(self, key: int) -> Mapping[str, str]:
        """The label set; KeyError for a key that was forgotten."""
        labels = self._labels[key]
        if labels is None:
            raise KeyError(key)
        return labels

    def forget(self, host: int) -> list[int]:
        """Drop a host's keys; returns them."""
        keys = list(self._known.pop(host, {}).values())
        for key in keys:
            self._labels[key] = None
        self._free += keys
        for output in list(self._outputs.values()):
            output.forget(host)
        return keys

    def evict(self) -> list[int]:
        """Begin a period, and drop the keys that no result had in the two before it; returns them."""
        self._period += 1
        unused: BoolArray = np.array([labels is not None for labels in self._labels], dtype=np.bool_)
        for output in list(self._outputs.values()):
            unused[self._used_lately(output)] = False
        keys: list[int] = np.flatnonzero(unused).tolist()
        for key in keys:
            host, column = self._of[key]
            own = self._known[host]
            del own[column]
            if not own:
                del self._known[host]
            self._labels[key] = None
        self._free += keys
        return keys

    def _used_lately(self, output: Output) -> Int64Array:
        """The keys that an output had of late; it forgets all others."""
        since = self._period - 2
        if output.keys is not None:
            output.keys[output.used < since] = -1
            return output.keys[output.keys >= 0]
        output.few = {host: own for host, own in output.few.items() if own[1] >= since}
        return np.concatenate([np.zeros(0, dtype=np.int64), *(keys for keys, _ in output.few.values())])

    def _key(self, host: int, column: LabelSet) -> int:
        known = self._known.setdefault(host, {})
        key = known.get(column)
        if key is None:
            name = self._hosts.names[host]
            labels = with_host(column, name)
            if host_of(labels) != name:
                labels["host"] = name  # a result belongs to its host also when the expression dropped the label
            if self._free:
                key = self._free.pop()
                self._labels[key], self._of[key] = labels, (host, column)
            else:
                key = len(self._labels)
                self._labels.append(labels)
                self._of.append((host, column))
            known[column] = key
        return key
