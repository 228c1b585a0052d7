"""The series of one partition: dense ids 0…n-1 by full canonical key, and blocks of series looked at once.

A series that was not heard of for long is evicted: the last dense ids move to the places that become free, so that they
stay 0…n-1, and every array by dense id moves with them (`Moves`).

A producer sends the same block of series every tick. Its names are read once; afterwards (host, common labels,
hash of the series bytes) leads straight to the array of dense ids.

Memory: about 500 bytes a series, windows included (measured with 100,000 and 300,000 series, keys of 104 characters:
490 to 525, of it 56 for each minute that is open). Evicted series give it back.

A host whose series change with every tick sends ever new blocks. They are kept in two generations: what is not used
while the younger one fills up is forgotten, and read again should it come again. Of each host's newest block the bytes
are kept as well: where a few of many series changed, only these are read.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]
Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

BlockKey = tuple[str, int, frozenset[tuple[str, str]]]

# Room for one generation of blocks: dozens of variants of a block of many series, a few of a block of one.
LEAST_ROOM_BYTES = 2 * 1024 * 1024
ROOM_BYTES_A_SERIES = 256
ENTRY_BYTES = 64

GONE = -1  # new dense id of an evicted series
REFUSED = -1  # dense id of a series that may not be stored


def block_key(host: str, common: Mapping[str, str], series: bytes) -> BlockKey:
    """What identifies a block's series: the same key always means the same series in the same order."""
    return host, xxhash.xxh3_64_intdigest(series), frozenset(common.items())


class Moves(NamedTuple):
    """What an eviction did: `to` int32[n before], the new dense id of each old one or GONE; `series` are left."""

    to: Int32Array
    series: int

    def columns(self, *columns: npt.NDArray[Any]) -> None:
        """Move the entries of arrays by dense id, in place."""
        moved = np.flatnonzero((self.to != GONE) & (self.to != np.arange(len(self.to))))
        for column in columns:
            column[self.to[moved]] = column[moved]


class Registry:
    """Dense ids of one partition's series, and the 64-bit ids they are stored under."""

    def __init__(self) -> None:
        self._dense: dict[str, int] = {}
        self._keys: list[str] = []
        self._blocks: dict[BlockKey, bytes] = {}
        self._older: dict[BlockKey, bytes] = {}
        self._block_bytes = 0  # of the younger generation
        self._named: dict[str, tuple[frozenset[tuple[str, str]], bytes, bytes]] = {}
        self._ids = np.empty(1024, dtype=np.uint64)
        self._host_place = np.empty(1024, dtype=np.int32)
        self._heard_ms = np.empty(1024, dtype=np.int64)
        self._place_of_host: dict[str, int] = {}
        self.hosts: list[str] = []  # `host_places` says which of them each series belongs to
        self._series_of_host: list[int] = []
        self._rank: Int64Array | None = None

    def __len__(self) -> int:
        return len(self._dense)

    def block(self, key: BlockKey) -> bytes | None:
        """The dense ids of a known block as packed int32, ready to be joined with others."""
        packed = self._blocks.get(key)
        if packed is None and (packed := self._older.pop(key, None)) is not None:
            self._keep(key, packed)
        return packed

    def bind(self, key: BlockKey, dense: list[int], series: bytes = b"") -> bytes:
        """Remember a block's dense ids (REFUSED where a series is refused), and its `series` bytes for `lines`."""
        packed = np.array(dense, dtype=np.int32).tobytes()
        self._keep(key, packed)
        if series and len(packed) > 8 * sum(number < 0 for number in dense):  # what is refused may fill no memory
            self._named[key[0]] = key[2], series, packed
        return packed

    def lines(self, key: BlockKey) -> dict[bytes, int]:
        """The lines of the newest block that was bound for the host, when it had the same common labels, with their
        dense ids; refused ones are left out."""
        common, series, packed = self._named.get(key[0], (None, b"", b""))
        if common != key[2]:
            return {}
        lines = zip(series.split(b"\n"), _dense_ids(packed).tolist(), strict=True)
        return {line: dense for line, dense in lines if dense >= 0}

    def forget_unused(self) -> None:
        """Make room: every block that was not asked for since the last time that room was made is forgotten.

        Called between chunks, for a chunk asks for its blocks more than once.
        """
        if self._block_bytes > max(LEAST_ROOM_BYTES, ROOM_BYTES_A_SERIES * len(self._dense)):
            self._older, self._blocks, self._block_bytes = self._blocks, {}, 0

    @property
    def blocks(self) -> int:
        """How many blocks are kept."""
        return len(self._blocks) + len(self._older)

    def _keep(self, key: BlockKey, packed: bytes) -> None:
        self._blocks[key] = packed
        self._block_bytes += len(packed) + ENTRY_BYTES

    def dense(self, key: str) -> int | None:
        """The dense id of a series by its canonical key."""
        return self._dense.get(key)

    def add(self, key: str, series_id: int, host: str = "", now_ms: int = 0) -> int:
        """Give a new series of `host`, heard of at `now_ms`, the next dense id."""
        self.extend((key,), (series_id,), (host,), (now_ms,))
        return len(self._keys) - 1

    def extend(self, keys: Sequence[str], ids: Sequence[int], hosts: Sequence[str], heard_ms: Sequence[int]) -> None:
        """Give new series, all different, the next dense ids: columns of one length, as in `add`."""
        begin, end = len(self._keys), len(self._keys) + len(keys)
        if end > len(self._ids):
            more = max(end - len(self._ids), len(self._ids))
            for name in ("_ids", "_host_place", "_heard_ms"):
                column = getattr(self, name)
                setattr(self, name, np.concatenate((column, np.empty(more, dtype=column.dtype))))
        self._dense.update(zip(keys, range(begin, end), strict=True))
        self._keys += keys
        self._ids[begin:end] = np.array(ids, dtype=np.uint64)
        self._heard_ms[begin:end] = heard_ms
        for host, number in Counter(hosts).items():
            place = self._place_of_host.get(host)
            if place is None:
                place = self._place_of_host[host] = len(self.hosts)
                self.hosts.append(host)
                self._series_of_host.append(0)
            self._series_of_host[place] += number
        self._host_place[begin:end] = [self._place_of_host[host] for host in hosts]
        self._rank = None

    def series_of(self, host: str) -> int:
        """How many series the host has here."""
        place = self._place_of_host.get(host)
        return 0 if place is None else self._series_of_host[place]

    def hear(self, dense: Int32Array, append_ms: int) -> None:
        """Samples of these series came at this append time."""
        self._heard_ms[dense] = append_ms

    def idle(self, before_ms: int) -> BoolArray:
        """bool[n]: the series that were not heard of since."""
        found: BoolArray = self._heard_ms[: len(self._keys)] < before_ms
        return found

    def evict(self, gone: BoolArray) -> Moves:
        """Forget the series that are True in `gone` (bool[n]), and the blocks that they are in."""
        left = len(gone) - int(gone.sum())
        to = np.arange(len(gone), dtype=np.int32)
        to[gone] = GONE
        free = np.flatnonzero(gone[:left])
        last = left + np.flatnonzero(~gone[left:])
        to[last] = free
        moves = Moves(to, left)
        for dense in np.flatnonzero(gone).tolist():
            del self._dense[self._keys[dense]]
            self._series_of_host[self._host_place[dense]] -= 1
        for old, new in zip(last.tolist(), free.tolist(), strict=True):
            self._keys[new] = self._keys[old]
            self._dense[self._keys[new]] = new
        del self._keys[left:]
        moves.columns(self._ids, self._host_place, self._heard_ms)
        self._rank = None
        self._forget_empty_hosts()
        self._blocks, self._older = _moved(self._blocks, to), _moved(self._older, to)
        self._named.clear()
        return moves

    def forget_refused(self, numbers: Iterable[int]) -> None:
        """Forget the blocks with series that were refused by one of these (negative) numbers: they are asked again."""
        refused = np.array(list(numbers), dtype=np.int32)
        for blocks in (self._blocks, self._older):
            for key in [key for key, packed in blocks.items() if np.isin(_dense_ids(packed), refused).any()]:
                del blocks[key]

    def _forget_empty_hosts(self) -> None:
        if 2 * self._series_of_host.count(0) <= len(self.hosts):
            return
        kept = [place for place, series in enumerate(self._series_of_host) if series]
        to = np.zeros(len(self.hosts), dtype=np.int32)
        to[kept] = np.arange(len(kept))
        self.hosts = [self.hosts[place] for place in kept]
        self._series_of_host = [self._series_of_host[place] for place in kept]
        self._place_of_host = {host: place for place, host in enumerate(self.hosts)}
        self._host_place[: len(self._keys)] = to[self._host_place[: len(self._keys)]]

    @property
    def ids(self) -> UInt64Array:
        """uint64[n]: the stored id of each dense id."""
        return self._ids[: len(self._dense)]

    @property
    def host_places(self) -> Int32Array:
        """int32[n]: where each dense id's host stands in `hosts`."""
        return self._host_place[: len(self._dense)]

    @property
    def rank(self) -> Int64Array:
        """int64[n]: the place of each dense id in the order of stored ids."""
        if self._rank is None:
            order = np.argsort(self.ids, kind="stable")
            self._rank = np.empty(len(order), dtype=np.int64)
            self._rank[order] = np.arange(len(order))
        return self._rank


def _dense_ids(packed: bytes) -> Int32Array:
    return np.frombuffer(packed, dtype=np.int32)


def _moved(blocks: Mapping[BlockKey, bytes], to: Int32Array) -> dict[BlockKey, bytes]:
    """The blocks with their new dense ids, without those that hold an evicted series."""
    kept: dict[BlockKey, bytes] = {}
    for key, packed in blocks.items():
        dense = _dense_ids(packed)
        named = dense >= 0
        new = np.where(named, to[dense * named], dense) if len(to) else dense
        if not (named & (new == GONE)).any():
            kept[key] = new.astype(np.int32).tobytes()
    return kept
