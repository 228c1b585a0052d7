"""From messages to blocks that rules may use: what ingest refuses is left out here by the same limits.

The one place that meets what others sent: whatever is in a message, nothing but FrameError comes out.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Protocol

import numpy as np
import xxhash

from fleetpulse.errors import FrameError
from fleetpulse.frames import columns_of
from fleetpulse.partition import partition_of
from fleetpulse.settings import IngestSettings
from fleetpulse.wire import Block, decode_frame

DAY_MS = 86_400_000
_MAX_WIDTHS = 100_000


class Readable(Protocol):
    """What is read of a message here."""

    @property
    def offset(self) -> int: ...
    @property
    def append_ms(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How far a sample's time may be from its message's append time, in ms; ingest's (`limits_of`)."""

    past_ms: int
    future_ms: int


def limits_of(ingest: IngestSettings) -> TimeLimits:
    """The limits by which ingest refuses samples."""
    return TimeLimits((ingest.raw_retention_days - 1) * DAY_MS, int(ingest.max_future_seconds * 1000))


DEFAULT_LIMITS = limits_of(IngestSettings())


@dataclass(slots=True)
class Batch:
    """Blocks in order, with the hash of each one's series, and its message's append time in ms and offset."""

    blocks: list[Block] = field(default_factory=list)
    digests: list[int] = field(default_factory=list)
    appended_ms: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def add(self, other: "Batch") -> None:
        """Another batch, after this one."""
        self.blocks += other.blocks
        self.digests += other.digests
        self.appended_ms += other.appended_ms
        self.offsets += other.offsets

    def of_hosts(self, hosts: Container[str]) -> "Batch":
        """Only the blocks of these hosts."""
        return self.only([block.host in hosts for block in self.blocks])

    def only(self, kept: Sequence[bool]) -> "Batch":
        """The blocks with True in `kept`."""
        if all(kept):
            return self
        columns = (self.blocks, self.digests, self.appended_ms, self.offsets)
        return Batch(*(list(compress(each, kept)) for each in columns))  # type: ignore[arg-type]


class BlockReader:
    """Reads the messages of one partition."""

    def __init__(self, partition: int, partitions: int, limits: TimeLimits = DEFAULT_LIMITS) -> None:
        self._partition = partition
        self._partitions = partitions
        self._limits = limits
        self._widths: dict[int, int] = {}  # hash of the series bytes, which are UTF-8 → how many series they are
        self._own: set[str] = set()  # hosts of this partition

    def read(self, message: Readable) -> Batch:
        """The blocks, whose columns agree and whose series are text, without samples at refused times.

        Raises FrameError where ingest makes the whole message a dead letter, and for series that are not UTF-8.
        """
        blocks: list[Block] = []
        digests: list[int] = []
        earliest, latest = message.append_ms - self._limits.past_ms, message.append_ms + self._limits.future_ms
        digest, widths, own = xxhash.xxh3_64_intdigest, self._widths, self._own
        for block in decode_frame(message.value or b"").blocks:
            ts = block.ts
            number = digest(block.series)
            plain = isinstance(ts, int) and earliest <= ts <= latest and not block.index and block.host in own
            if plain and len(block.value) == 8 * widths.get(number, -1) and block.series:
                blocks.append(block)
                digests.append(number)
                continue
            self._check_host(block.host)
            self._check(block, number)
            kept = self._timely(block, earliest, latest)
            if kept is not None and kept.series:
                blocks.append(kept)
                digests.append(number)
        return Batch(blocks, digests, [message.append_ms] * len(blocks), [message.offset] * len(blocks))

    def _check_host(self, host: str) -> None:
        if host in self._own:
            return
        if partition_of(host, self._partitions) != self._partition:
            raise FrameError("wrong_partition", f"host {host!r} does not belong to this partition")
        if len(self._own) >= _MAX_WIDTHS:
            self._own.clear()
        self._own.add(host)

    def _check(self, block: Block, digest: int) -> None:
        width = self._widths.get(digest)
        if width is None:
            try:
                block.series.decode()
            except UnicodeDecodeError as error:
                raise FrameError("shape", f"block of host {block.host!r}: its series are not UTF-8: {error}") from error
            if len(self._widths) >= _MAX_WIDTHS:
                self._widths.clear()
            width = self._widths[digest] = block.series.count(b"\n") + 1 if block.series else 0
        if not isinstance(block.ts, int) or block.index or len(block.value) != 8 * width:
            columns_of(block)

    def _timely(self, block: Block, earliest: int, latest: int) -> Block | None:
        if isinstance(block.ts, int):
            return block if earliest <= block.ts <= latest else None
        columns = columns_of(block)
        keep = (columns.ts >= earliest) & (columns.ts <= latest)
        if keep.all():
            return block
        if not keep.any():
            return None
        index = np.arange(columns.series_count, dtype="<u4") if columns.index is None else columns.index
        ts, value = columns.ts[keep].tobytes(), columns.value[keep].tobytes()
        return Block(block.host, block.common, block.series, ts, value, index[keep].tobytes(), block.sent)
