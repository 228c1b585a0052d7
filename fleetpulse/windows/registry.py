"""The series of one partition: dense ids 0…n-1 by full canonical key, and blocks of series looked at once.

A producer sends the same block of series every tick. Its names are read once; afterwards (host, common labels,
hash of the series bytes) leads straight to the array of dense ids.

A host whose series change with every tick sends ever new blocks. They are kept in two generations: what is not used
while the younger one fills up is forgotten, and read again should it come again.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import xxhash

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]
Float64Array = npt.NDArray[np.float64]

BlockKey = tuple[str, int, frozenset[tuple[str, str]]]

# Room for one generation of blocks: dozens of variants of a block of many series, a few of a block of one.
LEAST_ROOM_BYTES = 2 * 1024 * 1024
ROOM_BYTES_A_SERIES = 256
ENTRY_BYTES = 64

REFUSED = -1  # dense id of a series that may not be stored


def block_key(host: str, common: Mapping[str, str], series: bytes) -> BlockKey:
    """What identifies a block's series: the same key always means the same series in the same order."""
    return host, xxhash.xxh3_64_intdigest(series), frozenset(common.items())


class Registry:
    """Dense ids of one partition's series, and the 64-bit ids they are stored under."""

    def __init__(self) -> None:
        self._dense: dict[str, int] = {}
        self._blocks: dict[BlockKey, bytes] = {}
        self._older: dict[BlockKey, bytes] = {}
        self._block_bytes = 0  # of the younger generation
        self._ids = np.empty(1024, dtype=np.uint64)
        self._host_place = np.empty(1024, dtype=np.int32)
        self._place_of_host: dict[str, int] = {}
        self.hosts: list[str] = []  # `host_places` says which of them each series belongs to
        self._rank: Int64Array | None = None

    def __len__(self) -> int:
        return len(self._dense)

    def block(self, key: BlockKey) -> bytes | None:
        """The dense ids of a known block as packed int32, ready to be joined with others."""
        packed = self._blocks.get(key)
        if packed is None and (packed := self._older.pop(key, None)) is not None:
            self._keep(key, packed)
        return packed

    def bind(self, key: BlockKey, dense: list[int]) -> bytes:
        """Remember a block's dense ids (REFUSED where a series is refused)."""
        packed = np.array(dense, dtype=np.int32).tobytes()
        self._keep(key, packed)
        return packed

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

    def add(self, key: str, series_id: int, host: str = "") -> int:
        """Give a new series of `host` the next dense id."""
        dense = len(self._dense)
        if dense == len(self._ids):
            self._ids = np.concatenate((self._ids, np.empty_like(self._ids)))
            self._host_place = np.concatenate((self._host_place, np.empty_like(self._host_place)))
        self._dense[key] = dense
        self._ids[dense] = series_id
        place = self._place_of_host.get(host)
        if place is None:
            place = self._place_of_host[host] = len(self.hosts)
            self.hosts.append(host)
        self._host_place[dense] = place
        self._rank = None
        return dense

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
