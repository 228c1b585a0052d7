"""The rhythm of ingest: gather until there are enough rows or they are old enough, then store, acknowledge, roll up.

While the sink's thread works on one batch the stream gathers the next; it waits when that one is full.

What bounds the memory, from the sink back to Kafka: one batch in the sink and one being gathered, each of
`flush_rows` rows, `flush_bytes` bytes of messages or MOST_MESSAGES messages, whichever comes first, and what one more
take brings (64 messages). While the second is full the stream is not asked for more; then Faust's buffer fills
(`stream_buffer_maxsize`, 256 messages) and Faust stops asking the consumer, which holds at most one fetch a partition
(`consumer_max_fetch_size`, 4 MiB compressed). A message has at most 1 MiB.
"""

import asyncio
import logging
from collections.abc import Iterable
from functools import partial

from fleetpulse.clock import Clock, SystemClock
from fleetpulse.logs import log_fields
from fleetpulse.settings import IngestSettings
from stream_processors.dead import DeadLetters
from stream_processors.inbox import Acknowledges
from stream_processors.ingest.intake import Chunk, Intake
from stream_processors.ingest.sink import Sink, StoppedError
from stream_processors.own_thread import OwnThread
from stream_processors.worker import Worker

log = logging.getLogger(__name__)

ROLL_UP_SECONDS = 1.0
IDLE_SECONDS = 3.0
LOOK_SECONDS = 0.05
QUIET_LOOK_SECONDS = 0.2  # while nothing waits to be stored
MOST_MESSAGES = 20_000  # of one batch, when frames are small
FAR_BEHIND_MS = 10_000
BEHIND_FACTOR = 5.0  # far behind nobody sees a row sooner for a small insert, which costs as much as a large one


class Flow:
    """Connects stream, intake and sink; lives on the event loop."""

    def __init__(
        self,
        worker: Worker,
        intake: Intake,
        sink: Sink,
        dead: DeadLetters,
        settings: IngestSettings,
        clock: Clock | None = None,
    ) -> None:
        self._worker, self._inbox = worker, worker.inbox
        self._intake, self._sink, self._dead = intake, sink, dead
        self._settings = settings
        self._clock = clock or SystemClock()
        self._thread = OwnThread("sink")
        self._stream: Acknowledges | None = None
        self._busy = asyncio.Lock()
        self._room = asyncio.Event()
        self._stored: dict[int, int] = {}  # partition → next offset
        self._heard: dict[int, float] = {}  # partition → monotonic time of its last chunk or its assignment
        self._oldest: float | None = None
        self._held_up = -IDLE_SECONDS  # monotonic time of the last take that had to wait for the sink
        self._rolled_up = 0.0
        self._resuming: asyncio.Future[None] | None = None

    async def gathered(self, stream: Acknowledges) -> None:
        """Called after each take; waits while a full batch is waiting for the sink."""
        self._stream = stream
        if self._oldest is None and self._intake.waiting:
            self._oldest = self._clock.monotonic()
        while self._full():
            self._room.clear()
            await self._room.wait()
            self._held_up = self._clock.monotonic()

    async def run(self) -> None:
        """Store and roll up until the sink is told to stop."""
        try:
            await self._run()
        except StoppedError as error:
            log.warning(str(error))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(QUIET_LOOK_SECONDS if self._oldest is None else LOOK_SECONDS)
            now = self._clock.monotonic()
            if self._due(now):
                await self.flush()
            if now - self._rolled_up >= ROLL_UP_SECONDS:
                self._rolled_up = now
                async with self._busy:
                    roll_up = partial(self._sink.roll_up, behind=self._behind())
                    await self._thread.call(roll_up, self._clock.now_ms(), self._idle(now))
                self._mind_paused()

    async def flush(self) -> None:
        """Store everything gathered so far, then acknowledge it."""
        async with self._busy:
            taken, self._oldest = self._intake.cut(), None  # together: from here on the next batch comes, and ages
            self._room.set()
            chunks = await self._without_gaps(taken)
            if chunks:
                await self._dead.send(letter for chunk in chunks for letter in chunk.letters)
                await self._dead.send(await self._thread.call(self._sink.store, chunks))  # steps 1 and 2
                self._remember(chunks)
            skipped, self._intake.skipped = self._intake.skipped, set()
            await self._acknowledge({chunk.partition for chunk in chunks} | skipped)  # step 3

    async def _without_gaps(self, chunks: list[Chunk]) -> list[Chunk]:
        """The chunks without those of partitions of which earlier messages did not come; these are read again first."""
        firsts: dict[int, Chunk] = {}
        for chunk in chunks:
            firsts.setdefault(chunk.partition, chunk)
        for first in [chunk for chunk in firsts.values() if chunk.fresh]:
            reached = await self._thread.call(self._sink.reached, first.partition)
            if 0 <= reached < first.first_offset and self._inbox.missing(first.partition, reached):
                self._intake.forget(first.partition)
                chunks = [chunk for chunk in chunks if chunk.partition != first.partition]
        return chunks

    async def drain(self) -> None:
        """Store what is there; gives up at once when ClickHouse is away."""
        if self._sink.failing is not None:
            self._sink.stop()
            return
        try:
            await self.flush()
        except StoppedError as error:
            log.warning(str(error))
        finally:
            self._sink.stop()
            await self._dead.close()

    def keep_only(self, partitions: Iterable[int]) -> None:
        """After a rebalance."""
        owned = frozenset(partitions)
        self._intake.keep_only(owned)
        for of_partition in (self._stored, self._heard):
            for lost in of_partition.keys() - owned:
                del of_partition[lost]
        for partition in owned - self._heard.keys():
            self._heard[partition] = self._clock.monotonic()
        self._forgetting = asyncio.ensure_future(self._thread.call(self._sink.keep_only, owned))
        self._room.set()

    @property
    def not_ready(self) -> str | None:
        """Why this worker does not do its work, for health; None when it does."""
        return self._sink.failing or next(iter(self._intake.paused.values()), None)

    def _mind_paused(self) -> None:
        """Keep poisoned partitions paused until `fleetpulse dead resume`."""
        if not self._intake.paused:
            return
        self._worker.pause(self._intake.paused)
        if self._resuming is None or self._resuming.done():
            self._resuming = asyncio.ensure_future(self._resume(self._clock.now_ms()))

    async def _resume(self, since_ms: int) -> None:
        await self._dead.resumed(since_ms)
        paused = sorted(self._intake.paused)
        log.warning("resumed", extra=log_fields(partitions=",".join(map(str, paused))))
        self._intake.resume()
        self._oldest = self._clock.monotonic()
        self._worker.resume(self._worker.partitions.intersection(paused))

    def _full(self) -> bool:
        intake, most = self._intake, self._settings
        return intake.rows >= most.flush_rows or intake.bytes >= most.flush_bytes or intake.waiting >= MOST_MESSAGES

    def _due(self, now: float) -> bool:
        if self._full() or self._intake.skipped:
            return True
        age = 0.0 if self._oldest is None else now - self._oldest
        most = self._settings.flush_seconds
        return age >= most and (age >= most * BEHIND_FACTOR or not self._intake.behind)

    def _idle(self, now: float) -> list[int]:
        """Partitions of which there is nothing new. One that is not asked for, because of others, is not idle: taken
        for idle, its minutes would close before their samples are read.
        """
        if self._full() or now - self._held_up < IDLE_SECONDS:
            return []
        return [
            partition
            for partition, heard in self._heard.items()
            if now - heard >= IDLE_SECONDS and self._inbox.oldest(partition) is None and self._worker.at_end(partition)
        ]

    def _behind(self) -> bool:
        """Whether a message has waited for long: what can wait as well shall not hold it up."""
        oldest = [found[1] for found in map(self._inbox.oldest, self._heard) if found is not None]
        return bool(oldest) and self._clock.now_ms() - min(oldest) >= FAR_BEHIND_MS

    def _remember(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            self._stored[chunk.partition] = chunk.next_offset
            self._heard[chunk.partition] = self._clock.monotonic()

    async def _acknowledge(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            if self._stream is not None and partition in self._stored:
                await self._inbox.acknowledge(self._stream, partition, self._stored[partition])
