"""Frames to `fleetpulse.metrics`, at least once: never blocks its caller, loses nothing that it does not count.

accepted + restored = delivered + failed + dropped + waiting, in samples, at every moment (`fleetpulse_publish_…`).
Time loses nothing: frames wait in memory up to a budget, and with a spool on the disk up to another (`keeper.py`).
What is given up is counted by host and hour and published as control frames.

With a spool, what was accepted a moment ago survives the death of this process (not a power loss): another run sends
it under the producer id and number that it had. The frames of that last moment are lost with a killed process, and
nobody ever learns of their numbers. A run that stopped cleanly is continued by the next one, under the same producer
id and with its counters; of a killed run the id is closed when all that it left is through, and a new one is used.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from fleetpulse.clock import Clock, SystemClock
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.logs import log_fields
from fleetpulse.partition import partition_of
from fleetpulse.publish.announce import Announcements
from fleetpulse.publish.backlog import Backlog
from fleetpulse.publish.claim import claim
from fleetpulse.publish.client import check_codecs
from fleetpulse.publish.keeper import Keeper, Shared
from fleetpulse.publish.leftover import Leftovers
from fleetpulse.publish.origin import Origin
from fleetpulse.publish.parcel import Parcel
from fleetpulse.publish.sender import Sender
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES, Topic
from fleetpulse.wire import VERSION, Block, Frame, encode_frame, samples_in

_POLL_SECONDS = 0.2
_KEEP_SECONDS = 3.0  # for writing to the disk at the end, at least
_WINDOW_BYTES = 8 * 1024 * 1024
_MOST_HOST_BYTES = 65_535  # of a name, as a record on the disk has it
_MAX_FRAME_BYTES = MAX_MESSAGE_BYTES - 64 * 1024  # room for key, headers and the batch around it

log = logging.getLogger(__name__)


class Publisher:
    """One producer id and one sequence of frames; safe to use from several threads."""

    def __init__(
        self,
        kafka: KafkaSettings,
        publish: PublishSettings,
        metrics: SelfMetrics,
        clock: Clock | None = None,
        process: str = "",
        several: bool = False,
    ) -> None:
        """Start the threads. Kafka need not be there yet.

        `process` names the spool's folder; empty: no spool, all waits in memory. `several`: processes of that name
        may run side by side, each with a folder of its own; without it a second one is refused.
        Raises FatalError for a missing codec, wrong settings, or a spool that another process uses.
        """
        check_codecs()
        kafka_python_config(kafka)  # raises here rather than in a thread
        self._kafka, self._publish = kafka, publish
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._keeper = self._open_keeper(publish, process, several) if process else None
        self._origin = self._keeper.origin if self._keeper else Origin()
        window = min(_WINDOW_BYTES, publish.buffer_bytes // 2)
        if self._keeper and publish.spool_bytes:
            window = min(window, publish.spool_bytes // 2)
        self._backlog = Backlog(publish.buffer_bytes, window)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)  # guards everything below, and what the threads share
        self._announcements = Announcements(self._origin, kafka.partitions, self._clock)
        self._closing = False
        self._leftovers: Leftovers | None = None
        self._sender = Sender(kafka, publish, metrics, self._clock, self._backlog, self._announcements, self._changed)
        if self._keeper:
            keeper = self._keeper
            keeper.start(
                Shared(
                    self._lock,
                    self._backlog,
                    self._announcements,
                    took_at=lambda: self._sender.took_at,
                    connected=lambda: self._sender.connected,
                    changed=self._changed_backlog,
                )
            )
            self._sender.start(lambda: keeper.bytes, keeper.wake, lambda: keeper.written_lost)
            if several:
                topic = Topic.METRICS.named(kafka.topic_prefix)
                self._leftovers = Leftovers(keeper.folder, process, topic, self._open_leftover)
        else:
            self._sender.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def producer_id(self) -> str:
        """The id in the headers of this run's frames."""
        return self._origin.producer

    @property
    def connected(self) -> bool:
        """Whether Kafka answered when it was last asked for; False before the first answer."""
        return bool(self._sender.reached)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the frames that are not delivered yet, in memory and on the disk."""
        return self._backlog.bytes + self.spooled_bytes

    @property
    def memory_bytes(self) -> int:
        """Bytes of the frames that wait in memory."""
        return self._backlog.bytes

    @property
    def spooled_bytes(self) -> int:
        """Bytes of the frames on the disk."""
        return self._keeper.bytes if self._keeper else 0

    @property
    def spool_folder(self) -> str:
        """Where the spool is; empty without one."""
        return str(self._keeper.folder) if self._keeper else ""

    def send(
        self, blocks: Sequence[Block], derived: bool = False, on_settled: Callable[[], None] | None = None
    ) -> bool:
        """Accept one frame; every block's host must live in one partition. Fills in the blocks' `sent` counters.

        `on_settled` is called once it is delivered or given up, by any thread and in the midst of things: it is to be
        brief. With a spool it may never be.
        Returns False when samples were dropped: the oldest frames or this one because the byte budget is spent, or
        those of a host whose name has more than 65,535 bytes.
        Raises SettingsError when Kafka's topic has another number of partitions than the setting.
        """
        partition = self._partition_of(blocks)
        samples = sum(map(samples_in, blocks))
        with self._lock:
            if self._sender.refusal:
                raise self._sender.refusal
            self._metrics.add("fleetpulse_publish_samples_total", samples)
            if self._closing:
                log.error("frame refused: the publisher is closed", extra=log_fields(host=blocks[0].host))
                self._metrics.add("fleetpulse_publish_dropped_samples_total", samples)
                return False
            counted = self._origin.counted(blocks)
            refused = [block for block in counted if _is_too_long(block.host)]
            for block in refused:
                log.error(
                    "host refused: its name is too long",
                    extra=log_fields(host=block.host[:100], bytes=len(block.host.encode()), most=_MOST_HOST_BYTES),
                )
                self._drop([self._parcel([block], partition, derived)])
            accepted = [block for block in counted if block not in refused] if refused else counted
            if not accepted:
                return False
            self._origin.key = accepted[0].host
            parcel = self._parcel(accepted, partition, derived)
            parcel.on_settled = on_settled
            return self._accept(parcel) and not refused

    def flush(self, timeout: float, stop: threading.Event | None = None) -> bool:
        """Wait until everything accepted is delivered or given up, at most `timeout` seconds; False when it is not.

        `stop` ends the wait early. Raises SettingsError when something is left that will never be delivered, because
        Kafka's topic has another number of partitions than the setting.
        """
        deadline = self._clock.monotonic() + timeout
        with self._changed:
            while not self._through():
                if self._sender.refusal:
                    raise self._sender.refusal
                left = deadline - self._clock.monotonic()
                if left <= 0 or (stop and stop.is_set()):
                    return False
                self._changed.wait(min(left, _POLL_SECONDS))
            return True

    def close(self, timeout: float = 5.0) -> bool:
        """Deliver what is in memory, and stop, within about `timeout` seconds; True when nothing is left.

        With a spool the rest goes to the disk, at once when Kafka is away, for the next run. Without one it is
        failed; and when everything was delivered, the producer id is closed.
        """
        deadline = self._clock.monotonic() + timeout
        with self._changed:
            if self._closing:
                return self._through()
            self._closing = True
            self._await(deadline, self._settled_for_now)
            if not self._keeper and self._origin.key and self._through():
                self._backlog.add_control(self._announcements.close_own())
                self._changed.notify_all()
                self._await(deadline, self._through)
            delivered = self._through()
        if self._leftovers:
            self._leftovers.stop(deadline - self._clock.monotonic())
        self._sender.stop(deadline - self._clock.monotonic(), patient=delivered)
        if self._keeper:
            self._finish(self._keeper, deadline)
        else:
            self._fail_rest()
        return delivered

    def _open_keeper(self, publish: PublishSettings, process: str, several: bool) -> Keeper | None:
        held = None
        try:
            held = claim(publish, process, several)
            topic = Topic.METRICS.named(self._kafka.topic_prefix)
            after, spool_bytes = publish.spool_after_seconds, publish.spool_bytes
            return Keeper(held, topic, spool_bytes, after, self._metrics, self._clock)
        except OSError as error:
            if held is not None:
                held.release()
            fields = log_fields(cause=str(error), setting="FLEETPULSE_PUBLISH_SPOOL_DIR")
            log.error("there is no spool: frames wait in memory only, and are lost if this process ends", extra=fields)
            return None

    def _open_leftover(self, name: str) -> "Publisher":
        return Publisher(self._kafka, self._publish, SelfMetrics(), self._clock, name)

    def _through(self) -> bool:
        return not (len(self._backlog) or self.spooled_bytes or self._announcements.losses or self._announcements.ended)

    def _settled_for_now(self) -> bool:
        """Whether a close need not wait: with a spool, when Kafka is away or nothing is left but what is there."""
        if self._keeper and (not self._backlog.new or not self._sender.reached):
            return True
        return self._through() or self._sender.refusal is not None

    def _await(self, deadline: float, done: Callable[[], bool]) -> None:
        while not done() and (left := deadline - self._clock.monotonic()) > 0:
            self._changed.wait(min(left, _POLL_SECONDS))

    def _finish(self, keeper: Keeper, deadline: float) -> None:
        in_time = keeper.finish(max(_KEEP_SECONDS, deadline - self._clock.monotonic()))
        if not in_time:
            log.error("the spool takes too long: frames are lost", extra=log_fields(folder=self.spool_folder))
        elif keeper.bytes:
            fields = log_fields(folder=self.spool_folder, bytes=keeper.bytes)
            log.info("frames wait on the disk for the next start", extra=fields)

    def _fail_rest(self) -> None:
        with self._lock:
            left = sum(parcel.samples for parcel in self._backlog.empty())
            self._metrics.add("fleetpulse_publish_failed_samples_total", left)
            self._changed_backlog()
        if left:
            log.error("samples were not delivered and are lost", extra=log_fields(samples=left))

    def _partition_of(self, blocks: Sequence[Block]) -> int:
        partitions = {partition_of(block.host, self._kafka.partitions) for block in blocks}
        if len(partitions) != 1:
            raise ValueError(f"a frame holds hosts of one partition, not of {sorted(partitions)}")
        return partitions.pop()

    def _parcel(self, blocks: Sequence[Block], partition: int, derived: bool) -> Parcel:
        value = encode_frame(Frame(VERSION, self._clock.now_ms(), list(blocks)))
        samples, origin, born = sum(map(samples_in, blocks)), self._origin, self._clock.monotonic()
        seq, key = origin.next_seq(), blocks[0].host
        after = self._announcements.lost
        return Parcel(origin.producer, seq, key, partition, value, samples, derived, born=born, after=after)

    def _accept(self, parcel: Parcel) -> bool:
        if parcel.size > _MAX_FRAME_BYTES:
            log.error("frame refused", extra=log_fields(host=parcel.key, bytes=parcel.size))
            parcel.settle()
            dropped = [parcel]
        else:
            dropped = self._backlog.add(parcel)
        self._drop(dropped)
        if self._keeper and (dropped or self._backlog.crowded):
            self._keeper.wake()
        self._changed_backlog()
        return not dropped

    def _drop(self, parcels: Sequence[Parcel]) -> None:
        for lost in parcels:
            self._announcements.count_loss(lost)
            self._metrics.add("fleetpulse_publish_dropped_samples_total", lost.samples)

    def _changed_backlog(self) -> None:
        self._metrics.set("fleetpulse_publish_buffered_bytes", self._backlog.bytes)
        self._changed.notify_all()


def _is_too_long(host: str) -> bool:
    return len(host) > _MOST_HOST_BYTES // 4 and len(host.encode()) > _MOST_HOST_BYTES
