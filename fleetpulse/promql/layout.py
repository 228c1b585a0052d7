"""Series layouts: the series of a metric as they look apart from the name of the host that sends them.

In the labels `host` and `instance` the host's own name is replaced by HOST, so that `instance="web-1:9100"` of
host web-1 and `instance="web-2:9100"` of web-2 are one column of one layout.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias
from weakref import WeakValueDictionary

from fleetpulse.promql.syntax import HOST_LABELS

HOST = "\0"  # stands for the host's name; no label value holds it

LabelSet: TypeAlias = tuple[tuple[str, str], ...]  # (name, value) sorted by name, no empty values


class Layout:
    """An ordered set of series of one metric; layouts with equal columns are one object."""

    __slots__ = ("__weakref__", "columns", "position")

    def __init__(self, columns: tuple[LabelSet, ...]) -> None:
        self.columns = columns
        self.position = {column: i for i, column in enumerate(columns)}


class Layouts:
    """The layouts in use, each once."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[LabelSet, ...], Layout] = WeakValueDictionary()

    def of(self, columns: Iterable[LabelSet]) -> Layout:
        """The layout with these columns."""
        key = tuple(columns)
        layout = self._known.get(key)
        if layout is None:
            layout = self._known[key] = Layout(key)
        return layout

    def union(self, first: Layout, second: Layout) -> Layout:
        """`first`, then the columns that only `second` has."""
        return self.of(first.columns + tuple(c for c in second.columns if c not in first.position))


def without_host(labels: Mapping[str, str], host: str) -> LabelSet:
    """The labels as a column; see the module."""
    return tuple(sorted((name, _abstract(name, value, host)) for name, value in labels.items() if value))


def with_host(column: LabelSet, host: str) -> dict[str, str]:
    """The labels of a column for a host."""
    return {name: value.replace(HOST, host, 1) if value[:1] == HOST else value for name, value in column}


def _abstract(name: str, value: str, host: str) -> str:
    if name not in HOST_LABELS or not host or not value.startswith(host):
        return value
    rest = value[len(host) :]
    return HOST + rest if not rest or rest[0] in ":/" else value
