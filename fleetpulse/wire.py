"""The wire format of `fleetpulse.metrics`: one frame a message, columns as packed little-endian bytes.

A frame is a msgpack array ``[v, sent_ms, blocks, control]``; a block holds the samples of one host. Readers
skip trailing fields that they do not know, so fields are only ever added at the end. This module runs without
numpy (the agent has none); `frames.py` reads the columns as arrays. Golden examples: `tests/golden/`.

Record key: the host (of several, the first). Record headers, so that even an undecodable frame can be
accounted for: see `Header`.
"""

import sys
from array import array
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from fleetpulse.errors import FrameError

VERSION = 1


class Header(StrEnum):
    """Names of the record headers; every value is ASCII text."""

    PRODUCER = "fp-producer"  # producer id: 16 hex digits
    # A decimal number that a producer gives to one frame, for ever: with gaps, and not in the order of arrival
    SEQ = "fp-seq"
    SAMPLES = "fp-samples"  # samples in this frame
    DERIVED = "fp-derived"  # "1" when the samples were computed by a recording rule
    DEPARTED = "fp-departed"  # a host, in UTF-8, that is gone for good (`fleetpulse hosts forget`); no samples
    REPLAYED = "fp-replayed"  # "1" when `fleetpulse dead replay` sends the frame again, its other headers as they were


class Block(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Samples of one host.

    `series` holds newline-joined canonical keys without the labels in `common`. `value` is float64[n]. `ts` is
    one time in milliseconds for all samples, or int64[n]. Sample i belongs to series i, or to series `index[i]`
    (uint32[n]) when `index` is not empty. `sent` counts the samples of this host that this producer has ever
    accepted, these included.
    """

    host: str
    common: dict[str, str]
    series: bytes
    ts: int | bytes
    value: bytes
    index: bytes = b""
    sent: int = 0


class Dropped(msgspec.Struct, array_like=True, frozen=True):
    """Samples of one host that a producer gave up, by hour of the sample's own time."""

    host: str
    hour_ms: int
    samples: int


class Control(msgspec.Struct, array_like=True, frozen=True):
    """What a producer says about itself: what it dropped, and whether its id is closed."""

    dropped: list[Dropped] = []
    closed: bool = False


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """One message. `sent_ms` is the producer's clock at packing; a control frame has no blocks."""

    v: int
    sent_ms: int
    blocks: list[Block]
    control: Control | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def packed(typecode: str, numbers: Iterable[float] | Iterable[int]) -> bytes:
    """Little-endian bytes of numbers: typecode ``d`` float64, ``q`` int64, ``I`` uint32."""
    column = array(typecode, numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def join_keys(keys: Iterable[str]) -> bytes:
    """The `series` field of a block."""
    return "\n".join(keys).encode()


def make_block(
    host: str,
    common: dict[str, str],
    series: bytes,
    ts: int | Sequence[int],
    values: Iterable[float],
    index: Iterable[int] = (),
    sent: int = 0,
) -> Block:
    """A block from plain Python numbers. `ts` is one time for all samples or one a sample, in milliseconds."""
    stamps = ts if isinstance(ts, int) else packed("q", ts)
    return Block(host, common, series, stamps, packed("d", values), packed("I", index), sent)


def samples_in(block: Block) -> int:
    """Number of samples of a block."""
    return len(block.value) // 8


def encode_frame(frame: Frame) -> bytes:
    """The message value."""
    return _encoder.encode(frame)


def decode_frame(raw: bytes) -> Frame:
    """The frame, its columns still packed. Raises FrameError, reason ``unknown_version`` or ``undecodable``."""
    version = _peek_version(raw)
    if version != VERSION:
        raise FrameError("unknown_version", f"frame version {version}: this build reads version {VERSION}; upgrade it")
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError("undecodable", f"not a frame of version {VERSION}: {error}") from error


def _peek_version(raw: bytes) -> int:
    # A frame starts with a msgpack fixarray header and a positive fixint: no other first bytes are ours.
    if len(raw) < 2 or raw[0] & 0xF0 != 0x90 or raw[1] & 0x80:
        raise FrameError("undecodable", f"not a frame: {len(raw)} bytes starting with {raw[:8].hex() or 'nothing'}")
    return raw[1]
