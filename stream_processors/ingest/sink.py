"""From chunks to ClickHouse, on a thread of its own.

`store`: for each chunk, in offset order, 0 register new series and count the samples in the windows, then
**1** insert the raw rows of all chunks, **2** insert the ledger rows; the caller then **3** acknowledges.
`roll_up`: insert finished buckets, let dirty ones be recomputed (`repairs.py`, on another thread), and only then mark
them clean in the ledger.

Every statement is tried for ever with back-off. A crash anywhere loses nothing: what is not acknowledged comes again,
and a bucket that is not marked clean is recomputed by the partition's next owner.
"""

import logging
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from clickhouse_driver import Client

from fleetpulse.errors import RetryableError
from fleetpulse.identity import KEY_BITS
from fleetpulse.logs import log_fields
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.storage import tables
from fleetpulse.storage.client import CLICKHOUSE_ERRORS, connect, unavailable
from fleetpulse.storage.columns import Part, SampleColumns
from fleetpulse.storage.writer import (
    RollupColumns,
    days_of,
    insert_rollups,
    insert_samples,
    join_rollups,
)
from stream_processors.dead import Letter
from stream_processors.ingest import known, ledger
from stream_processors.ingest.gather import gather
from stream_processors.ingest.intake import Chunk
from stream_processors.ingest.limits import HOST_LIMIT, Limits, Room, read_active
from stream_processors.ingest.lines import Lines
from stream_processors.ingest.naming import LIMITED, bind_chunks
from stream_processors.ingest.partition import Partition
from stream_processors.ingest.refused import count_refused_series
from stream_processors.ingest.registration import COLLISION, NewSeries, refresh_series, register
from stream_processors.ingest.repair_pieces import Order
from stream_processors.ingest.repairs import Repairs
from stream_processors.ingest.seen import SeenHosts

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
ROLL_UP_SECONDS = 5.0  # between inserts of finished buckets: many minutes together cost a quarter of each alone

MOST_ROLLED_UP = 300_000  # rows, and what one partition brings: raw samples wait meanwhile

REFRESH_SECONDS = 1800.0
EVICT_SECONDS = 60.0


class StoppedError(RetryableError):
    """The process stops while ClickHouse is away; nothing of the batch is acknowledged."""


@dataclass(slots=True)
class _Batch:
    """What chunks become before anything is inserted; `earlier`: the parts by partition."""

    letters: list[Letter] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    entries: list[ledger.Entry] = field(default_factory=list)
    doubts: list[known.Uncertain] = field(default_factory=list)
    earlier: defaultdict[int, list[Part]] = field(default_factory=lambda: defaultdict(list))


class Sink:
    """Owns the ClickHouse connection and the state of every partition; for one thread."""

    def __init__(
        self,
        url: str,
        topic: str,
        partitions: int,
        settings: IngestSettings,
        metrics: SelfMetrics,
        key_bits: int = KEY_BITS,
    ) -> None:
        self._url = url
        self._topic = topic
        self._count = partitions
        self._lateness_ms = int(settings.lateness_seconds * 1000)
        self._metrics = metrics
        self._lines = Lines(key_bits)
        self._client: Client | None = None
        self._partitions: dict[int, Partition] = {}
        self._seen = SeenHosts()
        self._rolled_up = -ROLL_UP_SECONDS
        self._unfinished = False  # whether there is more to roll up than was written at once
        self.repairs = Repairs(url, partitions, metrics)
        self._limits = Limits(settings, metrics)
        self._idle_ms = int(settings.idle_seconds * 1000)
        self._evicted = time.monotonic()
        self._stop = threading.Event()
        self.failing: str | None = None  # why ClickHouse does not take what we have; read by other threads

    def stop(self) -> None:
        """Give up retrying; called from another thread."""
        self._stop.set()
        self.repairs.stop()

    def close(self) -> None:
        """Disconnect; on the sink's own thread."""
        self.repairs.close()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client = None

    def keep_only(self, partitions: Iterable[int]) -> None:
        """After a rebalance: forget partitions that are no longer ours."""
        for lost in self._partitions.keys() - set(partitions):
            del self._partitions[lost]

    def reached(self, number: int) -> int:
        """Up to where a partition is stored, by us or by earlier owners; -1 when nobody has stored any of it."""
        stored = self._retry(lambda client: ledger.read_reached(client, self._topic, number))
        partition = self._partitions.get(number)
        return max(partition.next_offset if partition else -1, stored.next_offset if stored else -1)

    def store(self, chunks: Sequence[Chunk]) -> list[Letter]:
        """Steps 0, 1 and 2 for a batch; returns the dead letters to write before the acknowledgement."""
        batch = _Batch()
        for group in _one_a_partition(chunks):  # 0
            self._take_in(group, batch)
        entries = batch.entries
        if not entries:
            return batch.letters
        known.settle(batch.doubts, self._find_stored)
        token = uuid.uuid4().hex
        for number, day in enumerate(days_of(*batch.parts)):  # 1
            self._insert(tables.SAMPLES, insert_samples, day, f"{token}-{number}")
            self._metrics.add("fleetpulse_ingest_stored_samples_total", len(day.id))
        self._insert(tables.LEDGER, ledger.insert_entries, self._topic, entries, token)  # 2
        self._note([entry.chunk for entry in entries])
        return batch.letters

    def _take_in(self, chunks: Sequence[Chunk], batch: "_Batch") -> None:
        """Register the new series of chunks of different partitions, and count their samples in the windows."""
        counted: list[tuple[Partition, Chunk]] = []
        for taken in chunks:
            partition = self._partition_for(taken, batch.entries)
            chunk = partition.progress.not_stored(taken)
            if chunk is not None:
                counted.append((partition, chunk))
                continue
            partition.next_offset = taken.next_offset
            partition.append_ms = max(partition.append_ms, taken.append_ms)
        partitions = [partition for partition, _ in counted]
        blocks = [(partition.registry, chunk) for partition, chunk in counted]
        batch.letters += bind_chunks(blocks, partial(self._register, partitions), self._lines)
        for partition, chunk in counted:
            registry, before = partition.registry, batch.earlier[partition.number]
            gathered = gather(registry, chunk)
            count_refused_series(registry, chunk)
            parts, applied = partition.apply(gathered, chunk)
            doubt = known.uncertain(chunk.accounts, registry, parts, applied, tuple(before))
            if doubt is not None:
                batch.doubts.append(doubt)
            batch.parts += parts
            before += parts
            stored = sum(part.value.size for part in parts)
            batch.entries.append(self._entry(partition, chunk, stored, applied.minutes))

    def roll_up(self, now_ms: int, idle: Collection[int] = (), *, behind: bool = False) -> None:
        """Write finished buckets and let dirty ones be recomputed; `idle`: partitions at their end, with nothing new.

        Of an idle partition that is new to us the ledger is read here: its dirty buckets do not wait for a message.
        """
        for number in idle:
            if number not in self._partitions:
                self._take_over_idle(number)
        due = time.monotonic() - self._rolled_up >= ROLL_UP_SECONDS
        marks = self._write_finished(now_ms, set(idle)) if due or self._unfinished else []
        marks += self._take_repaired()
        if marks:
            self._insert(tables.CLEAN_MARKS, ledger.insert_marks, self._topic, marks)
        self._repair_due(behind=behind)
        self._refresh_due()
        self._evict_due()
        seen = self._seen.due()
        if seen:
            self._insert(tables.HOST_SEEN, self._seen.insert, seen)
        dirty = sum(partition.dirty_buckets for partition in self._partitions.values())
        self._metrics.set("fleetpulse_ingest_dirty_buckets", dirty + self.repairs.buckets)
        self._metrics.set("fleetpulse_ingest_series", sum(len(one.registry) for one in self._partitions.values()))

    def _write_finished(self, now_ms: int, quiet: Collection[int]) -> list[tuple[int, int, int]]:
        """Insert finished buckets, of no more partitions than it takes; the marks of those that are clean with them."""
        rows: list[RollupColumns] = []
        marks: list[tuple[int, int, int]] = []
        self._unfinished = False
        for partition in self._partitions.values():
            if sum(len(one.id) for one in rows) >= MOST_ROLLED_UP:
                self._unfinished = True
                break
            append_ms = partition.idle_watermark(now_ms) if partition.number in quiet else partition.append_ms
            finished, clean = partition.close(append_ms, time.monotonic())
            rows += finished
            marks += [(partition.number, minute, partition.place) for minute in clean]
        if rows:
            self._rolled_up = time.monotonic()
            whole = join_rollups(rows)
            self._insert(tables.SAMPLES_1M, insert_rollups, whole, uuid.uuid4().hex)
            self._metrics.add("fleetpulse_ingest_rollup_rows_total", len(whole.id))
        return marks

    def _refresh_due(self) -> None:
        for partition in self._partitions.values():
            if time.monotonic() - partition.refreshed >= REFRESH_SECONDS:
                partition.refreshed = time.monotonic()
                self._insert(tables.SERIES, refresh_series, partition.number, self._count, REFRESH_SECONDS)

    def _repair_due(self, *, behind: bool) -> None:
        """Let what is dirty be recomputed, of all partitions together. Called when all that was applied is stored."""
        dirty = [one for one in self._partitions.values() if one.dirty_since is not None]
        if self.repairs.due([one.dirty_since for one in dirty if one.dirty_since is not None], behind=behind):
            orders = [Order(one, work) for one in dirty for work in one.take_work()]
            self.repairs.begin(orders, self._partitions.values())

    def _take_repaired(self) -> list[tuple[int, int, int]]:
        """The marks of what was recomputed; not of partitions that were lost since, whose owner has read the ledger."""
        return [
            (partition.number, minute, work.place)
            for partition, work in self.repairs.done()
            if self._partitions.get(partition.number) is partition
            for minute in work.clean
        ]

    def _partition_for(self, chunk: Chunk, unwritten: Sequence[ledger.Entry]) -> Partition:
        partition = self._partitions.get(chunk.partition)
        if partition is None:
            partition = self._partitions[chunk.partition] = Partition(chunk.partition, self._lateness_ms)
        if chunk.fresh or partition.next_offset != chunk.first_offset:
            reached = self._retry(lambda client: ledger.read_reached(client, self._topic, chunk.partition))
            lost = self._count_missing(partition, chunk.first_offset, reached)
            partition.progress.go_on(chunk, reached, lost)
            touched = self._retry(lambda client: ledger.read_touched(client, self._topic, chunk.partition))
            own = {minute for one in unwritten if one.chunk.partition == chunk.partition for minute in one.minutes}
            partition.restart(ledger.Touched(touched.minutes | own, touched.dirty | own), chunk.first_append_ms)
            since_ms = self._active_since(partition)
            active = self._retry(lambda client: read_active(client, chunk.partition, self._count, since_ms))
            partition.expect(active, chunk.first_append_ms)
            log.info(
                "took over",
                extra=log_fields(partition=chunk.partition, offset=chunk.first_offset, dirty=len(touched.dirty)),
            )
        return partition

    def _take_over_idle(self, number: int) -> None:
        # The offset before the buckets: they are marked clean through it, and what comes later makes them dirty again.
        reached = self._retry(lambda client: ledger.read_reached(client, self._topic, number))
        partition = Partition(number, self._lateness_ms)
        if reached is not None:
            touched = self._retry(lambda client: ledger.read_touched(client, self._topic, number))
            partition.restart(touched, reached.append_ms)
            partition.next_offset = reached.next_offset
            partition.progress.incarnation = reached.incarnation
            log.info(
                "took over",
                extra=log_fields(partition=number, offset=reached.next_offset, dirty=len(touched.dirty), idle=True),
            )
        self._partitions[number] = partition

    def _entry(self, partition: Partition, chunk: Chunk, stored: int, minutes: Sequence[int]) -> ledger.Entry:
        progress = partition.progress
        lost, progress.lost = progress.lost, 0
        return ledger.Entry(chunk, stored, minutes, progress.unsettled(chunk), progress.incarnation, lost)

    def _find_stored(self, samples: SampleColumns) -> known.BoolArray:
        return self._retry(lambda client: known.find(client, samples))

    def _count_missing(self, partition: Partition, first_offset: int, reached: ledger.Reached | None) -> int:
        missing = partition.missing_before(first_offset, reached.next_offset if reached else None)
        if missing:
            self._metrics.add("fleetpulse_ingest_missing_messages_total", missing)
            log.error(
                "messages are missing: Kafka deleted them before they were read, or the consumer was reset",
                extra=log_fields(partition=partition.number, messages=missing, next=first_offset),
            )
        return missing

    def _register(self, partitions: Sequence[Partition], new: Mapping[int, list[NewSeries]]) -> dict[str, str]:
        """Register new series by the place of their partition; the keys of those that are refused, with the reason."""
        rooms = {at: self._room(partitions[at]) for at in new}
        place = {one.key: at for at, series in new.items() for one in series}
        full = {
            (at, host) for at in new for host in {one.host for one in new[at]} if self._limits.full(rooms[at], host)
        }
        beyond = {one.key: HOST_LIMIT for at in new for one in new[at] if (at, one.host) in full}
        asked = [one for series in new.values() for one in series if one.key not in beyond]
        since_ms = {at: self._active_since(partitions[at]) for at in new}

        def refuse(series: list[NewSeries]) -> dict[str, str]:
            of_rooms: dict[int, list[NewSeries]] = {}
            for one in series:
                of_rooms.setdefault(place[one.key], []).append(one)
            return self._limits.refuse_of([(rooms[at], of_room) for at, of_room in of_rooms.items()])

        registered = self._retry(lambda client: register(client, asked, refuse, lambda one: since_ms[place[one.key]]))
        refused = beyond | registered.refused
        self._seen.learn(one for one in asked if one.key not in refused)
        limited = {key: reason for key, reason in refused.items() if reason != COLLISION}
        for at, series in new.items():
            partition = partitions[at]
            partition.expected.subtract(one.host for one in series if one.key in registered.known)
            partition.expected = +partition.expected
            partition.limited |= any(one.key in limited for one in series)
            self._limits.note(limited, series)
        return refused

    def _room(self, partition: Partition) -> Room:
        return Room(partition.registry, partition.expected, self._active() - self._active([partition]))

    def _active_since(self, partition: Partition) -> int:
        # The table hears of a series twice as seldom as this is generous.
        return partition.append_ms - self._idle_ms - int(REFRESH_SECONDS * 2000)

    def _active(self, partitions: Iterable[Partition] | None = None) -> int:
        chosen = self._partitions.values() if partitions is None else partitions
        return sum(len(one.registry) + one.expected.total() for one in chosen)

    def _evict_due(self) -> None:
        if time.monotonic() - self._evicted < EVICT_SECONDS:
            return
        self._evicted = time.monotonic()
        evicted = sum(partition.evict(self._idle_ms) for partition in self._partitions.values())
        for partition in self._partitions.values():
            if partition.limited:
                partition.limited = False
                partition.registry.forget_refused(LIMITED)
        self._seen.forget(max((one.append_ms for one in self._partitions.values()), default=0) - self._idle_ms)
        self._limits.tell()
        if evicted:
            self._metrics.add("fleetpulse_ingest_evicted_series_total", evicted)

    def _note(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            self._metrics.add("fleetpulse_consumer_messages_total", chunk.frames)
            for reason, number in chunk.refused.items():
                self._metrics.add("fleetpulse_ingest_refused_samples_total", number, reason=reason)
            self._seen.note(chunk.hosts)

    def _insert(self, table: str, function: Callable[..., None], *arguments: object) -> None:
        begun = time.perf_counter()
        self._retry(lambda client: function(client, *arguments))
        self._metrics.add("fleetpulse_ingest_insert_seconds_total", time.perf_counter() - begun, table=table)

    def _retry(self, work: Callable[[Client], T]) -> T:
        pause = FIRST_PAUSE_SECONDS
        while True:
            if self._stop.is_set():
                raise StoppedError("stopped while ClickHouse is away; what is not stored is delivered again")
            try:
                if self._client is None:
                    self._client = connect(self._url)
                result = work(self._client)
            except CLICKHOUSE_ERRORS as error:
                self._failed(error, pause)
                self._stop.wait(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            else:
                if self.failing is not None:
                    log.info("ClickHouse answers again")
                    self.failing = None
                return result

    def _failed(self, error: Exception, pause: float) -> None:
        self.failing = str(unavailable(self._url, error))
        self._metrics.add("fleetpulse_ingest_insert_errors_total")
        log.warning("will try again", extra=log_fields(cause=self.failing, retry_seconds=pause))
        self._disconnect()


def _one_a_partition(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """The chunks in their order, in groups in which no partition is twice: a takeover needs what came before it."""
    group: dict[int, Chunk] = {}
    for chunk in chunks:
        if chunk.partition in group:
            yield list(group.values())
            group = {}
        group[chunk.partition] = chunk
    yield list(group.values())
