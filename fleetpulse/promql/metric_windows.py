"""The windows of one metric: every host's series in the rings of its layout."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.promql.layout import Layout, Layouts
from fleetpulse.promql.minutes import Minutes
from fleetpulse.promql.rings import MAX_CAPACITY, IntArray, Rings, absent, is_absent
from fleetpulse.promql.summaries import Summaries

_FIRST_CAPACITY = 4
_PRUNE_EVERY = 32  # ticks between looks at whether a column that gets no samples can go


class Need(NamedTuple):
    """Sub-buckets that windows of a metric read: of `width_ms`, `reach_ms` back, and `fields` of them."""

    width_ms: int
    reach_ms: int
    fields: tuple[str, ...]


def combined(needs: Iterable[Need]) -> tuple[Need, ...]:
    """One need for each width."""
    found: dict[int, Need] = {}
    for need in needs:
        known = found.get(need.width_ms, need)
        fields = tuple(sorted({*known.fields, *need.fields}))
        found[need.width_ms] = Need(need.width_ms, max(known.reach_ms, need.reach_ms), fields)
    return tuple(found[width_ms] for width_ms in sorted(found))


class Store:
    """Rings of one layout and capacity, and their sub-buckets by width. `number` is unique in the evaluator."""

    def __init__(self, number: int, layout: Layout, rings: Rings, needs: Sequence[Need] = ()) -> None:
        self.number = number
        self.layout = layout
        self.rings = rings
        self.minutes = {need.width_ms: Minutes(rings, *need) for need in needs}
        self.read_whole: set[tuple[str, int, int]] = (
            set()
        )  # (function, range, offset) that some rule has of every column
        self._targets: dict[int, tuple[Layout, IntArray | None]] = {}

    def close(self, rows: IntArray) -> None:
        """Rings of these rows were given newer samples."""
        for minutes in self.minutes.values():
            minutes.close(rows)

    def target(self, layout: Layout) -> IntArray | None:
        """Where the columns of `layout` lie in this store's, -1 for those it lacks; None when they are the same."""
        if layout is self.layout:
            return None
        known = self._targets.get(id(layout))
        if known is None or known[0] is not layout:
            places = np.array([self.layout.position.get(c, -1) for c in layout.columns], dtype=np.intp)
            known = self._targets[id(layout)] = (layout, places)
        return known[1]


class MetricWindows:
    """One metric. Hosts are dense numbers below the size last given to `resize`."""

    def __init__(self, horizon_ms: int, layouts: Layouts, numbers: Iterator[int], needs: Sequence[Need] = ()) -> None:
        """`horizon_ms`: how long samples are needed; `needs`: what of older ones. `numbers` is for stores."""
        self.name = ""  # the owner's
        self.stores: dict[int, Store] = {}
        self.moved: set[int] = set()  # hosts whose store changed; the owner empties it
        self._horizon_ms = horizon_ms
        self.needs = tuple(needs)
        self._layouts = layouts
        self._numbers = numbers
        self._by_key: dict[tuple[Layout, int], Store] = {}
        self.store_of = np.full(0, -1, dtype=np.int64)  # host → number of its store, -1 none
        self.row_of = np.zeros(0, dtype=np.intp)

    def resize(self, hosts: int) -> None:
        """Make room for host numbers below `hosts`."""
        more = hosts - len(self.store_of)
        if more > 0:
            self.store_of = np.concatenate([self.store_of, np.full(more, -1, dtype=np.int64)])
            self.row_of = np.concatenate([self.row_of, np.zeros(more, dtype=np.intp)])

    def write(self, hosts: IntArray, ts: Int64Array, layout: Layout, values: Float64Array) -> None:
        """Add one tick of each of h distinct hosts: `ts` int64[h], `values` float64[h, series of the layout]."""
        numbers = self.store_of[hosts]
        first = int(numbers[0])
        if (numbers == first).all():
            self._write_one(first, hosts, ts, layout, values)
            return
        for number in np.unique(numbers):
            part = np.flatnonzero(numbers == number)
            self._write_one(int(number), hosts[part], ts[part], layout, values[part])

    def extend(self, hosts: IntArray, rank: IntArray, ts: Int64Array, layout: Layout, values: Float64Array) -> None:
        """Add several ticks of hosts: sorted by host and time; `rank` intp[n] numbers the ticks of a host from 0."""
        numbers = self.store_of[hosts]
        store = self.stores.get(int(numbers[0]))
        if store is not None and not np.count_nonzero(numbers != numbers[0]) and store.target(layout) is None:
            rows = self.row_of[hosts]
            if not np.count_nonzero(ts <= store.rings.newest_ms[rows]) and store.rings.has_room(rows, rank, ts):
                store.rings.extend(rows, rank, ts, values)
                store.close(rows)
                return
        if len(np.unique(numbers)) > 1:
            for number in np.unique(numbers):
                part = np.flatnonzero(numbers == number)
                self.extend(hosts[part], rank[part], ts[part], layout, values[part])
            return
        for number in range(int(rank.max()) + 1):
            part = np.flatnonzero(rank == number)
            self.write(hosts[part], ts[part], layout, values[part])

    def _write_one(self, number: int, hosts: IntArray, ts: Int64Array, layout: Layout, values: Float64Array) -> None:
        """The hosts are all in one store, or in none (-1)."""
        store = self.stores.get(number)
        if store is None:
            store = self._move(hosts, self._store(layout, _FIRST_CAPACITY))
        target = store.target(layout)
        if target is not None and (target < 0).any():
            self._widen(hosts, store, layout)
            self.write(hosts, ts, layout, values)
            return
        rows = self.row_of[hosts]
        newer = ts > store.rings.newest_ms[rows]
        if not newer.all():
            cramped = ~newer & store.rings.full(rows, store.rings.newest_ms[rows])
            if cramped.any() and store.rings.capacity < MAX_CAPACITY:  # a slot between would cost the oldest one
                self._move_full(hosts[cramped], store, self._store(store.layout, self._larger(store, hosts[cramped])))
                self.write(hosts, ts, layout, values)
                return
            for i in np.flatnonzero(~newer):
                columns = slice(None) if target is None else target
                store.rings.amend(int(rows[i]), int(ts[i]), columns, values[i])
                for minutes in store.minutes.values():
                    minutes.late(int(rows[i]), int(ts[i]), columns, values[i])
            if not newer.any():
                return
            hosts, ts, values = hosts[newer], ts[newer], values[newer]
        self._append(store, hosts, ts, target, values)

    def _widen(self, hosts: IntArray, store: Store, layout: Layout) -> None:
        """Move hosts of a store to ones that have the columns of `layout` too; what has died makes room first."""
        for host in hosts.tolist():
            self._prune(host, store)
        for number in np.unique(self.store_of[hosts]).tolist():
            old = self.stores[number]
            wider = self._store(self._layouts.union(old.layout, layout), old.rings.capacity)
            if wider is not old:
                self._move(hosts[self.store_of[hosts] == number], wider)

    def _append(
        self, store: Store, hosts: IntArray, ts: Int64Array, target: IntArray | None, values: Float64Array
    ) -> None:
        if target is not None:
            cells = absent((len(hosts), store.rings.series))
            cells[:, target] = values
            values = cells
        full = store.rings.full(self.row_of[hosts], ts)
        if full.any() and store.rings.capacity < MAX_CAPACITY:
            larger = self._store(store.layout, self._larger(store, hosts[full]))
            self._move_full(hosts[full], store, larger)
            larger.rings.append(self.row_of[hosts[full]], ts[full], values[full])
            larger.close(self.row_of[hosts[full]])
            hosts, ts, values = hosts[~full], ts[~full], values[~full]
            if not len(hosts):
                return
        rows = self.row_of[hosts]
        store.rings.append(rows, ts, values)
        store.close(rows)
        if target is not None:
            for host in hosts[store.rings.end[rows] % _PRUNE_EVERY == 0]:
                self._prune(int(host), store)

    def _larger(self, store: Store, hosts: IntArray) -> int:
        """The capacity for the horizon at the pace of full rings: at least twice as much.

        At most 32 times: a quarter of an hour at a pace of ten seconds; ticks that come in a burst say little of it.
        """
        rings, rows = store.rings, self.row_of[hosts]
        oldest = rings.ts[rows, rings.end[rows] % rings.capacity]
        pace = int(np.max(rings.newest_ms[rows] - oldest)) / (rings.capacity - 1)
        capacity = 2 * rings.capacity
        while capacity < min(MAX_CAPACITY, 32 * rings.capacity) and (capacity - 1) * pace < self._horizon_ms:
            capacity *= 2
        return capacity

    def _store(self, layout: Layout, capacity: int) -> Store:
        store = self._by_key.get((layout, capacity))
        if store is None:
            number = next(self._numbers)
            store = Store(number, layout, Rings(len(layout.columns), capacity, self._horizon_ms), self.needs)
            self._by_key[(layout, capacity)] = self.stores[number] = store
        return store

    def _move(self, hosts: IntArray, to: Store) -> Store:
        """Move hosts with their history; columns that `to` lacks are left behind."""
        for host in hosts.tolist():
            old = self.stores.get(int(self.store_of[host]))
            row = to.rings.add_row()
            if old is not None:
                old_row = int(self.row_of[host])
                ts, values = old.rings.history(old_row)
                to.rings.restore(row, ts, _rearranged(values, old, to))
                for width_ms, minutes in to.minutes.items():
                    minutes.move(row, old.minutes[width_ms], old_row, _places(old, to))
                self._free(old, old_row)
            self.store_of[host] = to.number
            self.row_of[host] = row
            self.moved.add(host)
        return to

    def _move_full(self, hosts: IntArray, store: Store, to: Store) -> None:
        """Move hosts whose rings are full to larger ones of the same layout."""
        to.rings.reserve(store.rings.hosts)  # the others are full soon, too
        old_rows = self.row_of[hosts]
        rows = np.array([to.rings.add_row() for _ in range(len(hosts))], dtype=np.intp)
        to.rings.adopt(rows, store.rings, old_rows)
        for width_ms, minutes in to.minutes.items():
            for row, old_row in zip(rows.tolist(), old_rows.tolist(), strict=True):
                minutes.move(row, store.minutes[width_ms], old_row, None)
        self.store_of[hosts], self.row_of[hosts] = to.number, rows
        self.moved.update(hosts.tolist())
        for row in old_rows.tolist():
            self._free(store, row)

    def _free(self, store: Store, row: int) -> None:
        store.rings.free_row(row)
        for minutes in store.minutes.values():
            minutes.free_row(row)
        if not store.rings.hosts:
            store.rings.clear()  # plans that nobody uses may still know the store
            for minutes in store.minutes.values():
                minutes.clear()
            del self.stores[store.number]
            del self._by_key[(store.layout, store.rings.capacity)]

    def _prune(self, host: int, store: Store) -> None:
        """Drop the host's columns that had no sample within the horizon."""
        ts, values = store.rings.history(int(self.row_of[host]))
        if not len(ts):
            return
        needed = ts > ts[-1] - self._horizon_ms
        dead = np.atleast_1d(is_absent(values[needed]).all(axis=0))
        for minutes in store.minutes.values():
            dead &= ~minutes.sampled(int(self.row_of[host]))
        if dead.any():
            columns = (column for column, gone in zip(store.layout.columns, dead, strict=True) if not gone)
            self._move(np.array([host]), self._store(self._layouts.of(columns), store.rings.capacity))

    def adopt(self, host: int, layout: Layout, width_ms: int, number: Int64Array, summary: Summaries) -> None:
        """Put sub-buckets [m, series of the layout] of a host that were stored elsewhere; see `Minutes.adopt`."""
        hosts = np.array([host], dtype=np.intp)
        store = self.stores.get(int(self.store_of[host])) or self._move(hosts, self._store(layout, _FIRST_CAPACITY))
        target = store.target(layout)
        if target is not None and (target < 0).any():
            self._widen(hosts, store, layout)
            store = self.stores[int(self.store_of[host])]
            target = store.target(layout)
        if target is not None:
            wide = {field: np.zeros((len(number), store.rings.series), value.dtype) for field, value in summary.items()}
            for field, value in summary.items():
                wide[field][:, target] = value
            summary = wide
        rows = np.full(len(number), self.row_of[host], dtype=np.intp)
        store.minutes[width_ms].adopt(rows, number, summary)

    def forget(self, host: int) -> None:
        """Drop a host's windows."""
        store = self.stores.get(int(self.store_of[host]))
        if store is not None:
            self._free(store, int(self.row_of[host]))
            self.store_of[host] = -1
            self.moved.add(host)


def _places(old: Store, to: Store) -> tuple[list[int], list[int]]:
    """The columns that both stores have: their places in `old`, and in `to`."""
    both = [column for column in old.layout.columns if column in to.layout.position]
    return [old.layout.position[column] for column in both], [to.layout.position[column] for column in both]


def _rearranged(values: Float64Array, old: Store, to: Store) -> Float64Array:
    """History float64[n, old series] in the columns of `to`."""
    moved = absent((len(values), to.rings.series))
    source, target = _places(old, to)
    moved[:, target] = values[:, source]
    return moved
