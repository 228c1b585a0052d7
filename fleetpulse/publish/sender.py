"""Kafka's half of a publisher, on a thread of its own: hands frames over, and keeps a client that works.

kafka-python's producer has no memory bound of its own, so that it gets a bounded window at a time. An idempotent
producer whose batch expired never delivers again: the client is closed and opened anew when it failed a frame, or
delivered none for `stall_seconds` although it has some. What it had is then handed over again; the duplicates that
this can make carry the same producer id and seq, and collapse where samples are stored.
"""

import logging
import math
import threading
from collections.abc import Callable
from typing import Any

from kafka import errors as kafka_errors

from fleetpulse.clock import Clock
from fleetpulse.errors import SettingsError
from fleetpulse.kafka_config import start_hint
from fleetpulse.logs import log_fields
from fleetpulse.publish.announce import Announcements
from fleetpulse.publish.backlog import Backlog
from fleetpulse.publish.client import close_client, open_client
from fleetpulse.publish.parcel import Parcel
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import Header

_RETRY_SECONDS = 2.0
_PAUSE_SECONDS = 0.5
_TICK_SECONDS = 1.0

log = logging.getLogger(__name__)


class Sender:
    """Takes from the backlog whatever Kafka's client has room for. `changed` guards the backlog and what is below."""

    def __init__(
        self,
        kafka: KafkaSettings,
        publish: PublishSettings,
        metrics: SelfMetrics,
        clock: Clock,
        backlog: Backlog,
        announcements: Announcements,
        changed: threading.Condition,
    ) -> None:
        self.refusal: SettingsError | None = None
        self.reached: bool | None = None  # whether Kafka answered when it was last asked
        self.took_at = clock.monotonic()  # when Kafka last took a frame
        self._kafka = kafka
        self._publish = publish
        self._metrics = metrics
        self._clock = clock
        self._backlog = backlog
        self._announcements = announcements
        self._changed = changed
        self._topic = Topic.METRICS.named(kafka.topic_prefix)
        self._client: Any = None
        self._broken = False
        self._progress = clock.monotonic()
        self._stopping = False
        self._on_disk: Callable[[], int] = lambda: 0
        self._wake_keeper: Callable[[], None] | None = None
        self._written_lost: Callable[[], float] = lambda: math.inf
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    @property
    def connected(self) -> bool:
        """Whether there is a client that takes frames."""
        return self._client is not None and not self._broken

    def start(
        self,
        on_disk: Callable[[], int] = lambda: 0,
        wake_keeper: Callable[[], None] | None = None,
        written_lost: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """Begin. With a keeper it says what Kafka's client had and what it may read back; without, losses are said
        from here.
        """
        self._on_disk, self._wake_keeper, self._written_lost = on_disk, wake_keeper, written_lost
        self._thread.start()

    def stop(self, timeout: float, patient: bool) -> None:
        """End the thread and the client; `patient`: everything is delivered, so that the client may end in order."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        # Without a client it may be opening one, which takes long when Kafka is away, and closes that itself.
        self._thread.join(max(0.1, timeout if self._client is not None else min(1.0, timeout)))
        with self._changed:
            client, self._client = self._client, None
        if client is not None:
            close_client(client, 1.0 if patient else 0.0)

    # ---- the sender's thread

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._step()
            except Exception:  # kafka-python may raise anything; without this thread nothing is ever sent again
                log.exception("the publisher goes on after an error")
                self._broken = True
                self._pause(_PAUSE_SECONDS)

    def _step(self) -> None:
        with self._changed:
            parcel = self._next() if self.connected else None
            # A client that was given up may settle the frame, and so empty it, before this one gets it.
            value = parcel.value if parcel is not None else b""
            if parcel is None and not self._stopping and (self._client is not None or not self._wanted()):
                self._changed.wait(_TICK_SECONDS)
            if self._stopping and parcel is None:
                return
            now = self._clock.monotonic()
            stalled = self._backlog.in_flight and now - self._progress > self._publish.stall_seconds
        if parcel is not None:
            self._hand_over(parcel, value)
        elif self._broken or stalled:
            self._discard_client("failed" if self._broken else "stalled")
        elif self._client is None and self._wanted():
            self._open()

    def _wanted(self) -> bool:
        return bool(len(self._backlog) or self._on_disk() or self._announcements)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)

    def _next(self) -> Parcel | None:
        now = self._clock.monotonic()
        if not self._backlog.in_flight:
            self._progress = now
        if self._wake_keeper is None and self._announcements:
            self._announcements.settled()
            for control in self._announcements.say_losses():
                self._backlog.add_control(control)
        return self._backlog.take(now, self._written_lost())

    def _open(self) -> None:
        try:
            client = open_client(self._kafka, self._publish)
        except (kafka_errors.KafkaError, OSError) as error:
            self._unavailable(str(error))
            return
        try:
            found = len(client.partitions_for(self._topic))
        except kafka_errors.KafkaError as error:
            close_client(client, 0.0)
            self._unavailable(f"no topic {self._topic}, which `fleetpulse topics` creates: {error}")
            return
        with self._changed:
            if found != self._kafka.partitions:
                self._refuse(found)
            elif not self._stopping:
                self._client, self._broken, client = client, False, None
        if client is not None:
            close_client(client, 0.0)
        else:
            self._say_reached(True)
            if self._wake_keeper is not None:
                self._wake_keeper()

    def _unavailable(self, cause: str) -> None:
        self._say_reached(False, cause)
        self._pause(_RETRY_SECONDS)

    def _refuse(self, found: int) -> None:
        self.refusal = SettingsError(
            f"topic {self._topic} has {found} partitions, FLEETPULSE_KAFKA_PARTITIONS is {self._kafka.partitions}: "
            "set it to the topic's number; `fleetpulse topics` says how to change the topic"
        )
        log.error("not publishing", extra=log_fields(cause=str(self.refusal)))
        self._stopping = True
        self._changed.notify_all()

    def _say_reached(self, reached: bool, cause: str = "") -> None:
        if reached == self.reached or (reached and self.reached is None):
            self.reached = reached
            return
        self.reached = reached
        address = self._kafka.bootstrap_servers
        if reached:
            waiting = self._backlog.bytes + self._on_disk()
            log.info("kafka reached", extra=log_fields(address=address, waiting_bytes=waiting))
        else:
            hint = start_hint(self._kafka)
            fields = log_fields(address=address, setting="FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS", cause=cause)
            log.warning("kafka unreachable, frames wait" + (f"; {hint}" if hint else ""), extra=fields)

    def _discard_client(self, cause: str) -> None:
        log.warning("opening the producer again", extra=log_fields(cause=cause, in_flight=self._backlog.in_flight))
        with self._changed:
            client, self._client = self._client, None
        if client is not None:
            close_client(client, 0.0)
        with self._changed:
            self._backlog.recall()
            self._progress = self._clock.monotonic()
            self._broken = False
        self._pause(_PAUSE_SECONDS)

    def _hand_over(self, parcel: Parcel, value: bytes) -> None:
        try:
            future = self._client.send(
                self._topic,
                value=value,
                key=parcel.key.encode(),
                headers=headers_of(parcel),
                partition=parcel.partition,
            )
        except Exception as error:
            self._undelivered(parcel, error)
            return
        future.add_callback(lambda _: self._delivered(parcel))
        future.add_errback(lambda error: self._undelivered(parcel, error))

    # ---- called by kafka-python's thread as well

    def _delivered(self, parcel: Parcel) -> None:
        with self._changed:
            now = self._clock.monotonic()
            if not self._backlog.settle(parcel, now):
                return
            self._metrics.add("fleetpulse_publish_delivered_samples_total", parcel.samples)
            self._progress = self.took_at = now
            self._settled(parcel)

    def _undelivered(self, parcel: Parcel, error: BaseException) -> None:
        with self._changed:
            if isinstance(error, (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)):
                value = parcel.value
                if self._backlog.settle(parcel):
                    log.error("kafka refuses a frame", extra=log_fields(host=parcel.key, cause=str(error)))
                    self._announcements.losses.count(parcel, value)
                    self._metrics.add("fleetpulse_publish_failed_samples_total", parcel.samples)
                    self._settled(parcel)
            elif not self._stopping:
                log.debug("frame not delivered", extra=log_fields(seq=parcel.seq, cause=repr(error)))
                self._broken = True
                self._changed.notify_all()

    def _settled(self, parcel: Parcel) -> None:
        self._metrics.set("fleetpulse_publish_buffered_bytes", self._backlog.bytes)
        if self._wake_keeper is not None and (parcel.old or parcel.control or parcel.insured):
            self._wake_keeper()
        self._changed.notify_all()


def headers_of(parcel: Parcel) -> list[tuple[str, bytes]]:
    """The record headers of a frame."""
    headers = [
        (str(Header.PRODUCER), parcel.producer.encode()),
        (str(Header.SEQ), b"%d" % parcel.seq),
        (str(Header.SAMPLES), b"%d" % parcel.samples),
    ]
    if parcel.derived:
        headers.append((str(Header.DERIVED), b"1"))
    return headers
