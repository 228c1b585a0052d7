"""How a frame lies on the disk: length and crc32c, then the fields of a `Parcel`. Pure.

A record that was cut, at whatever byte, or whose bytes changed, is not read.
"""

import struct
from typing import NamedTuple

from crc32c import crc32c

from fleetpulse.publish.parcel import Parcel

_HEAD = struct.Struct("<II")  # bytes of the body, crc32c of those four bytes and the body
_BODY = struct.Struct("<B8sQHIH")  # flags, producer id, seq, partition, samples, bytes of the key; then key and value
_DERIVED, _SEEN = 1, 2
HEAD_BYTES = _HEAD.size


class Position(NamedTuple):
    """A place in the spool: the segment's number and a byte in it."""

    segment: int
    offset: int


def encode_record(parcel: Parcel) -> bytes:
    """The bytes of one record."""
    key = parcel.key.encode()
    flags = (_DERIVED if parcel.derived else 0) | (_SEEN if parcel.seen else 0)
    fields = _BODY.pack(flags, bytes.fromhex(parcel.producer), parcel.seq, parcel.partition, parcel.samples, len(key))
    body = b"".join((fields, key, parcel.value))
    length = struct.pack("<I", len(body))
    return b"".join((length, struct.pack("<I", crc32c(body, crc32c(length))), body))


def body_bytes(head: bytes) -> int:
    """The length of the body that a head of `HEAD_BYTES` announces; 0 when it is no head."""
    if len(head) < HEAD_BYTES:
        return 0
    length: int = _HEAD.unpack(head)[0]
    return length if length >= _BODY.size else 0


def decode_record(head: bytes, body: bytes) -> Parcel | None:
    """The parcel, or None when the bytes are not those that were written."""
    length, crc = _HEAD.unpack(head)
    if len(body) != length or crc32c(body, crc32c(head[:4])) != crc:
        return None
    flags, producer, seq, partition, samples, key_bytes = _BODY.unpack_from(body)
    start = _BODY.size + key_bytes
    return Parcel(
        producer=producer.hex(),
        seq=seq,
        key=body[_BODY.size : start].decode(),
        partition=partition,
        value=body[start:],
        samples=samples,
        derived=bool(flags & _DERIVED),
        seen=bool(flags & _SEEN),
    )
