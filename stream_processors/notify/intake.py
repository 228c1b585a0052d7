"""What the notifier reads: `fleetpulse.alerts` from a position on, and `fleetpulse.silences` from its beginning."""

import logging
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from fleetpulse.errors import FrameError
from fleetpulse.events import decode_event
from fleetpulse.logs import log_fields
from fleetpulse.notify.alert import alert_of
from fleetpulse.notify.notifier import Notifier
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from fleetpulse.silences import decode_silence
from fleetpulse.topics import Topic
from stream_processors.notify.journal import consumer_of

log = logging.getLogger(__name__)

MESSAGES_AT_ONCE = 2000
IDLE_MS = 200


class Intake:
    """Reads for one turn of notifying."""

    def __init__(self, kafka: KafkaSettings, metrics: SelfMetrics) -> None:
        self._metrics = metrics
        self._consumer: AIOKafkaConsumer = consumer_of(kafka)
        alerts = Topic.ALERTS.named(kafka.topic_prefix)
        self._alerts = [TopicPartition(alerts, number) for number in range(kafka.partitions)]
        self._silences = TopicPartition(Topic.SILENCES.named(kafka.topic_prefix), 0)
        self._ends: dict[TopicPartition, int] = {}
        self.offsets: dict[int, int] = {}  # partition of alerts → next offset

    async def open(self, offsets: Mapping[int, int]) -> None:
        """Begin at these offsets; where there is none, or it is gone, at the oldest event. Raises KafkaError."""
        await self._consumer.start()
        everything = [*self._alerts, self._silences]
        self._consumer.assign(everything)
        first = await self._consumer.beginning_offsets(everything)
        self._ends = await self._consumer.end_offsets(everything)
        for tp in everything:
            begin = first[tp] if tp == self._silences else max(first[tp], offsets.get(tp.partition, 0))
            if begin > self._ends[tp]:
                log.error("the topic is shorter than what was read: it was made anew", extra=log_fields(topic=tp.topic))
                begin = first[tp]
            self._consumer.seek(tp, begin)
        self.offsets = dict(offsets)

    async def close(self) -> None:
        """Stop reading."""
        await self._consumer.stop()

    async def take(self, notifier: Notifier) -> bool:
        """Give the notifier what came; whether events were among it. Waits a little when there is nothing."""
        batches = await self._consumer.getmany(timeout_ms=IDLE_MS, max_records=MESSAGES_AT_ONCE)
        before = dict(self.offsets)
        for tp, records in batches.items():
            for record in records:
                if tp == self._silences:
                    self._silence(record, notifier)
                else:
                    self._event(record, notifier)
                    self.offsets[tp.partition] = record.offset + 1
        return self.offsets != before

    async def lag(self) -> int:
        """Records of the topics, as they ended at the latest fetch, that are not read yet; markers count too."""
        waiting = 0
        for tp in (*self._alerts, self._silences):
            end = max(self._ends.get(tp, 0), self._consumer.last_stable_offset(tp) or 0)
            waiting += max(0, end - await self._consumer.position(tp))
        return waiting

    def _event(self, record: Any, notifier: Notifier) -> None:
        try:
            notifier.take_event(alert_of(decode_event(record.value or b""), record.timestamp))
        except (FrameError, ValueError) as error:
            self._unreadable(record, error)

    def _silence(self, record: Any, notifier: Notifier) -> None:
        identity = (record.key or b"").decode(errors="replace")
        try:
            notifier.take_silence(identity, decode_silence(record.value) if record.value is not None else None)
        except FrameError as error:
            self._unreadable(record, error)

    def _unreadable(self, record: Any, error: Exception) -> None:
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        log.error("not understood, left out", extra=log_fields(**place, cause=str(error)))
        self._metrics.add("fleetpulse_notify_unreadable_total")
