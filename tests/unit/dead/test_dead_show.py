"""A dead letter for a person and for a program: decoded as far as it decodes, and no terminal obeys it."""

import base64
import json

from fleetpulse.metric import STALE_NAN
from fleetpulse.wire import Block, Frame, encode_frame, make_block, packed
from stream_processors.dead_show import DUMPED_BYTES, SHOWN_SAMPLES, as_json, as_text, hexdump, line
from stream_processors.dead_topic import DeadLetter

DIED_MS = 1_767_225_600_000


def letter(value: bytes, whole_bytes: int | None = None, detail: str = "why") -> DeadLetter:
    headers = (("fp-producer", b"00aa"), ("fp-seq", b"7"))
    size = len(value) if whole_bytes is None else whole_bytes
    return DeadLetter(12, DIED_MS, "fleetpulse.metrics", 3, 4711, "undecodable", detail, headers, value, size)


def test_a_frame_is_shown_with_its_samples() -> None:
    block = make_block("web-1", {"job": "node"}, b'up\nload{cpu="0"}', DIED_MS, [1.0, STALE_NAN], sent=200)
    shown = as_json(letter(encode_frame(Frame(1, DIED_MS, [block]))), 4)
    [found] = shown["frame"]["blocks"]
    assert (found["host"], found["common"], found["sent"]) == ("web-1", {"job": "node"}, 200)
    assert found["samples"] == [
        {"series": "up", "time": "2026-01-01T00:00:00.000Z", "value": "1.0"},
        {"series": 'load{cpu="0"}', "time": "2026-01-01T00:00:00.000Z", "value": "NaN(0x7ff0000000000002)"},
    ]
    assert shown["unreadable"] is None
    text = "\n".join(as_text(letter(encode_frame(Frame(1, DIED_MS, [block]))), 4))
    assert "#12  fleetpulse.metrics/3/4711  died 2026-01-01T00:00:00.000Z" in text
    assert "fp-producer=00aa fp-seq=7" in text
    assert '  2026-01-01T00:00:00.000Z  load{cpu="0"}  NaN(0x7ff0000000000002)' in text


def test_what_is_no_frame_is_dumped_and_kept_whole_for_programs() -> None:
    garbage = bytes(range(256)) * 5
    shown = as_json(letter(garbage), 4)
    assert base64.b64decode(json.loads(json.dumps(shown))["value"]) == garbage
    assert (shown["frame"], "not a frame" in shown["unreadable"]) == (None, True)
    text = as_text(letter(garbage), 4)
    assert "00000010  10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f  ................" in text
    assert text[-1] == f"… {len(garbage) - DUMPED_BYTES} more bytes; --json has all"
    assert hexdump(b"Az") == [f"00000000  {'41 7a':<47}  Az"]


def test_a_block_that_does_not_fit_together_hides_no_other() -> None:
    bad = Block("bad", {}, b"a\nb", DIED_MS, packed("d", [1.0]))
    odd = make_block("odd", {}, b"\xff", 2**62, [2.0])
    shown = as_json(letter(encode_frame(Frame(1, -(2**62), [bad, odd]))), 4)
    first, second = shown["frame"]["blocks"]
    assert (first["samples"], "2 series for 1 values" in first["unreadable"]) == ([], True)
    assert second["samples"] == [{"series": "\ufffd", "time": f"{2**62} ms", "value": "2.0"}]
    assert any("2 series for 1 values" in one for one in as_text(letter(encode_frame(Frame(1, 0, [bad]))), 4))


def test_of_a_large_block_the_beginning_is_shown() -> None:
    block = make_block("web-1", {}, b"\n".join(b"m%d" % n for n in range(50)), DIED_MS, [0.0] * 50)
    value = encode_frame(Frame(1, DIED_MS, [block]))
    assert as_text(letter(value), 4)[-1] == f"  … {50 - SHOWN_SAMPLES} more samples; --json has all"
    assert len(as_json(letter(value), 4)["frame"]["blocks"][0]["samples"]) == 50


def test_a_cut_letter_says_so() -> None:
    cut = letter(b"x" * 10, 99)
    assert cut.cut
    assert line(cut).endswith("undecodable: why (cut to 10 of 99 bytes)")
    assert "value    cut to 10 of 99 bytes" in as_text(cut, 4)


def test_a_terminal_obeys_nothing_in_it() -> None:
    evil = "\x1b[2J\n\x9b\u202e\ud800"
    block = make_block(evil[:-1], {"a": evil[:-1]}, b"m", DIED_MS, [1.0])
    for text in (line(letter(b"", detail=evil)), *as_text(letter(encode_frame(Frame(1, 0, [block])), detail=evil), 4)):
        assert text.isprintable()
        text.encode()
