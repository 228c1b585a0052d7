"""Recorded values back to `fleetpulse.metrics`, marked as derived: many hosts a frame, outside the transaction.

A batch that is applied again records the same values under the same keys again, which storage folds into one.
"""

import logging
from collections.abc import Iterable

from fleetpulse.logs import log_fields
from fleetpulse.publish.packer import Packer
from fleetpulse.publish.publisher import Publisher
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.wire import Block, samples_in
from stream_processors.own_thread import OwnThread

log = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0


class Recorder:
    """Publishes blocks; opens its producer with the first one."""

    def __init__(self, kafka: KafkaSettings, publish: PublishSettings, metrics: SelfMetrics) -> None:
        self._kafka = kafka
        self._metrics = metrics
        self._publisher = Publisher(kafka, publish, metrics)
        self._packer = Packer(kafka.partitions)
        self._thread = OwnThread("recorder")

    async def publish(self, blocks: Iterable[Block]) -> None:
        """Return once Kafka has them; tries for ever."""
        await self._thread.call(self._send, list(blocks))
        while not await self._thread.call(self._publisher.flush, FLUSH_SECONDS):
            log.warning("recorded values wait for Kafka", extra=log_fields(bytes=self._publisher.waiting_bytes))

    def close(self) -> None:
        """Stop within a second."""
        self._publisher.close(1.0)

    def _send(self, blocks: list[Block]) -> None:
        for block in blocks:
            full = self._packer.add(block)
            if full:
                self._publisher.send(full, derived=True)
        for rest in self._packer.drain():
            self._publisher.send(rest, derived=True)
        self._metrics.add("fleetpulse_rules_recorded_samples_total", sum(map(samples_in, blocks)))
