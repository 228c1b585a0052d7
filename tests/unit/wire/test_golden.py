"""The wire format by its committed examples: writers make these bytes, readers find this meaning in them."""

import json
import struct

import msgspec
import pytest

from fleetpulse.errors import FrameError
from fleetpulse.metric import STALE_NAN
from fleetpulse.wire import Control, Dropped, Frame, decode_frame, encode_frame, join_keys, make_block
from tests.support.golden import FOLDER, meaning, meaning_of, message, names

T = 1_767_225_600_000
NODE = {"instance": "web-1", "job": "node"}

WRITTEN = {
    "agent_tick": Frame(
        1,
        T + 12,
        [
            make_block(
                "web-1",
                NODE,
                join_keys(["up", "node_load1", 'node_cpu_seconds_total{cpu="0",mode="idle"}']),
                T,
                [1.0, 0.25, 123456.78],
                sent=3,
            )
        ],
    ),
    "special_values": Frame(
        1,
        T,
        [
            make_block(
                "web-1",
                NODE,
                join_keys(["a", "b", "c", "d", "e"]),
                [T, T + 1, T + 2, T + 3, T + 4],
                [STALE_NAN, float("nan"), float("inf"), float("-inf"), -0.0],
                sent=8,
            )
        ],
    ),
    "many_hosts": Frame(
        1,
        T,
        [
            make_block(
                f"sim-{n}", {"instance": f"sim-{n}", "simulated": "true"}, b"up\nnode_load1", T, [1.0, n / 8], sent=2
            )
            for n in range(3)
        ],
    ),
    "repeated_series": Frame(
        1, T, [make_block("web-1", NODE, b"up\nnode_load1", [T, T + 10_000, T], [1.0, 1.0, 0.5], [0, 0, 1], sent=11)]
    ),
    "escaped_labels": Frame(
        1, T, [make_block("web-1", NODE, join_keys(['x{path="C:\\\\a \\"b\\"\\n",zone="ä€"}']), T, [7.0], sent=12)]
    ),
    "empty_block": Frame(1, T, [make_block("web-1", {}, b"", T, [], sent=12)]),
    "control_dropped": Frame(1, T, [], Control([Dropped("web-1", T, 300), Dropped("web-2", T - 3_600_000, 1)])),
    "control_closed": Frame(1, T, [], Control(closed=True)),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_writers_make_exactly_these_bytes(name: str) -> None:
    assert encode_frame(WRITTEN[name]) == message(name)


@pytest.mark.parametrize("name", names())
def test_readers_find_exactly_this_meaning(name: str) -> None:
    assert meaning_of(decode_frame(message(name))) == meaning(name)


def test_every_example_is_written_by_this_test_or_made_by_hand() -> None:
    by_hand = {"trailing_fields"}  # what a later version may send, see below
    assert set(names()) == set(WRITTEN) | by_hand


def test_trailing_fields_of_a_later_writer_are_read_over() -> None:
    later = msgspec.msgpack.decode(message("agent_tick"))
    later[2][0].append({"added": "to a block"})
    later += [None] * (4 - len(later)) + ["added to the frame", 2]
    assert msgspec.msgpack.encode(later) == message("trailing_fields")
    assert decode_frame(message("trailing_fields")) == decode_frame(message("agent_tick"))


def test_a_frame_of_an_unknown_version_is_refused_by_number() -> None:
    with pytest.raises(FrameError, match="frame version 2: this build reads version 1") as refused:
        decode_frame(message("unknown_version"))
    assert refused.value.reason == "unknown_version"


def test_the_examples_carry_special_floats_bit_for_bit() -> None:
    bits = [sample["bits"] for sample in meaning("special_values")["samples"]]
    assert bits == ["7ff0000000000002", "7ff8000000000000", "7ff0000000000000", "fff0000000000000", "8000000000000000"]


def write_missing() -> None:
    """Write examples that are new: ``python -c "from … import write_missing; write_missing()"``. Never an old one."""
    FOLDER.mkdir(exist_ok=True)
    agent_tick = msgspec.msgpack.decode(encode_frame(WRITTEN["agent_tick"]))
    unknown = [2, *agent_tick[1:]]
    agent_tick[2][0].append({"added": "to a block"})
    later = agent_tick + [None] * (4 - len(agent_tick)) + ["added to the frame", 2]
    messages = {name: encode_frame(frame) for name, frame in WRITTEN.items()}
    messages |= {"trailing_fields": msgspec.msgpack.encode(later), "unknown_version": msgspec.msgpack.encode(unknown)}
    for name, raw in messages.items():
        path = FOLDER / f"{name}.frame"
        if path.exists():
            continue
        path.write_bytes(raw)
        if name != "unknown_version":
            text = json.dumps(meaning_of(decode_frame(raw)), indent=1, ensure_ascii=False)
            path.with_suffix(".json").write_text(text + "\n")


def test_nan_payloads_survive_packing() -> None:
    block = make_block("h", {}, b"a", T, [struct.unpack("<d", struct.pack("<Q", 0x7FF8DEADBEEF0001))[0]])
    assert block.value == struct.pack("<Q", 0x7FF8DEADBEEF0001)
