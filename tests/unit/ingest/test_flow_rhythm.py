"""What comes while a takeover reads the ledger is stored without waiting for a message behind it."""

import asyncio
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from fleetpulse.clock import ManualClock
from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.wire import Frame, Header, encode_frame, join_keys, make_block
from stream_processors.inbox import Inbox, Message
from stream_processors.ingest.flow import IDLE_SECONDS, Flow
from stream_processors.ingest.intake import Chunk, Intake

NOW = 1_700_000_000_000
HOST = "web-1"


class Sink:
    """The flow's side of the sink: what is stored, and a ledger that answers when it is let."""

    def __init__(self) -> None:
        self.asked, self.answers, self.both = threading.Event(), threading.Event(), threading.Event()
        self.stored: list[tuple[int, int]] = []
        self.failing = None

    def keep_only(self, partitions: Sequence[int]) -> None:
        pass

    def reached(self, partition: int) -> int:
        self.asked.set()
        self.answers.wait(60)
        return -1

    def store(self, chunks: Sequence[Chunk]) -> list[Any]:
        self.stored += [(chunk.first_offset, chunk.next_offset) for chunk in chunks]
        if len(self.stored) == 2:
            self.both.set()
        return []

    def roll_up(self, now_ms: int, idle: Sequence[int], *, behind: bool) -> None:
        pass


class Dead:
    async def send(self, letters: Any) -> None:
        assert not list(letters)


class Stream:
    async def ack(self, event: Any) -> bool:
        return True


def message(offset: int) -> Message:
    value = encode_frame(Frame(1, NOW, [make_block(HOST, {}, join_keys(["a"]), NOW + offset, [1.0])]))
    headers = ((Header.PRODUCER, b"p1"), (Header.SEQ, b"%d" % (offset + 1)), (Header.SAMPLES, b"1"))
    return Message("t", partition_of(HOST, 1), offset, NOW, HOST.encode(), value, headers)


def test_what_comes_during_a_takeover_does_not_wait_for_more() -> None:
    settings, sink = IngestSettings(flush_seconds=0.1), Sink()
    intake = Intake(settings, 1, SelfMetrics())

    async def main() -> None:
        worker: Any = SimpleNamespace(inbox=Inbox(), at_end=lambda partition: True)
        flow = Flow(worker, intake, sink, Dead(), settings)  # type: ignore[arg-type]
        running = asyncio.ensure_future(flow.run())
        intake.take(message(0))
        await flow.gathered(Stream())
        await asyncio.to_thread(sink.asked.wait, 60)
        intake.take(message(1))
        await flow.gathered(Stream())
        sink.answers.set()
        await asyncio.to_thread(sink.both.wait, 20)
        running.cancel()

    asyncio.run(asyncio.wait_for(main(), 60))
    assert sink.stored == [(0, 1), (1, 2)]


def test_a_partition_is_idle_only_when_there_is_nothing_to_read() -> None:
    """While others fill the batches it may not be fetched for long: its minutes may not close before they are read."""
    settings, end, clock = IngestSettings(flush_seconds=0.1, flush_rows=1), set[int](), ManualClock(NOW)
    intake = Intake(settings, 1, SelfMetrics())

    async def main() -> None:
        worker: Any = SimpleNamespace(inbox=Inbox(), at_end=lambda partition: partition in end)
        flow = Flow(worker, intake, Sink(), Dead(), settings, clock)  # type: ignore[arg-type]
        flow.keep_only([0, 1])

        def idle_after(seconds: float) -> list[int]:
            clock.advance(int(seconds * 1000))
            return flow._idle(clock.monotonic())

        assert idle_after(2 * IDLE_SECONDS) == []
        end.update((0, 1))
        assert idle_after(0) == [0, 1]
        intake.take(message(0))  # a full batch
        assert idle_after(IDLE_SECONDS) == []
        waiting = asyncio.ensure_future(flow.gathered(Stream()))
        await asyncio.sleep(0)
        intake.cut()
        flow._room.set()
        await waiting
        assert idle_after(IDLE_SECONDS / 2) == []
        assert idle_after(IDLE_SECONDS) == [0, 1]

    asyncio.run(asyncio.wait_for(main(), 60))
