"""A block's columns as numpy arrays: views on the message's bytes, nothing copied."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fleetpulse.errors import FrameError
from fleetpulse.wire import Block

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
UInt32Array = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Columns:
    """The samples of one block: `ts` int64[n] ms, `value` float64[n], `index` uint32[n] or None for 0…n-1."""

    ts: Int64Array
    value: Float64Array
    index: UInt32Array | None
    series_count: int


def columns_of(block: Block) -> Columns:
    """Read the packed columns. Raises FrameError, reason ``shape``, when their lengths do not agree."""
    series_count = block.series.count(b"\n") + 1 if block.series else 0
    if len(block.value) % 8 or len(block.index) % 4:
        raise FrameError("shape", f"block of host {block.host!r}: a column is not a whole number of items")
    value = np.frombuffer(block.value, dtype="<f8")
    index = np.frombuffer(block.index, dtype="<u4") if block.index else None
    if isinstance(block.ts, int):
        ts = np.full(len(value), _int64(block), dtype=np.int64)
    elif len(block.ts) != 8 * len(value):
        raise _shape(block, "times", len(block.ts) // 8, len(value))
    else:
        ts = np.frombuffer(block.ts, dtype="<i8")
    if index is None:
        if series_count != len(value):
            raise _shape(block, "series", series_count, len(value))
    elif len(index) != len(value):
        raise _shape(block, "indices", len(index), len(value))
    elif len(index) and int(index.max()) >= series_count:
        raise FrameError("shape", f"block of host {block.host!r}: an index is past its {series_count} series")
    return Columns(ts, value, index, series_count)


def _int64(block: Block) -> int:
    assert isinstance(block.ts, int)
    if not -(2**63) <= block.ts < 2**63:
        raise FrameError("shape", f"block of host {block.host!r}: time {block.ts} is not 64 bits")
    return block.ts


def _shape(block: Block, what: str, got: int, values: int) -> FrameError:
    return FrameError("shape", f"block of host {block.host!r}: {got} {what} for {values} values")
