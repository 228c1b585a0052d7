"""Wire blocks to ticks: which series of a block a rule selects is found out once for each form of block.

A form of block is its series bytes and its common labels. Blocks that no rule selects cost a hash and a look-up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from fleetpulse.errors import FrameError, MetricError
from fleetpulse.frames import Float64Array, Int64Array, columns_of
from fleetpulse.metric import check_labels, host_of, parse_key
from fleetpulse.promql.layout import HOST, LabelSet, Layout, Layouts, without_host
from fleetpulse.promql.metric_windows import MetricWindows, combined
from fleetpulse.promql.rings import IntArray, absent, is_absent
from fleetpulse.promql.syntax import HOST_LABELS, NAME
from fleetpulse.rules.backfill import Stored, adopt
from fleetpulse.rules.hosts import HostNumbers
from fleetpulse.rules.needs import Needs
from fleetpulse.rules.reading import Batch
from fleetpulse.wire import Block

_MAX_FORMS = 50_000
_MAX_SERIES = 20_000
_FARTHEST_MS = 2**53  # 285,000 years: sums of times stay far from 64 bits
_MAX_FORMS_OF_HOST = 64


class Part(NamedTuple):
    """What a block has of one metric: the values at `take` are the series of `layout`."""

    metric: MetricWindows
    layout: Layout
    take: IntArray


class Shape:
    """What rules select of a form of block: `width` series, of them the parts'. Equal shapes are one object.

    Forms that differ only in series that no rule selects have one shape: their hosts are evaluated together.
    `rules`: the numbers of the rules that may read a part; None until the evaluator has looked.
    """

    __slots__ = ("_subsets", "matched", "parts", "rules", "width")

    def __init__(self, width: int, parts: tuple[Part, ...]) -> None:
        self.width = width
        self.parts = parts
        self.matched = sum(len(part.take) for part in parts)
        self.rules: frozenset[int] | None = None
        self._subsets: dict[tuple[bool, ...], Shape] = {}

    def subset(self, kept: tuple[bool, ...]) -> "Shape":
        """The shape with only some of its parts."""
        if all(kept):
            return self
        shape = self._subsets.get(kept)
        if shape is None:
            parts = tuple(part for part, keep in zip(self.parts, kept, strict=True) if keep)
            shape = self._subsets[kept] = Shape(self.width, parts)
        return shape


class Tick(NamedTuple):
    """The samples of one host at one time: `row` is the packed float64[shape.width], ABSENT where there is none.

    `appended_ms` is the append time of their message.
    """

    host: int
    ts: int
    row: bytes
    appended_ms: int


class Entry(NamedTuple):
    """A plain block: all its samples at one time, one for each series; `row` is the packed float64[shape.width].

    `appended_ms` and `offset` are those of its message.
    """

    host: int
    shape: Shape
    ts: int
    row: bytes
    appended_ms: int
    offset: int


class Columns(NamedTuple):
    """The ticks of one shape in a round: `hosts` intp[h], each once, `ts` int64[h], `values` float64[h, width].

    `appended_ms` int64[h] are the append times of their messages.
    """

    hosts: IntArray
    ts: Int64Array
    values: Float64Array
    appended_ms: Int64Array


Column = tuple[MetricWindows, LabelSet]
Forms = dict[int, list[tuple[dict[str, str], Shape | None]]]  # hash of the series → (common labels, what is selected)
_NO_FORMS: Forms = {}
Round = dict[Shape, list[Tick]]  # ticks of distinct hosts


def columns_of_ticks(ticks: Sequence[Tick]) -> Columns:
    """The ticks as arrays."""
    hosts = np.array([tick.host for tick in ticks], dtype=np.intp)
    ts = np.array([tick.ts for tick in ticks], dtype=np.int64)
    values = np.frombuffer(b"".join([tick.row for tick in ticks]), dtype="<f8").reshape(len(ticks), -1)
    return Columns(hosts, ts, values, np.array([tick.appended_ms for tick in ticks], dtype=np.int64))


class Intake:
    """Finds shapes and metrics. `on_metric` is called with each metric that begins to be selected."""

    def __init__(
        self,
        needs: Needs,
        hosts: HostNumbers,
        on_metric: Callable[[str, MetricWindows], None],
    ) -> None:
        self.metrics: dict[str, MetricWindows] = {}
        self._needs = needs
        self._selectors = needs.samples_ms
        self._hosts = hosts
        self._on_metric = on_metric
        self._layouts = Layouts()
        self._store_numbers: Iterator[int] = count()
        self._unselected: set[str] = set()
        self._forms: dict[int, Forms] = {}
        self._shared: dict[tuple[int, LabelSet], Shape | None] = {}
        self._shapes: dict[tuple[object, ...], Shape] = {}
        self._series: dict[LabelSet, dict[str, Column | None]] = {}  # common labels → key → what is selected
        self._series_count = 0

    def without(self, batch: Batch, is_echo: Callable[[Sequence[str], int, int, int], bool]) -> Batch:
        """The batch without the blocks of metrics that were written here already; `is_echo` is the chain's."""
        return batch.only([not self._is_echo(*each, is_echo) for each in zip(batch.blocks, batch.digests, strict=True)])

    def _is_echo(self, block: Block, digest: int, is_echo: Callable[[Sequence[str], int, int, int], bool]) -> bool:
        host, shape = self._shape(block, digest)
        if shape is None:
            return False
        times = (block.ts,) if isinstance(block.ts, int) else columns_of(block).ts
        names = [part.metric.name for part in shape.parts]
        return len(times) > 0 and is_echo(names, host, int(min(times)), int(max(times)))

    def entries(self, batch: Batch, newest_allowed_ms: int | None) -> tuple[list[Entry], set[int]]:
        """The blocks of which a rule selects something, as far as they are plain; hosts of which some are not.

        Samples stamped after `newest_allowed_ms`, or absurdly, are left out.
        """
        newest = _FARTHEST_MS if newest_allowed_ms is None else min(newest_allowed_ms, _FARTHEST_MS)
        entries: list[Entry] = []
        others: set[int] = set()
        hosts, forms_of = self._hosts.get, self._forms
        messages = zip(batch.blocks, batch.digests, batch.appended_ms, batch.offsets, strict=True)
        for block, digest, appended_ms, offset in messages:
            known = hosts(block.host)
            form = None if known is None else forms_of.get(known, _NO_FORMS).get(digest)
            if known is not None and form is not None and form[0][0] == block.common:
                host, shape = known, form[0][1]
            else:
                host, shape = self._shape(block, digest)
            if shape is None:
                continue
            ts = block.ts
            if not isinstance(ts, int) or block.index or len(block.value) != 8 * shape.width:
                others.add(host)
            elif -_FARTHEST_MS <= ts <= newest:
                entries.append(Entry(host, shape, ts, block.value, appended_ms, offset))
        return entries, others

    def rounds(self, batch: Batch, of: set[int], newest_allowed_ms: int | None) -> list[Round]:
        """The ticks of the hosts `of`: in each round a host has one time of one message, in each shape of it one tick.

        Samples stamped after `newest_allowed_ms`, or absurdly, are left out. Raises FrameError, reason ``shape``.
        """
        newest = _FARTHEST_MS if newest_allowed_ms is None else min(newest_allowed_ms, _FARTHEST_MS)
        rounds: list[Round] = []
        place: dict[int, tuple[int, int, int]] = {}  # host → its last round, time and message
        seen: set[tuple[int, int, Shape]] = set()
        messages = zip(batch.blocks, batch.digests, batch.appended_ms, batch.offsets, strict=True)
        for block, digest, appended_ms, offset in messages:
            if self._hosts.get(block.host) not in of:
                continue
            host, shape = self._shape(block, digest)
            if shape is None:
                continue
            for used, tick in _ticks(block, host, shape, appended_ms):
                if not -_FARTHEST_MS <= tick.ts <= newest:
                    continue
                number, *last = place.get(host, (-1, 0, 0))
                if number < 0 or last != [tick.ts, offset] or (host, number, used) in seen:
                    number += 1
                place[host] = (number, tick.ts, offset)
                seen.add((host, number, used))
                if number == len(rounds):
                    rounds.append({})
                rounds[number].setdefault(used, []).append(tick)
        return rounds

    def selects(self, name: str, column: LabelSet) -> bool:
        """Whether some rule may read a series."""
        return self._metric(name) is not None and self._selected(name, column)

    def write(
        self, name: str, columns: Sequence[LabelSet], hosts: IntArray, ts: Int64Array, values: Float64Array
    ) -> None:
        """Put ticks of a selected metric into its windows: of a host together and ascending, ABSENT where is none."""
        metric = self._metric(name)
        assert metric is not None
        changes = np.ones(len(hosts), dtype=np.bool_)
        changes[1:] = hosts[1:] != hosts[:-1]
        starts = np.flatnonzero(changes)
        rank = np.arange(len(hosts)) - np.repeat(starts, np.diff(starts, append=len(hosts)))
        metric.extend(hosts, rank, ts, self._layouts.of(columns), values)

    def adopt(self, stored: Stored) -> set[int]:
        """Put stored samples of a metric into its windows, as far as rules select them; returns the hosts."""
        metric = self._metric(stored.metric)
        if metric is None or not metric.needs:
            return set()
        columns = [without_host(labels, host) for labels, host in zip(stored.labels, stored.host, strict=True)]
        chosen = np.array([self._selected(stored.metric, column) for column in columns], dtype=np.bool_)
        of = chosen[stored.series]
        kept = stored._replace(series=stored.series[of], ts=stored.ts[of], value=stored.value[of])
        hosts = np.array([self._hosts.number(host) for host in stored.host], dtype=np.intp)
        adopt(metric, self._layouts, hosts, columns, kept)
        return set(hosts.tolist())

    def shape_of(self, block: Block, digest: int) -> tuple[int, Shape | None]:
        """The host's number, and what is selected of the block, of whose series `digest` is the hash."""
        return self._shape(block, digest)

    def forget(self, host: int) -> None:
        """Drop a host's forms and windows."""
        self._forms.pop(host, None)
        for metric in self.metrics.values():
            metric.forget(host)

    def forget_shapes(self) -> None:
        """The rules that read the windows are other ones; the windows stay."""
        self._forms.clear()
        self._shared.clear()
        self._shapes.clear()

    def _shape(self, block: Block, digest: int) -> tuple[int, Shape | None]:
        """The host, and what is selected of the block, of whose series `digest` is the hash."""
        host = self._hosts.number(block.host)
        forms = self._forms.setdefault(host, {})
        for common, shape in forms.get(digest, ()):
            if common == block.common:
                return host, shape
        shape = self._registered(block, digest)
        if len(forms) >= _MAX_FORMS_OF_HOST:
            forms.clear()
        forms.setdefault(digest, []).append((block.common, shape))
        return host, shape

    def _registered(self, block: Block, digest: int) -> Shape | None:
        shared = (digest, without_host(block.common, block.host))
        own_host = ":" in block.host  # such a name is not found in `instance` as others are
        if not own_host and shared in self._shared:
            return self._shared[shared]
        # Most forms are new for a few series only: of the others it is known what is selected.
        known = {} if own_host else self._known_series(shared[1])
        keys = _keys(block)
        columns: dict[MetricWindows, tuple[list[LabelSet], list[int]]] = {}
        for i, key in enumerate(keys):
            if key in known:
                selected = known[key]
            else:
                selected = self._column(block, key)
                if any(f'{label}="' in key for label in HOST_LABELS):
                    own_host = own_host or self._metric(key.partition("{")[0]) is not None
                else:
                    known[key] = selected
                    self._series_count += 1
            if selected is not None:
                found = columns.setdefault(selected[0], ([], []))
                found[0].append(selected[1])
                found[1].append(i)
        shape = self._shape_of(len(keys), columns) if columns else None
        if not own_host:
            if len(self._shared) >= _MAX_FORMS:
                self._shared.clear()
            self._shared[shared] = shape
        return shape

    def _known_series(self, common: LabelSet) -> dict[str, Column | None]:
        if self._series_count >= _MAX_SERIES:
            self._series.clear()
            self._series_count = 0
        return self._series.setdefault(common, {})

    def _column(self, block: Block, key: str) -> Column | None:
        """The metric and column of a series of the block; None when no rule selects it, or ingest refuses it."""
        metric = self._metric(key.partition("{")[0])
        if metric is None:
            return None
        try:
            name, labels = _accepted(block, key)
        except MetricError:
            return None
        column = without_host(labels, block.host)
        return (metric, column) if self._selected(name, column) else None

    def _shape_of(self, width: int, columns: Mapping[MetricWindows, tuple[list[LabelSet], list[int]]]) -> Shape:
        parts = tuple(
            Part(metric, self._layouts.of(each), np.array(take, dtype=np.intp))
            for metric, (each, take) in columns.items()
        )
        key = (width, *((part.metric, part.layout, part.take.tobytes()) for part in parts))
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= _MAX_FORMS:
                self._shapes.clear()
            shape = self._shapes[key] = Shape(width, parts)
        return shape

    def _metric(self, name: str) -> MetricWindows | None:
        metric = self.metrics.get(name)
        if metric is not None or name in self._unselected:
            return metric
        needed = [horizon for selector, horizon in self._selectors.items() if selector.takes_name(name)]
        if not needed:
            if len(self._unselected) >= _MAX_FORMS:
                self._unselected.clear()
            self._unselected.add(name)
            return None
        minutes = combined(
            need for selector, each in self._needs.minutes.items() if selector.takes_name(name) for need in each
        )
        metric = self.metrics[name] = MetricWindows(max(needed), self._layouts, self._store_numbers, minutes)
        metric.name = name
        metric.resize(self._hosts.capacity)
        self._on_metric(name, metric)
        return metric

    def _selected(self, name: str, column: LabelSet) -> bool:
        """Whether some selector may take the series; matchers of the host's own name are left for later."""
        labels = dict(column)
        return any(
            selector.takes_name(name)
            and all(
                labels.get(m.name, "")[:1] == HOST or m.matches(labels.get(m.name, ""))
                for m in selector.matchers
                if m.name != NAME
            )
            for selector in self._selectors
        )


def _accepted(block: Block, key: str) -> tuple[str, dict[str, str]]:
    """Name and all labels of a series of the block; raises MetricError for one that ingest refuses."""
    name, own = parse_key(key)
    labels = {label: value for label, value in {**block.common, **own}.items() if value}
    check_labels(name, labels)
    if host_of(labels) != block.host:
        raise MetricError("host", f"series {key[:200]!r} does not belong to host {block.host!r}")
    return name, labels


def _keys(block: Block) -> list[str]:
    try:
        return block.series.decode().split("\n") if block.series else []
    except UnicodeDecodeError as error:
        raise FrameError("shape", f"block of host {block.host!r}: its series are not UTF-8: {error}") from error


def _ticks(block: Block, host: int, shape: Shape, appended_ms: int) -> Iterator[tuple[Shape, Tick]]:
    """The block's ticks in order of time, each with the parts of the shape that it has."""
    if isinstance(block.ts, int) and not block.index and len(block.value) == 8 * shape.width:
        yield shape, Tick(host, block.ts, block.value, appended_ms)
        return
    columns = columns_of(block)
    if columns.series_count != shape.width:
        raise FrameError("shape", f"block of host {block.host!r}: {columns.series_count} series for {shape.width}")
    index = np.arange(shape.width) if columns.index is None else columns.index
    # Of several values for one series and time the largest is written last, NaN after all.
    order = np.lexsort((columns.value, columns.ts))
    times, starts = np.unique(columns.ts[order], return_index=True)
    for ts, part in zip(times.tolist(), np.split(order, starts[1:]), strict=True):
        row = absent((shape.width,))
        row[index[part]] = columns.value[part]
        kept = tuple(not _empty(row, each.take) for each in shape.parts)
        if any(kept):
            yield shape.subset(kept), Tick(host, ts, row.tobytes(), appended_ms)


def _empty(row: Float64Array, take: IntArray) -> bool:
    return bool(is_absent(row[take]).all())
