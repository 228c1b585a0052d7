"""Dense keys for the label sets of results: a host's keys for a result layout are worked out once, not each tick."""

from collections.abc import Mapping

import numpy as np

from fleetpulse.frames import Int64Array
from fleetpulse.metric import host_of
from fleetpulse.promql.layout import LabelSet, with_host
from fleetpulse.promql.rings import IntArray
from fleetpulse.rules.hosts import HostNumbers


class Output:
    """The series of a result, without ``__name__``; `keys` int64[host, series], -1 where not worked out."""

    def __init__(self, labels: tuple[LabelSet, ...]) -> None:
        self.labels = labels
        self.keys: Int64Array = np.full((0, len(labels)), -1, dtype=np.int64)


class ResultKeys:
    """One key for one (host, label set), for as long as the host is known; then the key is used again."""

    def __init__(self, hosts: HostNumbers) -> None:
        self._hosts = hosts
        self._labels: list[Mapping[str, str] | None] = []
        self._free: list[int] = []
        self._known: dict[int, dict[LabelSet, int]] = {}
        self._outputs: dict[tuple[LabelSet, ...], Output] = {}

    def output(self, labels: tuple[LabelSet, ...]) -> Output:
        """The output with these series."""
        output = self._outputs.get(labels)
        if output is None:
            output = self._outputs[labels] = Output(labels)
        return output

    def of(self, output: Output, hosts: IntArray) -> Int64Array:
        """int64[h, series]: the keys of an output's series for each host."""
        if len(output.keys) < self._hosts.capacity:
            more = np.full((self._hosts.capacity - len(output.keys), len(output.labels)), -1, dtype=np.int64)
            output.keys = np.concatenate([output.keys, more])
        keys = output.keys[hosts]
        if output.labels and np.count_nonzero(keys[:, 0] < 0):
            for host in hosts[keys[:, 0] < 0].tolist():
                output.keys[host] = [self._key(host, labels) for labels in output.labels]
            keys = output.keys[hosts]
        return keys

    def labels_of(self, key: int) -> Mapping[str, str]:
        """The label set; KeyError for a key of a forgotten host."""
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
        for output in self._outputs.values():
            if host < len(output.keys):
                output.keys[host] = -1
        return keys

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
                self._labels[key] = labels
            else:
                key = len(self._labels)
                self._labels.append(labels)
            known[column] = key
        return key
