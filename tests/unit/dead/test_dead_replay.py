"""What is sent again of a dead letter, and what is refused."""

import pytest

from fleetpulse.errors import RejectedError
from fleetpulse.partition import partition_of
from fleetpulse.wire import Block, Control, Dropped, Frame, decode_frame, encode_frame, make_block, packed
from stream_processors.dead_replay import parts_of
from stream_processors.dead_topic import UNKNOWN, DeadLetter

TOPIC = "fleetpulse.metrics"
HEADERS = (("x", b"y"), ("fp-producer", b"00aa"), ("fp-seq", b"7"), ("fp-samples", b"4"))


def letter(value: bytes, **changed: object) -> DeadLetter:
    fields = {"topic": TOPIC, "partition": 3, "offset": 9, "headers": HEADERS, "whole_bytes": len(value)} | changed
    return DeadLetter(number=0, died_ms=0, reason="why", detail="", value=value, **fields)  # type: ignore[arg-type]


def block(host: str, samples: int = 2) -> Block:
    return make_block(host, {}, b"\n".join(b"m%d" % n for n in range(samples)), 1, [0.5] * samples, sent=samples)


def host_of(partition: int) -> str:
    return next(f"h{n}" for n in range(99) if partition_of(f"h{n}", 4) == partition)


def test_a_frame_goes_to_its_hosts_partition_as_it_was() -> None:
    value = encode_frame(Frame(1, 5, [block(host_of(2)), block(host_of(2))]))
    [part] = parts_of(letter(value), TOPIC, 4)
    assert (part.partition, part.samples, part.value) == (2, 4, value)
    assert part.headers == [*HEADERS, ("fp-replayed", b"1")]


def test_what_was_replayed_before_says_so_once() -> None:
    value = encode_frame(Frame(1, 5, [block(host_of(2))]))
    [part] = parts_of(letter(value, headers=(("fp-replayed", b"1"), *HEADERS)), TOPIC, 4)
    assert part.headers == [*HEADERS, ("fp-replayed", b"1")]


def test_a_frame_of_several_partitions_is_split_and_keeps_its_number() -> None:
    hosts = [host_of(1), host_of(0), host_of(1)]
    frame = Frame(1, 5, [block(hosts[0], 1), block(hosts[1], 2), block(hosts[2], 3)], Control([Dropped("h", 0, 1)]))
    first, second = parts_of(letter(encode_frame(frame)), TOPIC, 4)
    assert [(part.partition, part.hosts, part.samples) for part in (first, second)] == [
        (1, [hosts[0], hosts[2]], 4),
        (0, [hosts[1]], 2),
    ]
    assert [decode_frame(part.value).control for part in (first, second)] == [frame.control, None]
    sent = [one for part in (first, second) for one in decode_frame(part.value).blocks]
    assert sent == [frame.blocks[0], frame.blocks[2], frame.blocks[1]]
    for part, samples in ((first, b"4"), (second, b"2")):
        assert dict(part.headers) == {**dict(HEADERS), "fp-samples": samples, "fp-replayed": b"1"}


def test_a_control_frame_goes_where_it_was() -> None:
    value = encode_frame(Frame(1, 5, [], Control(closed=True)))
    [part] = parts_of(letter(value), TOPIC, 4)
    assert (part.partition, part.value, part.samples) == (3, value, 0)


@pytest.mark.parametrize(
    ("found", "reason", "sentence"),
    [
        (letter(encode_frame(Frame(1, 5, [block("a")])), whole_bytes=10**7), "cut", "of its 10000000 bytes"),
        (letter(encode_frame(Frame(1, 5, [block("a")])), topic="other.metrics"), "other_topic", "other.metrics"),
        (letter(b"garbage"), "undecodable", "not a frame"),
        (letter(encode_frame(Frame(99, 5, []))), "unknown_version", "version 99"),
        (letter(encode_frame(Frame(1, 5, [Block("a", {}, b"m", 1, packed("d", []))]))), "shape", "1 series for 0"),
        (letter(encode_frame(Frame(1, 5, [])), partition=UNKNOWN), "nowhere", "which partition"),
    ],
)
def test_what_would_not_help_is_refused(found: DeadLetter, reason: str, sentence: str) -> None:
    with pytest.raises(RejectedError, match=sentence) as refused:
        parts_of(found, TOPIC, 4)
    assert refused.value.reason == reason
