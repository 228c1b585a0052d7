"""Frames to `fleetpulse.metrics`, at least once: never blocks its caller, loses nothing that it does not count.

accepted = delivered + failed + dropped + waiting, in samples, at every moment (`fleetpulse_publish_…`).

One thread hands frames to kafka-python, a bounded window at a time, because its producer has no memory bound of
its own. The same thread opens the producer again when it failed a frame or delivered none for `STALL_SECONDS`:
an idempotent producer whose batch expired never delivers again. What was in flight is then sent again; the
duplicates that this can make are collapsed where samples are stored.
"""

import logging
import secrets
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from kafka import errors as kafka_errors

from fleetpulse.clock import Clock, SystemClock
from fleetpulse.errors import SettingsError
from fleetpulse.kafka_config import kafka_python_config, start_hint
from fleetpulse.logs import log_fields
from fleetpulse.partition import partition_of
from fleetpulse.publish.backlog import Backlog, Parcel
from fleetpulse.publish.client import check_codecs, close_client, open_client
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES, Topic
from fleetpulse.wire import VERSION, Block, Control, Dropped, Frame, Header, encode_frame, samples_in

STALL_SECONDS = 60.0
_RETRY_SECONDS = 2.0
_PAUSE_SECONDS = 0.5
_POLL_SECONDS = 0.2
_TICK_SECONDS = 1.0
_WINDOW_BYTES = 8 * 1024 * 1024
_MAX_FRAME_BYTES = MAX_MESSAGE_BYTES - 64 * 1024  # room for key, headers and the batch around it

log = logging.getLogger(__name__)


class Publisher:
    """One producer id and one sequence of frames; safe to use from several threads."""

    def __init__(
        self, kafka: KafkaSettings, publish: PublishSettings, metrics: SelfMetrics, clock: Clock | None = None
    ) -> None:
        """Start the thread. Kafka need not be there yet. Raises FatalError for a missing codec or wrong settings."""
        check_codecs()
        kafka_python_config(kafka)  # raises here rather than in the thread
        self.producer_id = secrets.token_hex(8)
        self._kafka = kafka
        self._publish = publish
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._topic = Topic.METRICS.named(kafka.topic_prefix)
        self._backlog = Backlog(publish.buffer_bytes, min(_WINDOW_BYTES, publish.buffer_bytes // 2))
        self._changed = threading.Condition()  # guards everything below and the backlog
        self._sent: dict[str, int] = {}
        self._last_key = ""
        self._refusal: SettingsError | None = None
        self._connected: bool | None = None
        self._client: Any = None
        self._broken = False
        self._progress = self._clock.monotonic()
        self._closing = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether Kafka answered when it was last asked for; False before the first answer."""
        return bool(self._connected)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the frames that are not delivered yet."""
        return self._backlog.bytes

    def send(self, blocks: Sequence[Block], derived: bool = False) -> bool:
        """Accept one frame; every block's host must live in one partition. Fills in the blocks' `sent` counters.

        Returns False when the byte budget is spent and samples were dropped for it: the oldest frames, or this one.
        Raises SettingsError when Kafka's topic has another number of partitions than the setting.
        """
        partition = self._partition_of(blocks)
        with self._changed:
            if self._refusal:
                raise self._refusal
            samples = sum(map(samples_in, blocks))
            value = encode_frame(Frame(VERSION, self._clock.now_ms(), [self._counted(block) for block in blocks]))
            self._metrics.add("fleetpulse_publish_samples_total", samples)
            self._last_key = blocks[0].host
            parcel = Parcel(blocks[0].host, partition, value, samples, derived, self._clock.monotonic())
            return self._accept(parcel, self._closing)

    def flush(self, timeout: float, stop: threading.Event | None = None) -> bool:
        """Wait until everything accepted is delivered or given up, at most `timeout` seconds; False when it is not.

        `stop` ends the wait early.
        """
        deadline = self._clock.monotonic() + timeout
        with self._changed:
            while len(self._backlog) and self._refusal is None and not (stop and stop.is_set()):
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, _POLL_SECONDS))
            return not len(self._backlog)

    def close(self, timeout: float = 5.0) -> bool:
        """Flush, say that this producer id is closed, and stop, within `timeout` seconds. What is left is failed."""
        deadline = self._clock.monotonic() + timeout
        with self._changed:
            if self._closing:
                return not len(self._backlog)
            self._closing = True
        delivered = self.flush(timeout)
        if delivered and self._last_key:
            with self._changed:
                self._backlog.add_control(self._control_parcel(self._last_key, Control(closed=True)))
                self._changed.notify_all()
            delivered = self.flush(max(0.0, deadline - self._clock.monotonic()))
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(max(0.1, deadline - self._clock.monotonic()))
        with self._changed:
            client, self._client = self._client, None
        if client is not None:
            close_client(client, 1.0 if delivered else 0.0)
        with self._changed:
            self._backlog.recall()
            self._fail(self._backlog.expire(float("inf")))
        return delivered

    def _partition_of(self, blocks: Sequence[Block]) -> int:
        partitions = {partition_of(block.host, self._kafka.partitions) for block in blocks}
        if len(partitions) != 1:
            raise ValueError(f"a frame holds hosts of one partition, not of {sorted(partitions)}")
        return partitions.pop()

    def _counted(self, block: Block) -> Block:
        sent = self._sent.get(block.host, 0) + samples_in(block)
        self._sent[block.host] = sent
        return Block(block.host, block.common, block.series, block.ts, block.value, block.index, sent)

    def _accept(self, parcel: Parcel, closed: bool = False) -> bool:
        if closed or len(parcel.value) > _MAX_FRAME_BYTES:
            log.error("frame refused", extra=log_fields(host=parcel.key, bytes=len(parcel.value)))
            self._backlog.lose(parcel)
            dropped = [parcel]
        else:
            dropped = self._backlog.add(parcel)
        if dropped:
            self._metrics.add("fleetpulse_publish_dropped_samples_total", sum(lost.samples for lost in dropped))
        self._changed_backlog()
        return not dropped

    def _changed_backlog(self) -> None:
        self._metrics.set("fleetpulse_publish_buffered_bytes", self._backlog.bytes)
        self._changed.notify_all()

    def _control_parcel(self, key: str, control: Control) -> Parcel:
        value = encode_frame(Frame(VERSION, self._clock.now_ms(), [], control))
        return Parcel(key, partition_of(key, self._kafka.partitions), value, 0, False, self._clock.monotonic())

    # ---- the publisher's thread

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
            parcel = None if self._broken or self._client is None else self._next()
            if parcel is None and not self._stopping and (self._client is not None or not len(self._backlog)):
                self._changed.wait(_TICK_SECONDS)
            if self._stopping:
                return
            self._give_up_old()
            stalled = self._backlog.in_flight and self._clock.monotonic() - self._progress > STALL_SECONDS
        if self._broken or stalled:
            self._discard_client("failed" if self._broken else "stalled")
        elif parcel is not None:
            self._hand_over(parcel)
        elif self._client is None and len(self._backlog):
            self._open()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)

    def _next(self) -> Parcel | None:
        if not self._backlog.in_flight:
            self._progress = self._clock.monotonic()
            for key, dropped in self._losses_by_key().items():
                self._backlog.add_control(self._control_parcel(key, Control(dropped)))
        return self._backlog.take()

    def _losses_by_key(self) -> dict[str, list[Dropped]]:
        keys: dict[int, str] = {}  # one control frame a partition, its key the first host of it
        frames: dict[str, list[Dropped]] = {}
        for loss in self._backlog.take_losses():
            key = keys.setdefault(partition_of(loss.host, self._kafka.partitions), loss.host)
            frames.setdefault(key, []).append(loss)
        return frames

    def _give_up_old(self) -> None:
        self._fail(self._backlog.expire(self._clock.monotonic() - self._publish.delivery_timeout_seconds))

    def _fail(self, parcels: list[Parcel]) -> None:
        if not parcels:
            return
        self._metrics.add("fleetpulse_publish_failed_samples_total", sum(parcel.samples for parcel in parcels))
        self._changed_backlog()

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
            self._say_connected(True)

    def _unavailable(self, cause: str) -> None:
        self._say_connected(False, cause)
        self._pause(_RETRY_SECONDS)

    def _refuse(self, found: int) -> None:
        self._refusal = SettingsError(
            f"topic {self._topic} has {found} partitions, FLEETPULSE_KAFKA_PARTITIONS is {self._kafka.partitions}: "
            "set it to the topic's number; `fleetpulse topics` says how to change the topic"
        )
        log.error("not publishing", extra=log_fields(cause=str(self._refusal)))
        self._stopping = True
        self._changed.notify_all()

    def _say_connected(self, connected: bool, cause: str = "") -> None:
        if connected == self._connected or (connected and self._connected is None):
            self._connected = connected
            return
        self._connected = connected
        address = self._kafka.bootstrap_servers
        if connected:
            log.info("kafka reached", extra=log_fields(address=address, waiting_bytes=self._backlog.bytes))
        else:
            hint = start_hint(self._kafka)
            fields = log_fields(address=address, setting="FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS", cause=cause)
            log.warning("kafka unreachable, frames wait in memory" + (f"; {hint}" if hint else ""), extra=fields)

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

    def _hand_over(self, parcel: Parcel) -> None:
        try:
            future = self._client.send(
                self._topic,
                value=parcel.value,
                key=parcel.key.encode(),
                headers=self._headers(parcel),
                partition=parcel.partition,
            )
        except Exception as error:
            self._undelivered(parcel, error)
            return
        future.add_callback(lambda _: self._delivered(parcel))
        future.add_errback(lambda error: self._undelivered(parcel, error))

    def _headers(self, parcel: Parcel) -> list[tuple[str, bytes]]:
        headers = [
            (str(Header.PRODUCER), self.producer_id.encode()),
            (str(Header.SEQ), b"%d" % parcel.seq),
            (str(Header.SAMPLES), b"%d" % parcel.samples),
        ]
        if parcel.derived:
            headers.append((str(Header.DERIVED), b"1"))
        return headers

    # ---- called by kafka-python's thread as well

    def _delivered(self, parcel: Parcel) -> None:
        with self._changed:
            if self._backlog.settle(parcel):
                self._metrics.add("fleetpulse_publish_delivered_samples_total", parcel.samples)
                self._progress = self._clock.monotonic()
                self._changed_backlog()

    def _undelivered(self, parcel: Parcel, error: BaseException) -> None:
        with self._changed:
            if isinstance(error, (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)):
                if self._backlog.settle(parcel):
                    log.error("kafka refuses a frame", extra=log_fields(host=parcel.key, cause=str(error)))
                    self._backlog.lose(parcel)
                    self._fail([parcel])
            elif not self._stopping:
                log.debug("frame not delivered", extra=log_fields(seq=parcel.seq, cause=repr(error)))
                self._broken = True
                self._changed.notify_all()
