"""Alerts that are pending or firing now, as the rules workers have them: `fleetpulse.alerts-state`, followed.

ClickHouse is not needed, and pending alerts are nowhere else.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from api.backlog import listens
from fleetpulse.errors import FrameError
from fleetpulse.kafka_config import bootstrap_list, kafka_python_config
from fleetpulse.logs import log_fields
from fleetpulse.rules.machine import PENDING
from fleetpulse.rules.state import AlertRecord, read_records
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES, Topic

RETRY_SECONDS = 2.0
POLL_MS = 500
CLOSE_SECONDS = 3.0

log = logging.getLogger(__name__)

State = Literal["inactive", "pending", "firing"]


@dataclass(frozen=True, slots=True)
class ActiveAlert:
    """One alert in Prometheus' words; `rule` is the rule's key in its set, `value` text."""

    rule: str
    host: str
    state: Literal["pending", "firing"]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    active_ms: int
    value: str
    fingerprint: str


class AlertStates:
    """A thread that reads the topic to its end and goes on reading."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._lock = threading.Lock()
        self._records: dict[bytes, bytes] = {}
        self._read = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alert-states", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)

    @property
    def read(self) -> bool:
        """Whether the topic was read to where its end was when we began."""
        return self._read

    def active(self) -> list[ActiveAlert]:
        """What is pending or firing, by rule and host."""
        with self._lock:
            records = list(self._records.items())
        found = [shown for record in _alerts(records) if (shown := _shown(record)) is not None]
        return sorted(found, key=lambda alert: (alert.rule, alert.host, alert.fingerprint))

    def states(self) -> dict[str, State]:
        """The state of each rule with alerts: firing if any of them is."""
        found: dict[str, State] = {}
        for alert in self.active():
            if found.get(alert.rule) != "firing":
                found[alert.rule] = alert.state
        return found

    def _run(self) -> None:
        told = False
        while not self._closing.is_set():
            try:
                if not any(listens(address) for address in bootstrap_list(self._kafka)):
                    raise ConnectionRefusedError("nothing listens there")
                self._follow()
            except Exception as error:  # whatever it is: connect anew
                log.log(
                    logging.DEBUG if told else logging.WARNING,
                    "states of alerts cannot be read now",
                    extra=log_fields(cause=str(error) or repr(error)),
                    exc_info=None if isinstance(error, KafkaError | OSError) else error,
                )
                told = True
                self._closing.wait(RETRY_SECONDS)

    def _follow(self) -> None:
        topic = Topic.ALERTS_STATE.named(self._kafka.topic_prefix)
        consumer = KafkaConsumer(
            **kafka_python_config(self._kafka),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
            fetch_max_wait_ms=POLL_MS,
            metrics_enabled=False,
        )
        try:
            partitions = [TopicPartition(topic, number) for number in range(self._kafka.partitions)]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            with self._lock:
                self._records.clear()
                self._read = False
            while not self._closing.is_set():
                self._take(consumer.poll(timeout_ms=POLL_MS))
                self._read = self._read or all(consumer.position(one) >= ends[one] for one in partitions)
        finally:
            consumer.close()

    def _take(self, polled: Mapping[Any, Any]) -> None:
        with self._lock:
            for messages in polled.values():
                for message in messages:
                    if message.value is None:
                        self._records.pop(message.key, None)
                    elif message.key and message.key.startswith(b'["alert"'):
                        self._records[message.key] = message.value


def _alerts(records: list[tuple[bytes, bytes]]) -> list[AlertRecord]:
    try:
        return read_records(records).alerts
    except FrameError:  # one of a newer version among them
        found: list[AlertRecord] = []
        for record in records:
            try:
                found += read_records([record]).alerts
            except FrameError as error:
                log.warning("state of an alert cannot be read", extra=log_fields(cause=str(error)))
        return found


def _shown(record: AlertRecord) -> ActiveAlert | None:
    firing = record.severity > 0
    if not firing and PENDING not in record.phase:
        return None
    level = record.severity - 1 if firing else record.phase.index(PENDING)
    severity = record.severities[level] if level < len(record.severities) else ""
    return ActiveAlert(
        rule=record.rule,
        host=record.host,
        state="firing" if firing else "pending",
        labels={**record.labels, **({"severity": severity} if severity else {})},
        annotations=record.annotations,
        active_ms=record.start_ms if firing else record.since_ms[level],
        value=record.value,
        fingerprint=record.fingerprint,
    )
