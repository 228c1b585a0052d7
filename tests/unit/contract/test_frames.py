"""Reading frames: every way in which bytes or columns can be wrong has its own reason and names the host."""

import struct

import msgspec
import numpy as np
import pytest

from fleetpulse.errors import FrameError
from fleetpulse.frames import columns_of
from fleetpulse.wire import Block, Frame, decode_frame, encode_frame, make_block, packed, samples_in


def test_columns_are_views_on_the_message() -> None:
    raw = encode_frame(Frame(1, 0, [make_block("h", {}, b"a\nb", [5, 6], [1.5, 2.5])]))
    columns = columns_of(decode_frame(raw).blocks[0])
    assert columns.ts.tolist() == [5, 6]
    assert columns.value.tolist() == [1.5, 2.5]
    assert columns.index is None
    assert columns.series_count == 2
    assert not columns.value.flags.owndata


def test_one_time_stands_for_all_samples() -> None:
    columns = columns_of(make_block("h", {}, b"a\nb\nc", -5, [1, 2, 3]))
    assert columns.ts.tolist() == [-5, -5, -5]
    assert columns.ts.dtype == np.int64


def test_an_index_repeats_series() -> None:
    columns = columns_of(make_block("h", {}, b"a\nb", [1, 2, 3], [1, 2, 3], [1, 1, 0]))
    assert columns.index is not None
    assert columns.index.tolist() == [1, 1, 0]


VALUES = packed("d", [1.0, 2.0])


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Block("h", {}, b"a\nb", 0, VALUES[:-1]), "not a whole number of items"),
        (Block("h", {}, b"a\nb", 0, VALUES, b"\0\0\0"), "not a whole number of items"),
        (Block("h", {}, b"a\nb", packed("q", [1]), VALUES), "1 times for 2 values"),
        (Block("h", {}, b"a\nb", packed("q", [1, 2, 3]), VALUES), "3 times for 2 values"),
        (Block("h", {}, b"a\nb", packed("q", [1, 2])[:-1], VALUES), "1 times for 2 values"),
        (Block("h", {}, b"a", 0, VALUES), "1 series for 2 values"),
        (Block("h", {}, b"", 0, VALUES), "0 series for 2 values"),
        (Block("h", {}, b"a\nb\nc", 0, VALUES), "3 series for 2 values"),
        (Block("h", {}, b"a\nb", 0, VALUES, packed("I", [0])), "1 indices for 2 values"),
        (Block("h", {}, b"a\nb", 0, VALUES, packed("I", [0, 2])), "past its 2 series"),
        (Block("h", {}, b"a\nb", 0, VALUES, packed("I", [0, 2**32 - 1])), "past its 2 series"),
        (Block("h", {}, b"a\nb", 2**63, VALUES), "is not 64 bits"),
    ],
)
def test_columns_that_do_not_fit_together(block: Block, message: str) -> None:
    sent = decode_frame(encode_frame(Frame(1, 0, [block]))).blocks[0]
    with pytest.raises(FrameError, match=message) as refused:
        columns_of(sent)
    assert refused.value.reason == "shape"
    assert "host 'h'" in str(refused.value)


def test_an_empty_block_has_no_samples() -> None:
    block = make_block("h", {}, b"", 0, [])
    assert samples_in(block) == 0
    assert len(columns_of(block).value) == 0


GOOD = encode_frame(Frame(1, 0, [make_block("h", {}, b"a", 0, [1.0])]))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x93",
        b"garbage",
        b'{"v": 1}',
        b"\xff" * 20,
        GOOD[:-1],
        GOOD[: len(GOOD) // 2],
        GOOD + b"\0",
        msgspec.msgpack.encode([1, "x", []]),
        msgspec.msgpack.encode([1]),
        msgspec.msgpack.encode([1, 0, [["h"]]]),
        msgspec.msgpack.encode([1, 0, [[b"\xff\xfe", {}, b"", 0, b""]]]),
        struct.pack("BBBBBB", 0x93, 1, 0, 0x91, 0xA1, 0xFF),
    ],
)
def test_bytes_that_are_no_frame(raw: bytes) -> None:
    with pytest.raises(FrameError) as refused:
        decode_frame(raw)
    assert refused.value.reason == "undecodable"


@pytest.mark.parametrize("version", [0, 2, 127])
def test_another_version_is_told_apart_from_garbage(version: int) -> None:
    with pytest.raises(FrameError, match=f"frame version {version}: this build reads version 1") as refused:
        decode_frame(msgspec.msgpack.encode([version, "anything", {"at": "all"}]))
    assert refused.value.reason == "unknown_version"


def test_every_truncation_and_every_flipped_byte_is_a_frame_or_a_frame_error() -> None:
    for cut in range(len(GOOD)):
        with pytest.raises(FrameError):
            decode_frame(GOOD[:cut])
    for position in range(len(GOOD)):
        flipped = bytearray(GOOD)
        flipped[position] ^= 0xFF
        try:
            for block in decode_frame(bytes(flipped)).blocks:
                columns_of(block)
        except FrameError:
            continue
