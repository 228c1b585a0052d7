"""Recorded values back to `fleetpulse.metrics`, marked as derived: many hosts a frame, outside the transaction.

A batch that is applied again records the same values under the same keys again, which storage folds into one.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from fleetpulse.logs import log_fields
from fleetpulse.publish.packer import Packer
from fleetpulse.publish.publisher import Publisher
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES
from fleetpulse.wire import Block, samples_in
from stream_processors.own_thread import OwnThread

log = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
RETRY_SECONDS = 1.0
FOR_EVER_SECONDS = 10 * 365 * 86_400.0
_LARGEST_BYTES = MAX_MESSAGE_BYTES - 128 * 1024


class Recorder:
    """Publishes blocks; opens its producer with the first one.

    The settings' timeout and budget are for producers that may lose what they count; here the input waits instead.
    """

    def __init__(self, kafka: KafkaSettings, publish: PublishSettings, metrics: SelfMetrics) -> None:
        self._kafka = kafka
        self._metrics = metrics
        self._half_bytes = max(publish.buffer_bytes // 2, MAX_MESSAGE_BYTES)
        publish = replace(publish, delivery_timeout_seconds=FOR_EVER_SECONDS, buffer_bytes=2 * self._half_bytes)
        self._publisher = Publisher(kafka, publish, metrics)
        self._thread = OwnThread("recorder")

    async def publish(self, blocks: Iterable[Block]) -> None:
        """Return once Kafka has them, whatever others publish meanwhile; tries for ever.

        A block that fits into no message is left out and counted.
        """
        kept = [block for block in blocks if self._fits(block)]
        frames = self._frames(kept)
        while not await self._sent(frames):
            log.warning("recorded values were dropped and are sent again", extra=log_fields(frames=len(frames)))
            await asyncio.sleep(RETRY_SECONDS)
        self._metrics.add("fleetpulse_rules_recorded_samples_total", sum(map(samples_in, kept)))

    def close(self) -> None:
        """Stop within a second."""
        self._publisher.close(1.0)

    async def _sent(self, frames: list[list[Block]]) -> bool:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        left = len(frames)

        def settled() -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set()

        def tell() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settled)

        accepted = [await self._thread.call(self._send, frame, tell) for frame in frames]
        while frames and all(accepted) and not done.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), FLUSH_SECONDS)
                continue
            self._publisher.flush(0.0)  # raises when it never will
            self._say_waiting()
        return all(accepted)

    def _send(self, frame: list[Block], tell: Callable[[], None]) -> bool:
        while self._publisher.waiting_bytes > self._half_bytes:
            if not self._publisher.flush(FLUSH_SECONDS):
                self._say_waiting()
        return self._publisher.send(frame, True, tell)

    def _say_waiting(self) -> None:
        log.warning("recorded values wait for Kafka", extra=log_fields(bytes=self._publisher.waiting_bytes))

    def _frames(self, blocks: list[Block]) -> list[list[Block]]:
        packer = Packer(self._kafka.partitions)
        full = [frame for block in blocks if (frame := packer.add(block))]
        return full + packer.drain()

    def _fits(self, block: Block) -> bool:
        stamps = 9 if isinstance(block.ts, int) else len(block.ts)
        size = len(block.series) + len(block.value) + len(block.index) + stamps
        if size <= _LARGEST_BYTES:
            return True
        log.error("recorded values are too large for Kafka", extra=log_fields(host=block.host[:200], bytes=size))
        self._metrics.add("fleetpulse_rules_oversized_total")
        return False
