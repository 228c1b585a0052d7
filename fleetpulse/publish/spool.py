"""Frames on the disk, in files of their own folder: appended, read back in order, deleted once they are settled.

``<number>.seg``       records (`record.py`), oldest segment first
``<number>.contents``  what they hold (`contents.py`), should they be unreadable
``position``           how far all is settled, and how far frames may have been handed to Kafka's client

Nothing is flushed to the device: what a process wrote survives its death (SIGKILL at any byte included), not the
power's. Whatever a crash leaves is read again, under the same producer id and seq: at least once.

A record that may have arrived in Kafka is never dropped when the spool is full, because it would be counted twice:
as dropped and as stored. So the second place of ``position`` is written before a frame is handed over.

Not safe to use from several threads.
"""

import os
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from crc32c import crc32c

from fleetpulse.publish.contents import Contents, Entry, entry_of, path_of, read_contents, unknown
from fleetpulse.publish.parcel import Parcel
from fleetpulse.publish.record import HEAD_BYTES, Position, body_bytes, decode_record

SEGMENTS = 8  # in which a full spool is divided: one of them is what is dropped at a time
MOST_SEGMENT_BYTES = 16 * 1024 * 1024
LEAST_SEGMENT_BYTES = 64 * 1024
FREE_BYTES = 1024 * 1024  # left alone on the file system, or an eighth of a small one
POSITION_SECONDS = 1.0

_START = Position(0, 0)
_POSITION = struct.Struct("<QQQQQ")  # generation, settled segment and offset, seen segment and offset; crc32c follows
_SLOT_BYTES = 64  # two of them, written in turn: one is whole whatever happens


class Record(NamedTuple):
    """A frame as it was read. `held`: the object that Kafka's client had when the record was written, if it had."""

    parcel: Parcel
    held: Parcel | None
    inherited: bool


class Gone(NamedTuple):
    """A record that cannot be read, and where it ends. `uncertain`: it may have arrived in Kafka all the same."""

    path: Path
    end: Position
    entry: Entry
    held: Parcel | None
    uncertain: bool


class Oldest(NamedTuple):
    """The oldest segment: what may be given up, what may not (it perhaps arrived), and what cannot be read."""

    number: int
    lost: list[Entry]
    kept: list[Record]
    gone: list[Gone]


@dataclass(slots=True)
class _Segment:
    number: int
    path: Path
    size: int


class Spool:
    """One folder. `bytes`: what its segments take."""

    def __init__(self, folder: Path, budget_bytes: int, first_segment: int = 1) -> None:
        """Open an existing folder and cut a torn end. Segments before `first_segment` are deleted unread."""
        self._folder = folder
        self._budget = budget_bytes
        self._segment_bytes = max(LEAST_SEGMENT_BYTES, min(MOST_SEGMENT_BYTES, budget_bytes // SEGMENTS))
        self._segments: deque[_Segment] = deque()
        self._next_number = first_segment
        self._writing: int | None = None  # the descriptor of the last segment
        self._contents: Contents | None = None  # beside it
        self._reading_file: tuple[int, int] | None = None  # segment number, descriptor
        self._reading: deque[tuple[Parcel, Position]] = deque()
        self._held: dict[tuple[str, int], Parcel] = {}
        self.bytes = 0
        self.torn_bytes = 0  # cut from the end of the last segment
        self.gone: list[Gone] = []  # passed over by `read` or `pass_over`, for the caller to count and to clear
        self._unreadable: set[int] = set()  # segments whose files are kept for somebody to mend
        self._find_segments(first_segment)
        self._generation = 0
        self._settled, self._seen_until = self._read_position()
        if not self._segments:  # numbers go on, or a new segment would look settled
            self._next_number = max(first_segment, self._settled.segment + 1, self._seen_until.segment + 1)
        self._cursor = self._settled = self._after_gap(self._settled)
        self._written = (self._settled, self._seen_until)
        self._written_at = 0.0
        self._position_file: int | None = None
        self.inherited_until = self._end  # what lies before it is of an earlier run

    @property
    def unread(self) -> bool:
        """Whether there is something to read."""
        return bool(self._segments) and self._cursor < self._end

    @property
    def inherited(self) -> bool:
        """Whether frames of an earlier run are not settled yet."""
        return bool(self._segments) and self._settled < self.inherited_until

    @property
    def segments(self) -> int:
        """How many files there are."""
        return len(self._segments)

    def room_for(self, parcel: Parcel) -> bool:
        """Whether a record of it fits into the budget and onto the file system."""
        size = HEAD_BYTES + 64 + len(parcel.key) + parcel.size
        if self.bytes + size > self._budget:
            return False
        stats = os.statvfs(self._folder)
        kept = min(FREE_BYTES, stats.f_blocks * stats.f_frsize // 8)
        return not stats.f_blocks or stats.f_bavail * stats.f_frsize - size >= kept

    def append(self, parcel: Parcel, record: bytes) -> None:
        """Write the parcel's record; raises OSError, and then nothing was written."""
        if self._writing is None or self._segments[-1].size + len(record) > self._segment_bytes:
            self._start_segment()
        segment = self._segments[-1]
        assert self._writing is not None
        try:
            _write_all(self._writing, record, segment.size)
        except OSError:
            with suppress(OSError):  # what is torn is not read; this only gives the bytes back
                os.ftruncate(self._writing, segment.size)
            self._stop_writing()
            if not segment.size:
                self._segments.pop()
                _delete(segment.path)
            raise
        if self._contents:
            self._contents.add(entry_of(parcel, segment.size, segment.size + len(record)))
        segment.size += len(record)
        self.bytes += len(record)
        if parcel.seen:  # a copy is in flight, or its client may still deliver it
            self._held[parcel.producer, parcel.seq] = parcel

    def hold(self, parcel: Parcel | None) -> None:
        """A client has or had this object of a frame whose record is on the disk."""
        if parcel is not None:
            self._held[parcel.producer, parcel.seq] = parcel

    def read(self, limit_bytes: int) -> list[Record]:
        """The next records in order; raises OSError.

        None when there is none; else one at least, and no more once they have `limit_bytes`.
        """
        found: list[Record] = []
        size = 0
        while (not found or size < limit_bytes) and self.unread:
            inherited = self._cursor < self.inherited_until
            try:
                parcel = self._read_one()
            except OSError:
                if found:
                    break
                raise
            if parcel is None:
                continue
            self._reading.append((parcel, self._cursor))
            found.append(Record(parcel, self._held.pop((parcel.producer, parcel.seq), None), inherited))
            size += parcel.size
        if found and self._cursor > self._seen_until:
            self._seen_until = self._cursor
            with suppress(OSError):  # matters only if the process is killed and the spool fills up after that
                self._write_position()
        return found

    def stands_for(self, parcel: Parcel, *others: Parcel) -> None:
        """The frame that was read is settled when all of these are: the copy in flight, or its parts."""
        for at in range(len(self._reading) - 1, -1, -1):
            if self._reading[at][0] is parcel:
                end = self._reading[at][1]
                before = self._reading[at - 1][1] if at else self._settled
                before = max(before, Position(end.segment, 0))
                del self._reading[at]
                for number, other in enumerate(others, 1):
                    self._reading.insert(at + number - 1, (other, end if number == len(others) else before))
                return

    def inherit(self) -> None:
        """What was written last is of an earlier run, too."""
        self.inherited_until = self._end

    @property
    def doubtful(self) -> bool:
        """Whether something of the segment that is read next could not be read."""
        return self._after_gap(self._cursor).segment in self._unreadable

    def pass_over(self, least_bytes: int) -> None:
        """Go on behind the record that cannot be read, and those that begin within so many bytes from its start.

        The file is kept under another name when all else in it is settled.
        """
        self._cursor = self._after_gap(self._cursor)
        self._unreadable.add(self._cursor.segment)
        self._pass_over(self._segment_at(self._cursor), least_bytes)

    def tidy(self, now: float) -> None:
        """Delete what is settled, and note how far that is, at most once a second; raises OSError."""
        while self._reading and self._reading[0][0].settled:
            self._settled = self._reading.popleft()[1]
        if not self._reading and self._segments:
            self._settled = self._cursor
        elif self._reading:
            self._settled = max(self._settled, Position(self._reading[0][1].segment, 0))
        if self._segments and self._settled >= self._end:
            self._stop_writing()
            self._held.clear()
            while self._segments:
                self._remove_oldest()
            return
        while self._segments and self._segments[0].number < self._settled.segment:
            self._remove_oldest()
        if self._written[0] != self._settled and now - self._written_at >= POSITION_SECONDS:
            self._written_at = now
            self._write_position()

    def oldest(self, whatever_fails: bool) -> Oldest:
        """What goes with the oldest segment; raises OSError, unless what cannot be read is to be gone.

        What may have arrived is to be kept in memory when the segment goes.
        """
        segment = self._segments[0]
        if len(self._segments) == 1:
            self._stop_writing()  # the next record begins a new one
        kept = [Record(parcel, None, False) for parcel, end in self._reading if end.segment == segment.number]
        found = Oldest(segment.number, [], kept, [])
        cursor = max(self._cursor, Position(segment.number, 0))
        for entry in self._entries(segment, cursor.offset) if cursor.segment == segment.number else ():
            one = self._gone(segment, entry)
            if not one.uncertain:
                found.lost.append(entry)
                continue
            try:
                _, parcel = self._record_at(Position(segment.number, entry.start), segment)
            except OSError:
                if not whatever_fails:
                    raise
                parcel = None
            if parcel is None:
                found.gone.append(one)
            else:
                parcel.seen = True
                kept.append(Record(parcel, one.held, False))
        for record in kept:
            self._held.pop((record.parcel.producer, record.parcel.seq), None)
        for one in found.gone:
            self._held.pop((one.entry.producer, one.entry.seq), None)
        return found

    def drop_oldest(self) -> None:
        """Delete the oldest segment, settled or not; after an OSError it is out of the books all the same.

        Its frames are counted as given up, so it may not be read again: `first` deletes it at the next start.
        """
        segment = self._segments[0]
        self._unreadable.discard(segment.number)  # the room is needed
        after = Position(segment.number + 1, 0)
        while self._reading and self._reading[0][1].segment == segment.number:
            self._reading.popleft()
        self._cursor = max(self._cursor, after)
        self._settled = max(self._settled, after)
        try:
            self._remove_oldest()
        except OSError:
            self._forget_oldest()
            raise

    def close(self) -> None:
        """Note the position and let go of the files."""
        if not self.gone:  # else the next run finds them again, and counts them
            with suppress(OSError):
                self.tidy(float("inf"))
        self._stop_writing()
        self._stop_reading()
        if self._position_file is not None:
            os.close(self._position_file)
            self._position_file = None

    # ---- segments

    @property
    def _end(self) -> Position:
        if not self._segments:
            return Position(self._next_number, 0)
        return Position(self._segments[-1].number, self._segments[-1].size)

    def _find_segments(self, first: int) -> None:
        for path in sorted(self._folder.glob("*.seg")):
            if not path.stem.isdecimal():
                continue
            number = int(path.stem)
            if number < first:
                _delete(path)
                continue
            self._segments.append(_Segment(number, path, path.stat().st_size))
        if self._segments:
            self._next_number = self._segments[-1].number + 1
            with suppress(OSError):  # then it is found out when it is read
                self._cut_torn_end(self._segments[-1])
        self.bytes = sum(segment.size for segment in self._segments)

    def _cut_torn_end(self, last: _Segment) -> None:
        whole = max((entry.end for entry in read_contents(last.path) if entry.end <= last.size), default=0)
        while whole < last.size:
            end, parcel = self._record_at(Position(last.number, whole), last)
            if parcel is None:
                break
            whole = end.offset
        if whole < last.size:
            os.truncate(last.path, whole)
            self.torn_bytes = last.size - whole
            last.size = whole

    def _start_segment(self) -> None:
        self._stop_writing()
        number = self._next_number
        path = self._folder / f"{number:010}.seg"
        self._writing = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._contents = Contents(path)
        self._next_number += 1
        if not self._segments:
            self._settled = self._cursor = Position(number, 0)
        self._segments.append(_Segment(number, path, 0))

    def _remove_oldest(self) -> None:
        segment = self._segments[0]
        if self._reading_file and self._reading_file[0] == segment.number:
            self._stop_reading()
        if segment.number in self._unreadable:
            with suppress(FileNotFoundError):
                os.replace(segment.path, segment.path.with_suffix(".unreadable"))
        _delete(segment.path)
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        self.bytes -= self._segments.popleft().size

    def _stop_writing(self) -> None:
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None
        if self._contents:
            self._contents.close()
            self._contents = None

    def _stop_reading(self) -> None:
        if self._reading_file is not None:
            os.close(self._reading_file[1])
            self._reading_file = None

    # ---- records

    def _read_one(self) -> Parcel | None:
        self._cursor = self._after_gap(self._cursor)
        segment = self._segment_at(self._cursor)
        end, parcel = self._record_at(self._cursor, segment)
        if parcel is None:
            self._pass_over(segment, 0)
        else:
            self._cursor = end
        return parcel

    def _segment_at(self, position: Position) -> _Segment:
        return next(one for one in self._segments if one.number == position.segment)

    def _pass_over(self, segment: _Segment, least_bytes: int) -> None:
        until = self._cursor.offset + max(1, least_bytes)
        gone = [self._gone(segment, one) for one in self._entries(segment, self._cursor.offset) if one.start < until]
        for one in gone:
            self._held.pop((one.entry.producer, one.entry.seq), None)
        self.gone += gone
        self._cursor = self._after_gap(gone[-1].end)

    def _gone(self, segment: _Segment, entry: Entry) -> Gone:
        held = self._held.get((entry.producer, entry.seq))
        end = Position(segment.number, entry.end)
        return Gone(segment.path, end, entry, held, entry.seen or held is not None or end <= self._seen_until)

    def _entries(self, segment: _Segment, at: int) -> list[Entry]:
        """What the segment contains from byte `at` on. The records are looked at where its contents do not say."""
        found: list[Entry] = []
        for entry in read_contents(segment.path):
            if entry.start >= at and entry.end <= segment.size:
                found += [*self._scan(segment, at, entry.start), entry]
                at = entry.end
        return found + self._scan(segment, at, segment.size)

    def _scan(self, segment: _Segment, at: int, end: int) -> list[Entry]:
        """The same by the records alone; what cannot be read up to `end` is one entry of nothing known."""
        found: list[Entry] = []
        while at < end:
            try:
                after, parcel = self._record_at(Position(segment.number, at), segment)
            except OSError:
                parcel = None
            if parcel is None:
                return [*found, unknown(at, end)]
            found.append(entry_of(parcel, at, after.offset))
            at = after.offset
        return found

    def _after_gap(self, position: Position) -> Position:
        """The same place, or the start of the next segment when nothing follows in its own."""
        for segment in self._segments:
            if segment.number > position.segment:
                return Position(segment.number, 0)
            if segment.number == position.segment and position.offset < segment.size:
                return position
        return self._end

    def _record_at(self, position: Position, segment: _Segment) -> tuple[Position, Parcel | None]:
        """The record that starts there and where it ends; what cannot be read ends the segment."""
        file = self._file_of(segment)
        head = os.pread(file, HEAD_BYTES, position.offset)
        length = body_bytes(head)
        if length and position.offset + HEAD_BYTES + length <= segment.size:
            body = os.pread(file, length, position.offset + HEAD_BYTES)
            if (parcel := decode_record(head, body)) is not None:
                return Position(segment.number, position.offset + HEAD_BYTES + length), parcel
        return Position(segment.number, segment.size), None

    def _file_of(self, segment: _Segment) -> int:
        if self._reading_file is None or self._reading_file[0] != segment.number:
            self._stop_reading()
            self._reading_file = (segment.number, os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC))
        return self._reading_file[1]

    # ---- the position

    def _read_position(self) -> tuple[Position, Position]:
        """The newer whole slot. Without one, nothing is known to be settled and everything may have been seen."""
        try:
            raw = (self._folder / "position").read_bytes()
        except FileNotFoundError:
            raw = b""
        slots = [raw[start : start + _POSITION.size + 4] for start in (0, _SLOT_BYTES)]
        whole = [_POSITION.unpack(slot[:-4]) for slot in slots if _is_whole(slot)]
        if not whole:
            return _START, (self._end if raw else _START)
        generation, *places = max(whole)
        self._generation = generation
        return Position(*places[:2]), Position(*places[2:])

    def _write_position(self) -> None:
        if self._position_file is None:
            self._position_file = os.open(self._folder / "position", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        self._generation += 1
        body = _POSITION.pack(self._generation, *self._settled, *self._seen_until)
        slot = body + struct.pack("<I", crc32c(body))
        _write_all(self._position_file, slot, self._generation % 2 * _SLOT_BYTES)
        self._written = (self._settled, self._seen_until)


def _delete(segment: Path) -> None:
    segment.unlink(missing_ok=True)
    path_of(segment).unlink(missing_ok=True)


def _is_whole(slot: bytes) -> bool:
    return len(slot) == _POSITION.size + 4 and struct.unpack("<I", slot[-4:])[0] == crc32c(slot[:-4])


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
