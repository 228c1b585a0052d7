"""How a rule runs for a host: the nodes compiled for the columns that its selectors take of the host's windows.

Hosts with the same stores and columns share a plan, and so one numpy evaluation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np

from fleetpulse.frames import Int64Array
from fleetpulse.promql.compile import Compiler, PartsKey, all_nodes, without_name
from fleetpulse.promql.layout import HOST, LabelSet, Layout, with_host
from fleetpulse.promql.metric_windows import MetricWindows
from fleetpulse.promql.nodes import Node, Part
from fleetpulse.promql.relabel import reads_host_name
from fleetpulse.promql.rings import Columns, IntArray
from fleetpulse.promql.syntax import NAME, Expr, Instant, OverRange, Selector, selections
from fleetpulse.rules.result_keys import Output, ResultKeys

_FEWEST_PLANS = 5000  # kept before it is looked at which are still in use


class Plan:
    """A rule compiled for some columns. `nothing`: its selectors take no series of these hosts."""

    __slots__ = ("node", "nodes", "nothing", "output")

    def __init__(self, node: Node, output: Output, nothing: bool) -> None:
        self.node = node
        self.nodes = all_nodes(node)
        self.output = output
        self.nothing = nothing


class Selection:
    """The columns that one selector takes of layouts of one metric."""

    def __init__(self, selector: Selector, name: str) -> None:
        self._name = name
        self._matchers = tuple(m for m in selector.matchers if m.name != NAME)
        self._by_layout: WeakKeyDictionary[Layout, tuple[Columns, bytes, tuple[LabelSet, ...]]] = WeakKeyDictionary()

    def depends(self, layout: Layout) -> bool:
        """Whether what is taken of a layout is another for every host. It was asked for one host already."""
        return layout not in self._by_layout

    def of(self, layout: Layout, host: str) -> tuple[Columns, bytes, tuple[LabelSet, ...]]:
        """(columns, bytes that name them, their labels with ``__name__``) for a host."""
        found = self._by_layout.get(layout)
        if found is not None:
            return found
        depends = any(dict(column).get(m.name, "")[:1] == HOST for column in layout.columns for m in self._matchers)
        kept = [i for i, column in enumerate(layout.columns) if self._takes(column, host)]
        labels = tuple(tuple(sorted((*layout.columns[i], (NAME, self._name)))) for i in kept)
        columns = np.array(kept, dtype=np.intp)
        found = (slice(None) if len(kept) == len(layout.columns) else columns, columns.tobytes(), labels)
        if not depends:
            self._by_layout[layout] = found
        return found

    def _takes(self, column: LabelSet, host: str) -> bool:
        labels = with_host(column, host)
        return all(m.matches(labels.get(m.name, "")) for m in self._matchers)


class Plans:
    """The plans of all rules. A plan is named by its place in `plans`."""

    def __init__(self, exprs: Iterable[Expr], keys: ResultKeys, keep_names: bool = False) -> None:
        self.plans: list[Plan] = []
        self._most = _FEWEST_PLANS
        self._exprs = tuple(exprs)
        self._leaves = [selections(expr) for expr in self._exprs]
        self._reads_host_name = [reads_host_name(expr) for expr in self._exprs]
        self._keys = keys
        self._keep_names = keep_names
        self._compiler = Compiler()
        self._sources: dict[Selector, list[tuple[MetricWindows, Selection]]] = {
            leaf.selector: [] for expr in self._exprs for leaf in selections(expr)
        }
        self._known: dict[tuple[int, tuple[PartsKey, ...]], int] = {}

    @property
    def too_many(self) -> bool:
        """Whether so many layouts came and went that `forget` is due."""
        return len(self.plans) > self._most

    def forget(self, used: int) -> None:
        """Drop every plan, of which `used` were in use; the numbers given before mean nothing any more."""
        self._most = max(_FEWEST_PLANS, 2 * used)
        self.plans.clear()
        self._known.clear()
        self._compiler.forget()

    def add_metric(self, name: str, metric: MetricWindows) -> tuple[int, ...]:
        """A metric begins to be kept; returns the numbers of the rules that read it."""
        for selector, sources in self._sources.items():
            if selector.takes_name(name):
                sources.append((metric, Selection(selector, name)))
        return tuple(
            number
            for number, expr in enumerate(self._exprs)
            if any(leaf.selector.takes_name(name) for leaf in selections(expr))
        )

    def resolve(self, rule: int, hosts: IntArray, names: Sequence[str]) -> Int64Array:
        """int64[h]: the numbers of the plans of a rule for distinct hosts; `names` by number of a host."""
        sources = [source for leaf in self._leaves[rule] for source in self._sources[leaf.selector]]
        stores = np.array([metric.store_of[hosts] for metric, _ in sources], dtype=np.int64).reshape(-1, len(hosts))
        known: dict[bytes, int] = {}
        numbers = np.empty(len(hosts), dtype=np.int64)
        for i, host in enumerate(hosts.tolist()):
            own = stores[:, i]
            token = own.tobytes()
            number = known.get(token)
            if number is None:
                number = self._resolve(rule, host, names[host])
                found = [
                    (metric.stores.get(int(store)), each) for store, (metric, each) in zip(own, sources, strict=True)
                ]
                depends = any(store is not None and each.depends(store.layout) for store, each in found)
                if not depends and not self._reads_host_name[rule]:
                    known[token] = number
            numbers[i] = number
        return numbers

    def _resolve(self, rule: int, host: int, host_name: str) -> int:
        found = [self._parts(leaf, host, host_name) for leaf in self._leaves[rule]]
        if self._reads_host_name[rule]:
            found = [_named(parts, key, host_name) for parts, key in found]
        key = (rule, tuple([key for _, key in found]))
        number = self._known.get(key)
        if number is None:
            parts = dict(zip(self._leaves[rule], found, strict=True))
            node = self._compiler.node(self._exprs[rule], parts)
            node = node if self._keep_names else without_name(node)
            nothing = not any(each for each, _ in found)
            number = self._known[key] = len(self.plans)
            self.plans.append(Plan(node, self._keys.output(node.labels), nothing))
        return number

    def _parts(self, leaf: Instant | OverRange, host: int, host_name: str) -> tuple[tuple[Part, ...], PartsKey]:
        parts: list[Part] = []
        key: list[tuple[int, bytes]] = []
        for metric, selection in self._sources[leaf.selector]:
            store = metric.stores.get(int(metric.store_of[host]))
            if store is None:
                continue
            columns, name, labels = selection.of(store.layout, host_name)
            if labels:
                parts.append(Part(metric, store, columns, labels))
                key.append((store.number, name))
        return tuple(parts), tuple(key)


def _named(parts: tuple[Part, ...], key: PartsKey, host: str) -> tuple[tuple[Part, ...], PartsKey]:
    """The parts with labels as they are of this host, for an expression that reads how it is called."""
    name = b"\0" + host.encode()
    named = tuple(
        replace(part, labels=tuple(tuple(with_host(each, host).items()) for each in part.labels)) for part in parts
    )
    return named, tuple((store, columns + name) for store, columns in key)
