"""The disk's half of a publisher, on a thread of its own: what waits too long is written, and read back in order.

A frame goes to the disk when Kafka took nothing for `spool_after_seconds` and the frame waits longer than that, when
the memory's budget is half spent, and at the end when Kafka is away. While Kafka takes what comes, nothing is
written. When the disk fails, that is said once, frames wait in memory, and it is tried again every few seconds.

When the spool is full its oldest segment goes. First what it held is counted, and the counts are written down with
the segment's number; then it is deleted: after a crash in between it is not counted again. What cannot be read is
counted as dropped likewise, by what the spool noted of its contents.
"""

import errno
import logging
import math
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fleetpulse.clock import Clock
from fleetpulse.logs import log_fields
from fleetpulse.publish.announce import Announcements
from fleetpulse.publish.backlog import Backlog
from fleetpulse.publish.claim import Claim
from fleetpulse.publish.losses import Losses
from fleetpulse.publish.memo import Ended, Memo, encode_memo, read_memo, write_memo
from fleetpulse.publish.origin import Origin
from fleetpulse.publish.parcel import Parcel
from fleetpulse.publish.record import encode_record
from fleetpulse.publish.spool import Gone, Oldest, Record, Spool
from fleetpulse.selfmetrics import SelfMetrics

RETRY_SECONDS = 5.0
IDLE_SECONDS = 1.0
VANISHED = (errno.ENOENT, errno.ESTALE)
UNREADABLE = (errno.EIO, errno.EBADMSG, *VANISHED)  # of a file: waiting does not mend it
READ_TRIES = 3
PASS_BYTES = 64 * 1024  # passed over around what cannot be read: each try may take the disk seconds
IN_FLIGHT_FACTOR = 3  # in flight for so many times `after_seconds`: written whatever Kafka takes else

log = logging.getLogger(__name__)


class Shared(NamedTuple):
    """What the keeper has in common with the sender; `lock` guards the backlog and the announcements."""

    lock: threading.RLock
    backlog: Backlog
    announcements: Announcements
    took_at: Callable[[], float]  # when Kafka last took a frame, monotonic seconds
    connected: Callable[[], bool]
    changed: Callable[[], None]  # called with the lock held


class Keeper:
    """The spool and the memo of one folder."""

    def __init__(
        self, claim: Claim, topic: str, budget_bytes: int, after_seconds: float, metrics: SelfMetrics, clock: Clock
    ) -> None:
        """Read what an earlier run left, and write down that this one runs; raises OSError."""
        self.folder: Path = claim.folder
        self._claim = claim
        self._budget = budget_bytes
        self._after = after_seconds
        self._metrics = metrics
        self._clock = clock
        self._memo = read_memo(claim.folder) or Memo()
        self._spool = Spool(claim.folder, budget_bytes, self._memo.dropped_through + 1)
        if self._spool.torn_bytes:
            log.info("cut a torn record", extra=log_fields(folder=str(self.folder), bytes=self._spool.torn_bytes))
        self.origin = self._begin(topic)
        self._remembered = sum(samples for *_, samples in self._memo.losses)  # losses that are written down
        self._lost = 0  # of `announcements.lost`, what is written down
        self._failed_at: float | None = None
        self._failed_reads = self._failed_drops = 0
        self._unreadable = "not what was written"  # why records could not be read
        self._full = False
        self._ending = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    @property
    def bytes(self) -> int:
        """Bytes of frames on the disk."""
        return self._spool.bytes

    @property
    def written_lost(self) -> float:
        """How many of the samples that this process gave up are written down; any number while the disk fails."""
        return math.inf if self._failed_at is not None else self._lost

    def start(self, shared: Shared) -> None:
        """Hand over what the run before had to say, and begin."""
        self._shared = shared
        shared.announcements.losses.add_all(self._memo.losses)
        shared.announcements.ended.update(self._memo.ended)
        for parcel in shared.announcements.restore(self._memo.controls):
            shared.backlog.add_control(parcel)
        self._thread.start()

    def wake(self) -> None:
        """There is something to do: the memory is crowded, or Kafka takes the backlog."""
        self._wake.set()

    def finish(self, timeout: float) -> bool:
        """Write down all that is left, within `timeout` seconds; False when it takes longer. The sender has stopped."""
        self._ending = True
        self._wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _begin(self, topic: str) -> Origin:
        memo = self._memo
        if memo.topic not in ("", topic):
            log.warning("another topic: a new producer id", extra=log_fields(before=memo.topic, now=topic))
            self._memo = memo = Memo(dropped_through=memo.dropped_through, passed_through=memo.passed_through)
        if memo.producer and memo.clean:
            origin = Origin(memo.producer, memo.seq, memo.sent, memo.key)
        else:
            if memo.producer:
                memo.ended.setdefault(memo.producer, Ended(memo.key))
            origin = Origin()
        memo.topic, memo.producer, memo.key = topic, origin.producer, origin.key
        memo.clean, memo.seq, memo.sent = False, 0, {}
        write_memo(self.folder, encode_memo(memo))
        return origin

    # ---- the keeper's thread

    def _run(self) -> None:
        while not self._ending:
            if self._wake.wait(min(IDLE_SECONDS, self._after / 2)):
                self._wake.clear()
            self._try(self._step)
        self._try(self._end)
        self._spool.close()
        self._claim.release()

    def _try(self, step: Callable[[], None]) -> None:
        now = self._clock.monotonic()
        if self._failed_at is not None and not self._ending and now - self._failed_at < RETRY_SECONDS:
            return
        try:
            step()
        except OSError as error:
            self._say_failed(error)
        except Exception:  # without this thread nothing would be kept any more
            log.exception("the spool goes on after an error")
        else:
            if self._failed_at is not None:
                self._failed_at = None
                log.info("the spool can be written again", extra=log_fields(folder=str(self.folder)))

    def _say_failed(self, error: OSError) -> None:
        with self._shared.lock:
            self._shared.backlog.put_back()
        if self._failed_at is None:
            fields = log_fields(folder=str(self.folder), cause=str(error), setting="FLEETPULSE_PUBLISH_SPOOL_DIR")
            log.error("the spool cannot be used; frames wait in memory and are lost if this process ends", extra=fields)
        self._failed_at = self._clock.monotonic()

    def _step(self) -> None:
        now = self._clock.monotonic()
        shared = self._shared
        with shared.lock:
            away = now - shared.took_at() > self._after
            born_before = now - self._after if away else float("-inf")
            due = shared.backlog.due(born_before, now - IN_FLIGHT_FACTOR * self._after) if self._budget else []
        losses = shared.announcements.losses
        if shared.announcements.lost != self._lost or (len(losses) and losses.total != self._remembered):
            self._remember()  # before what was accepted after them reaches the disk, or Kafka
            with shared.lock:
                shared.changed()
        self._keep(due)
        if shared.connected():
            self._bring_back()
        self._count_gone()
        if shared.connected():
            self._announce()
        if self.origin.key and not self._memo.key:
            self._remember()
        before = self._spool.bytes
        self._spool.tidy(self._clock.monotonic())
        self._metrics.set("fleetpulse_publish_spool_bytes", self._spool.bytes)
        if before and not self._spool.bytes:
            self._full = False
            with shared.lock:
                shared.changed()

    def _keep(self, due: list[Parcel]) -> None:
        shared = self._shared
        for parcel in due:
            segments = self._spool.segments
            while not self._spool.room_for(parcel):
                if not segments:
                    raise OSError(errno.ENOSPC, "no room for a frame, and nothing on the disk to drop for it")
                self._drop_oldest()
                segments -= 1
            with shared.lock:
                record = b"" if parcel.settled else encode_record(parcel)
            if record:
                self._spool.append(parcel, record)
                self._metrics.add("fleetpulse_publish_spooled_samples_total", parcel.samples)
            with shared.lock:
                shared.backlog.written(parcel)
                shared.changed()

    def _drop_oldest(self) -> None:
        shared = self._shared
        number, lost, kept, gone = self._oldest()
        losses = Losses(row for entry in lost for row in entry.rows)
        unread = self._lost_of(gone)
        losses.add_all(row for one in unread for row in one.entry.rows)
        copied = self._copy(kept)
        try:
            self._remember(losses, dropped_through=number)
        except OSError:
            for held in (*(record.held for record in kept), *(one.held for one in gone)):
                self._spool.hold(held)
            raise
        with shared.lock:
            shared.announcements.losses.add_all(losses.rows())
            for record in kept:
                counts = shared.backlog.counts(record.held, record.parcel)
                if counts is None:
                    record.parcel.settled = True
                    continue
                shared.announcements.route(counts)
                shared.backlog.keep(counts)
                if record.parcel in copied:
                    counts.insured = True
                    self._spool.hold(counts)
        self._metrics.add("fleetpulse_publish_dropped_samples_total", sum(entry.samples for entry in lost))
        self._say_gone(unread)
        self._spool.drop_oldest()
        if not self._full:
            self._full = True
            log.warning(
                "the spool is full: the oldest frames are dropped and counted",
                extra=log_fields(
                    folder=str(self.folder), bytes=self._spool.bytes, setting="FLEETPULSE_PUBLISH_SPOOL_BYTES"
                ),
            )

    def _oldest(self) -> Oldest:
        try:
            found = self._spool.oldest(whatever_fails=self._failed_drops >= READ_TRIES)
        except OSError as error:
            if error.errno in UNREADABLE:
                self._failed_drops += 1
                self._unreadable = str(error)
            raise
        self._failed_drops = 0
        return found

    def _copy(self, records: list[Record]) -> set[Parcel]:
        """A new record for frames that may have arrived, before the memo says that the old one is gone.

        Returns those that were written: the others are in memory, and will be when there is room.
        """
        copied: set[Parcel] = set()
        with suppress(OSError):
            for one in records:
                parcel = one.parcel
                with self._shared.lock:
                    parcel.seen = True
                    encoded = b"" if parcel.settled or (one.held and one.held.settled) else encode_record(parcel)
                if encoded:
                    self._spool.append(parcel, encoded)
                    copied.add(parcel)
                    if parcel.producer != self.origin.producer:
                        self._spool.inherit()
        return copied

    def _bring_back(self) -> None:
        shared = self._shared
        with shared.lock:
            wanted = shared.backlog.wants_old
        if not wanted or not self._spool.unread:
            return
        found: list[Record] | None = None
        while found is None:
            try:
                found = self._spool.read(wanted)
            except OSError as error:
                self._read_failed(error)
        self._failed_reads = 0
        with shared.lock:
            for record in found:
                self._bring(record)
            shared.changed()

    def _read_failed(self, error: OSError) -> None:
        """Raises it again while trying again may help; else what cannot be read is passed over."""
        if error.errno not in UNREADABLE:
            raise error
        if not self._spool.doubtful:
            self._failed_reads += 1
            if self._failed_reads < READ_TRIES:
                raise error
        self._unreadable = str(error)
        self._spool.pass_over(self._budget if error.errno in VANISHED else PASS_BYTES)

    def _count_gone(self) -> None:
        """What was passed over is dropped: written down with how far that goes, then said. Raises OSError."""
        gone = [one for one in self._spool.gone if one.end > self._memo.passed_through]
        if gone:
            lost = self._lost_of(gone)
            losses = Losses(row for one in lost for row in one.entry.rows)
            self._remember(losses, passed_through=gone[-1].end)
            with self._shared.lock:
                self._shared.announcements.losses.add_all(losses.rows())
            self._say_gone(lost)
        self._spool.gone.clear()

    def _lost_of(self, gone: list[Gone]) -> list[Gone]:
        """Those that are lost with their records; what a client has stays in memory alone."""
        lost = []
        with self._shared.lock:
            for one in gone:
                if one.held is None or not (one.held.settled or one.held.value):
                    lost.append(one)
                elif one.held.insured and not one.held.settled:
                    self._shared.backlog.keep(one.held)
        return lost

    def _say_gone(self, lost: list[Gone]) -> None:
        """Their samples are written down as dropped."""
        self._metrics.add("fleetpulse_publish_dropped_samples_total", sum(one.entry.samples for one in lost))
        for path in dict.fromkeys(one.path for one in lost):
            of_file = [one for one in lost if one.path == path]
            log.error(
                "a part of the spool cannot be read and is passed over: its samples are counted as dropped",
                extra=log_fields(
                    file=str(path),
                    cause=self._unreadable,
                    bytes=sum(one.entry.end - one.entry.start for one in of_file),
                    samples=sum(one.entry.samples for one in of_file),
                    perhaps_arrived=sum(one.entry.samples for one in of_file if one.uncertain),
                    unknown_bytes=sum(one.entry.end - one.entry.start for one in of_file if not one.entry.rows),
                ),
            )

    def _bring(self, record: Record) -> None:
        backlog, parcel = self._shared.backlog, record.parcel
        parts = self._shared.announcements.split(parcel) if record.inherited and record.held is None else []
        if len(parts) > 1:
            self._spool.stands_for(parcel, *parts)
            for part in parts:
                backlog.add_old(part)
        self._shared.announcements.route(parcel)
        if record.inherited:
            self._metrics.add("fleetpulse_publish_restored_samples_total", parcel.samples)
            if parcel.producer != self.origin.producer:
                self._shared.announcements.ended.setdefault(parcel.producer, Ended(parcel.key))
        if len(parts) > 1:
            return
        counts = backlog.counts(record.held, parcel)
        if counts is parcel:
            backlog.add_old(parcel)
        elif counts is None:
            parcel.settled = True
        else:
            backlog.adopt(counts)
            self._spool.stands_for(parcel, counts)

    def _announce(self) -> None:
        """Losses, and ids whose frames are all through, as control frames; written down before they are sent."""
        shared = self._shared
        with shared.lock:
            changed = shared.announcements.settled()
            parcels = shared.announcements.say_losses()
            ended = shared.announcements.ended
            if ended and not self._spool.inherited and not shared.backlog.producers() & ended.keys():
                parcels += shared.announcements.say_closed()
                changed = True
        if parcels or changed:
            with suppress(OSError):  # said whatever the disk does
                self._remember()
        with shared.lock:
            for parcel in parcels:
                shared.backlog.add_control(parcel)
            shared.changed()

    def _remember(
        self, more: Losses | None = None, dropped_through: int = 0, passed_through: tuple[int, int] = (0, 0)
    ) -> None:
        """Write the memo as things are, with losses that are about to happen; raises OSError."""
        memo, said = self._memo, self._shared.announcements
        with self._shared.lock:
            losses = Losses(said.losses.rows())
            losses.add_all(more.rows() if more else ())
            memo.key = self.origin.key
            memo.losses, memo.controls, memo.ended = list(losses.rows()), said.saved(), said.ended
            memo.dropped_through = max(memo.dropped_through, dropped_through)
            memo.passed_through = max(memo.passed_through, passed_through)
            encoded, total, lost = encode_memo(memo), losses.total, said.lost
        write_memo(self.folder, encoded)
        self._remembered, self._lost = total, lost

    def _end(self) -> None:
        """Everything to the disk; what it does not take is counted as failed. Then the memo, which says so."""
        with self._shared.lock:
            left = self._shared.backlog.empty()
        failure: OSError | None = None
        while left and self._budget and not failure:
            try:
                self._keep(left[:1])
                left.pop(0)
            except OSError as error:
                failure = error
        with self._shared.lock:
            for parcel in left:
                self._shared.announcements.losses.count(parcel)
        failed = sum(parcel.samples for parcel in left)
        self._metrics.add("fleetpulse_publish_failed_samples_total", failed)
        if failed:
            fields = log_fields(folder=str(self.folder), samples=failed)
            log.error("the disk does not take what is left: samples are lost", extra=fields)
        with suppress(OSError):
            self._count_gone()
        self._memo.clean, self._memo.seq, self._memo.sent = True, self.origin.seq, self.origin.sent
        self._remember()
        if failure:
            raise failure
