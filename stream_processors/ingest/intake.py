"""From messages to chunks: decode, check, and gather what each partition brought since the last cut. Pure.

A partition's state is valid for its next offset only: a lower offset is skipped (it was counted before), an equal one
is taken, a higher one starts a *fresh* chunk, which makes the sink forget the partition's windows, read the ledger, and
count what is missing. What the ledger says is stored already, the sink leaves out (`Chunk.rest`).
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fleetpulse.errors import FrameError
from fleetpulse.frames import columns_of
from fleetpulse.logs import log_fields
from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.windows.registry import BlockKey, block_key
from fleetpulse.wire import Block, Frame, Header, decode_frame
from stream_processors.dead import Letter
from stream_processors.inbox import Message
from stream_processors.ingest.accounts import MOST_SAMPLES, Accounts
from stream_processors.poison import PoisonWatch

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
NAME_HOST_SECONDS = 60.0
MOST_LENGTHS = 100_000
MOST_NAMED = 1000  # hosts with wrong clocks, each once, in NAME_HOST_SECONDS
MOST_NAME = 100  # characters of a producer's id, which has 16
UNREADABLE = "unreadable"
_UNKNOWN_END = 1 << 62  # of a partition: beyond every message


class TakenBlock(NamedTuple):
    """A block whose shape is checked. `keep` (bool[n]): its samples with acceptable times, when not all are."""

    block: Block
    key: BlockKey
    message: Message
    keep: npt.NDArray[np.bool_] | None


@dataclass(slots=True)
class Producer:
    """What one producer sent in a chunk."""

    first_seq: int
    last_seq: int
    frames: int = 0
    samples: int = 0


@dataclass(slots=True)
class Chunk:
    """Consecutive messages [first_offset, next_offset) of one partition.

    `end_offset` is the partition's end when the chunk was begun: earlier owners have taken nothing beyond it.
    """

    reader: "Reader"
    partition: int
    first_offset: int
    next_offset: int
    fresh: bool
    first_append_ms: int
    append_ms: int
    end_offset: int = _UNKNOWN_END
    frames: int = 0
    samples: int = 0
    blocks: list[TakenBlock] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    producers: dict[str, Producer] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)  # host → append time of its newest message
    messages: list[Message] = field(default_factory=list)
    accounts: Accounts = field(default_factory=Accounts)

    def rest(self, offset: int) -> "Chunk | None":
        """The messages from this offset on as a chunk of their own, read again; None when there is none."""
        messages = [message for message in self.messages if message.offset >= offset]
        if not messages:
            return None
        first_append_ms = messages[0].append_ms
        chunk = Chunk(self.reader, self.partition, offset, offset, self.fresh, first_append_ms, 0, self.end_offset)
        for message in messages:
            self.reader.add(chunk, message)
        return chunk


class Intake:
    """Takes messages on the event loop; `cut` hands over everything taken so far.

    `end_of` gives the offset after a partition's newest message; None when it is not known.
    """

    def __init__(
        self,
        settings: IngestSettings,
        partitions: int,
        metrics: SelfMetrics,
        end_of: Callable[[int], int | None] = lambda partition: None,
    ) -> None:
        self._reader = Reader(settings, partitions)
        self._end_of = end_of
        self._metrics = metrics
        self._next: dict[int, int] = {}
        self._chunks: dict[int, list[Chunk]] = {}
        self._watches: dict[int, PoisonWatch] = {}
        self._held: dict[int, list[Message]] = {}
        self.paused: dict[int, str] = {}  # poisoned partitions, and the sentence that says so
        self.rows = 0
        self.waiting = 0  # messages
        self.bytes = 0  # of their values
        self.skipped: set[int] = set()

    def take(self, message: Message) -> None:
        """Add one message to its partition's chunk, as samples or as a dead letter; a paused partition's waits."""
        partition, offset = message.partition, message.offset
        if partition in self.paused:
            self._held.setdefault(partition, []).append(message)
            return
        expected = self._next.get(partition)
        if expected is not None and offset < expected:
            self.skipped.add(partition)
            return
        self._next[partition] = offset + 1
        self.waiting += 1
        self.bytes += len(message.value or b"")
        chunks = self._chunks.setdefault(partition, [])
        if expected != offset or not chunks:
            fresh, append_ms = expected != offset, message.append_ms
            end = self._end_of(partition) or _UNKNOWN_END
            chunks.append(Chunk(self._reader, partition, offset, offset, fresh, append_ms, append_ms, end))
        chunk = chunks[-1]
        before = chunk.samples
        producer, dead = self._reader.add(chunk, message)
        self.rows += chunk.samples - before
        self._metrics.add("fleetpulse_ingest_samples_total", chunk.samples - before)
        watch = self._watches.setdefault(partition, PoisonWatch())
        if watch.note(producer, dead):
            self.paused[partition] = watch.cause(partition)
            log.error("poisoned", extra=log_fields(cause=self.paused[partition]))

    def resume(self) -> None:
        """Go on with every paused partition, and with what waited there."""
        self.paused.clear()
        self._watches.clear()
        held, self._held = self._held, {}
        for messages in held.values():
            for message in messages:
                self.take(message)

    @property
    def behind(self) -> bool:
        """Whether at least as many messages are still to be read as have been taken since the last cut."""
        unread = sum(max(0, (self._end_of(number) or 0) - self._next[number]) for number in self._chunks)
        return unread >= self.waiting

    def cut(self) -> list[Chunk]:
        """What was taken since the last cut; per partition in offset order."""
        chunks = [chunk for of_partition in self._chunks.values() for chunk in of_partition]
        self._chunks = {}
        self.rows = self.waiting = self.bytes = 0
        return chunks

    def keep_only(self, partitions: Iterable[int]) -> None:
        """After a rebalance: forget partitions that are no longer ours."""
        for lost in (self._next.keys() | self.paused.keys()) - set(partitions):
            self.forget(lost)
            self.paused.pop(lost, None)

    def forget(self, partition: int) -> None:
        """Forget what was taken of a partition and not yet cut, and where it goes on; what is paused stays so."""
        self._next.pop(partition, None)
        for of_partition in (self._held, self._watches):
            of_partition.pop(partition, None)
        for chunk in self._chunks.pop(partition, []):
            self.rows -= chunk.samples
            self.waiting -= chunk.frames
            self.bytes -= sum(len(message.value or b"") for message in chunk.messages)


class Reader:
    """Reads messages into chunks; used by several threads, and remembers nothing that its answers depend on."""

    def __init__(self, settings: IngestSettings, partitions: int) -> None:
        self._past_ms = (settings.raw_retention_days - 1) * DAY_MS
        self._future_ms = int(settings.max_future_seconds * 1000)
        self._partitions = partitions
        self._named: set[str] = set()
        self._named_since = -NAME_HOST_SECONDS
        self._lengths: dict[int, int] = {}  # hash of the series bytes → length of a value column that fits

    def add(self, chunk: Chunk, message: Message) -> tuple[str, bool]:
        """Add the chunk's next message, as samples or as a dead letter: its producer, and whether it is dead."""
        chunk.messages.append(message)
        chunk.next_offset = message.offset + 1
        chunk.append_ms = max(chunk.append_ms, message.append_ms)
        chunk.frames += 1
        headers = dict(message.headers)
        name, seq, samples = _count_producer(chunk, headers)
        frame: Frame | None = None
        try:
            frame = decode_frame(message.value or b"")
            self._read(chunk, message, frame, name)
        except FrameError as error:
            chunk.letters.append(Letter(message, error.reason, str(error)))
        except Exception as error:  # a fault of ours, or bytes nobody thought of: one message may not end the process
            log.exception("unreadable", extra=log_fields(partition=chunk.partition, offset=message.offset))
            chunk.letters.append(Letter(message, UNREADABLE, repr(error)))
        else:
            if frame.control is not None:
                chunk.accounts.control(name, seq, frame.control)
            if Header.REPLAYED in headers:
                chunk.accounts.replayed.add((name, seq))
            return name, False
        if frame is None:
            chunk.accounts.unread(name, seq, message.key, samples, message.append_ms)
        else:
            chunk.accounts.dead_blocks(name, seq, frame.blocks, message.append_ms)
        return name, True

    def _read(self, chunk: Chunk, message: Message, frame: Frame, producer: str) -> None:
        taken = []
        for block in frame.blocks:
            if partition_of(block.host, self._partitions) != message.partition:
                raise FrameError(
                    "wrong_partition",
                    f"host {block.host!r} belongs to partition {partition_of(block.host, self._partitions)} of "
                    f"{self._partitions}, not {message.partition}: its producer partitions otherwise",
                )
            key = block_key(block.host, block.common, block.series)
            taken.append((block, key, self._acceptable(block, key, message.append_ms)))
        append_ms, accounts = message.append_ms, chunk.accounts
        for block, key, keep in taken:
            count = len(block.value) >> 3
            chunk.samples += count
            refused = count if keep is False else 0 if keep is True else int(count - keep.sum())
            if refused:
                chunk.refused["timestamp"] += refused
                self._name(block, message, refused)
            if isinstance(block.ts, int) or keep is False:
                accounts.block(producer, block, count, append_ms, refused)
            else:
                stamps = np.frombuffer(block.ts, dtype="<i8")
                accounts.mixed_block(producer, block, stamps, None if keep is True else keep, append_ms)
            if keep is not False:
                chunk.blocks.append(TakenBlock(block, key, message, None if keep is True else keep))
            chunk.hosts[block.host] = append_ms

    def _acceptable(self, block: Block, key: BlockKey, append_ms: int) -> npt.NDArray[np.bool_] | bool:
        """Which of the block's times are acceptable; raises FrameError when its columns do not fit together."""
        earliest, latest = append_ms - self._past_ms, append_ms + self._future_ms
        if isinstance(block.ts, int) and not block.index:
            if self._lengths.get(key[1]) != len(block.value):  # not the block that this host always sends
                columns_of(block)
                if len(self._lengths) >= MOST_LENGTHS:
                    self._lengths.clear()
                self._lengths[key[1]] = len(block.value)
            return earliest <= block.ts <= latest
        columns = columns_of(block)
        if not len(columns.ts) or (earliest <= columns.ts.min() and columns.ts.max() <= latest):
            return True
        keep = (columns.ts >= earliest) & (columns.ts <= latest)
        return keep if keep.any() else False

    def _name(self, block: Block, message: Message, refused: int) -> None:
        now = time.monotonic()
        if now - self._named_since >= NAME_HOST_SECONDS:
            self._named, self._named_since = set(), now
        if block.host not in self._named and len(self._named) < MOST_NAMED:
            self._named.add(block.host)
            log.warning(
                "samples refused: their time is outside what is kept; check the host's clock",
                extra=log_fields(host=block.host, samples=refused, append_ms=message.append_ms),
            )


def _count_producer(chunk: Chunk, headers: Mapping[str, bytes]) -> tuple[str, int, int]:
    name = (headers.get(Header.PRODUCER) or b"").decode(errors="replace")[:MOST_NAME]
    seq, samples = _number(headers.get(Header.SEQ)), min(MOST_SAMPLES, _number(headers.get(Header.SAMPLES)))
    producer = chunk.producers.get(name)
    if producer is None:
        producer = chunk.producers[name] = Producer(seq, seq)
    producer.last_seq = max(producer.last_seq, seq)
    producer.first_seq = min(producer.first_seq, seq)
    producer.frames += 1
    producer.samples += samples
    return name, seq, samples


def _number(text: bytes | None) -> int:
    return int(text) if text is not None and text.isdigit() and len(text) < 19 else 0
