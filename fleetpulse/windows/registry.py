"""The series of one partition: dense ids 0…n-1 by full canonical key, and blocks of series looked at once.

A producer sends the same block of series every tick. Its names are read once; afterwards (host, common labels,
hash of the series bytes) leads straight to the array of dense ids.
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

REFUSED = -1  # dense id of a series that may not be stored


def block_key(host: str, common: Mapping[str, str], series: bytes) -> BlockKey:
    """What identifies a block's series: the same key always means the same series in the same order."""
    return host, xxhash.xxh3_64_intdigest(series), frozenset(common.items())


class Registry:
    """Dense ids of one partition's series, and the 64-bit ids they are stored under."""

    def __init__(self) -> None:
        self._dense: dict[str, int] = {}
        self._blocks: dict[BlockKey, bytes] = {}
        self._ids = np.empty(1024, dtype=np.uint64)
        self._rank: Int64Array | None = None

    def __len__(self) -> int:
        return len(self._dense)

    def block(self, key: BlockKey) -> bytes | None:
        """The dense ids of a known block as packed int32, ready to be joined with others."""
        return self._blocks.get(key)

    def bind(self, key: BlockKey, dense: list[int]) -> bytes:
        """Remember a block's dense ids (REFUSED where a series is refused)."""
        packed = np.array(dense, dtype=np.int32).tobytes()
        self._blocks[key] = packed
        return packed

    def dense(self, key: str) -> int | None:
        """The dense id of a series by its canonical key."""
        return self._dense.get(key)

    def add(self, key: str, series_id: int) -> int:
        """Give a new series the next dense id."""
        dense = len(self._dense)
        if dense == len(self._ids):
            self._ids = np.concatenate((self._ids, np.empty_like(self._ids)))
        self._dense[key] = dense
        self._ids[dense] = series_id
        self._rank = None
        return dense

    @property
    def ids(self) -> UInt64Array:
        """uint64[n]: the stored id of each dense id."""
        return self._ids[: len(self._dense)]

    @property
    def rank(self) -> Int64Array:
        """int64[n]: the place of each dense id in the order of stored ids."""
        if self._rank is None:
            order = np.argsort(self.ids, kind="stable")
            self._rank = np.empty(len(order), dtype=np.int64)
            self._rank[order] = np.arange(len(order))
        return self._rank
