"""What a segment of the spool contains, in a small file beside it: samples can be counted when they cannot be read.

``<number>.contents``: one entry a record, in their order: length and crc32c, then msgpack. It is an insurance: when it
is missing or torn, the segment itself is asked.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from crc32c import crc32c

from fleetpulse.errors import FrameError
from fleetpulse.publish.losses import Loss, losses_of
from fleetpulse.publish.parcel import Parcel

_HEAD = struct.Struct("<II")  # bytes of the entry, its crc32c


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The record from byte `start` to `end` of its segment.

    `rows` are its samples by host and hour; `samples` of them at most, fewer when the frame is not one of ours.
    `seen`: it may have arrived in Kafka.
    """

    start: int
    end: int
    producer: str
    seq: int
    samples: int
    seen: bool
    rows: list[Loss]


def entry_of(parcel: Parcel, start: int, end: int) -> Entry:
    """The entry of a parcel whose record lies there."""
    rows: list[Loss] = []
    with suppress(FrameError):
        rows = losses_of(parcel)
    return Entry(start, end, parcel.producer, parcel.seq, parcel.samples, parcel.seen, rows)


def unknown(start: int, end: int) -> Entry:
    """Bytes of which nothing is known."""
    return Entry(start, end, "", 0, 0, True, [])


class Contents:
    """The file beside one segment, to be written."""

    def __init__(self, segment: Path) -> None:
        """Begin it anew; without it when the disk has no room."""
        self._file: int | None = None
        with suppress(OSError):
            flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(path_of(segment), flags, 0o600)

    def add(self, entry: Entry) -> None:
        """Append an entry; after a failure there are no more."""
        if self._file is None:
            return
        body = _encoder.encode(entry)
        data = _HEAD.pack(len(body), crc32c(body)) + body
        try:
            whole = os.write(self._file, data) == len(data)
        except OSError:
            whole = False
        if not whole:
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def path_of(segment: Path) -> Path:
    """The file beside a segment."""
    return segment.with_suffix(".contents")


def read_contents(segment: Path) -> Iterator[Entry]:
    """The entries as far as they are whole; none when they cannot be read."""
    try:
        data = path_of(segment).read_bytes()
    except OSError:
        return
    at = 0
    while at + _HEAD.size <= len(data):
        length, crc = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if len(body) != length or crc32c(body) != crc:
            return
        try:
            yield _decoder.decode(body)
        except msgspec.DecodeError:
            return
        at += _HEAD.size + length


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)
