"""Whatever others write to the metrics topic, rules go on; and they use what ingest accepts, no more."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from fleetpulse.errors import FrameError
from fleetpulse.rules.load import load, shipped_packs
from fleetpulse.rules.model import Rule, RuleKind, Threshold, rule_set
from fleetpulse.rules.partition import Outcome, PartitionRules
from fleetpulse.rules.reading import DAY_MS, DEFAULT_LIMITS, BlockReader, TimeLimits, limits_of
from fleetpulse.settings import IngestSettings
from fleetpulse.wire import Block, Frame, encode_frame, join_keys, make_block, packed

T0 = 1_800_000_000_000
HOT = Rule("Hot", RuleKind.ALERT, "temperature_celsius", "f.yaml", 1, "g", warning=Threshold(">", 80.0))


@dataclass(frozen=True)
class Sent:
    """A message of the metrics topic."""

    offset: int
    append_ms: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def block(host: str = "a", ts: int | Sequence[int] = T0, value: float = 99.0) -> Block:
    common = {"job": "node", "instance": host}
    if isinstance(ts, int):
        return make_block(host, common, b"up\ntemperature_celsius", ts, [1.0, value])
    return make_block(host, common, b"up\ntemperature_celsius", ts, [value] * len(ts), [1] * len(ts))


def frame(*blocks: Block) -> bytes:
    return encode_frame(Frame(1, T0, list(blocks)))


def applied(*values: bytes | None, rules: Sequence[Rule] = (HOT,)) -> Outcome:
    live = PartitionRules(rule_set(rules), 0, 1)
    return live.apply([Sent(offset, T0 + 1000 * offset, value) for offset, value in enumerate(values)])


@pytest.mark.parametrize("series", [b"\xff", b"\xff\xfe", b"up\n\x80", b"temperature_celsius\n\xc3"])
def test_a_message_with_series_that_are_no_text_is_skipped_whole_and_counted(series: bytes) -> None:
    evil = Block("evil", {}, series, T0, packed("d", [1.0] * (series.count(b"\n") + 1)))
    outcome = applied(frame(block("victim"), evil), frame(block("a")))
    assert outcome.unreadable == 1
    assert [event.data.host for event in outcome.events] == ["a"]


@pytest.mark.parametrize("series", [b"{{{", b"\n", b"up{", b'up{a="', b'temperature_celsius{a="b"', b"9\nup"])
def test_a_series_that_is_none_costs_nothing_but_itself(series: bytes) -> None:
    keys = series + b"\ntemperature_celsius"
    count = keys.count(b"\n") + 1
    outcome = applied(frame(Block("a", {"instance": "a"}, keys, T0, packed("d", [99.0] * count))))
    assert outcome.unreadable == 0
    assert [event.data.host for event in outcome.events] == ["a"]


def test_a_message_of_another_partition_is_skipped_whole_as_in_ingest() -> None:
    reader = BlockReader(0, 64)
    with pytest.raises(FrameError, match="partition"):
        reader.read(Sent(0, T0, frame(block("a"), block("b"), block("c"))))


@pytest.mark.parametrize("seed", range(6))
def test_no_message_raises_whatever_is_in_it(seed: int) -> None:
    chance = random.Random(seed)
    pack = load(shipped_packs())
    live = PartitionRules(rule_set((*pack.rules, HOT)), 0, 1)
    good = _frames()
    told = 0
    for offset in range(700):
        value = _mutated(chance, chance.choice(good))
        outcome = live.apply([Sent(offset, T0 + 500 * offset, value)])
        told += outcome.unreadable
        live.wait(chance.randrange(2000))
    assert 100 < told < 700
    at = T0 + 500 * 700
    outcome = live.apply([Sent(700, at, frame(block("fresh", at)))])
    assert [event.data.host for event in outcome.events if event.data.labels["alertname"] == "Hot"] == ["fresh"]
    again = PartitionRules(rule_set((*pack.rules, HOT)), 0, 1)
    again.start(0)
    again.fill([Sent(offset, T0, _mutated(chance, chance.choice(good))) for offset in range(200)])


def _frames() -> list[bytes]:
    wide = make_block("w", {"instance": "w:9100"}, join_keys([f'up{{a="{i}"}}' for i in range(9)]), T0, [1.0] * 9)
    return [
        frame(block("a"), block("b", [T0, T0 + 1000])),
        frame(wide, replace_series(block("c"), 'up\ntemperature_celsius{zone="\u00e9"}'.encode())),
        frame(block("d", [T0 - 1, T0 + 5, T0 + 9])),
    ]


def replace_series(original: Block, series: bytes) -> Block:
    return Block(original.host, original.common, series, original.ts, original.value, original.index)


def _mutated(chance: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(changed))
        kind = chance.randrange(6)
        if kind < 3:
            changed[place] = chance.randrange(256)
        elif kind == 3:
            del changed[place : place + chance.randrange(1, 9)]
        elif kind == 4:
            changed[place:place] = chance.choice((b"\xff", b"\x00", b"\n", b"{{{", b"\xcf" + b"\xff" * 8, b'"'))
        else:
            changed = changed[: max(2, place)]
        if len(changed) < 2:
            return bytes(changed)
    return bytes(changed)


_REFUSED = [-(2**53), 0, 1000, T0 - 14 * DAY_MS - 1, T0 + 600_001, 2**62]


@pytest.mark.parametrize("ts", [*_REFUSED, 2**63, 2**64 - 1, *([ts] for ts in _REFUSED)], ids=str)
def test_times_that_ingest_refuses_are_left_out(ts: int | list[int]) -> None:
    refused = applied(frame(block("a", ts)))
    assert (refused.events, refused.evaluations, refused.unreadable) == ([], 0, 0)


@pytest.mark.parametrize("ts", [T0 - 14 * DAY_MS, T0, T0 + 600_000])
@pytest.mark.parametrize("columns", [False, True])
def test_times_that_ingest_takes_are_used(ts: int, columns: bool) -> None:
    assert len(applied(frame(block("a", [ts] if columns else ts))).events) == 1


def test_of_a_block_only_the_samples_at_refused_times_are_left_out() -> None:
    mixed = make_block("a", {}, b"x\ny", [1000, T0, T0 + 5, 2**60], [1.0, 2.0, 3.0, 4.0], [0, 1, 0, 1], sent=9)
    (read,) = BlockReader(0, 1).read(Sent(0, T0, frame(mixed))).blocks
    assert read == make_block("a", {}, b"x\ny", [T0, T0 + 5], [2.0, 3.0], [1, 0], sent=9)
    unindexed = make_block("a", {}, b"x\ny", [1000, T0], [1.0, 2.0])
    (read,) = BlockReader(0, 1).read(Sent(0, T0, frame(unindexed))).blocks
    assert read == make_block("a", {}, b"x\ny", [T0], [2.0], [1])


def test_the_limits_are_ingests() -> None:
    assert TimeLimits(past_ms=14 * DAY_MS, future_ms=600_000) == DEFAULT_LIMITS
    ingest = replace(IngestSettings(), raw_retention_days=3, max_future_seconds=1.5)
    assert limits_of(ingest) == TimeLimits(past_ms=2 * DAY_MS, future_ms=1500)


@pytest.mark.parametrize(
    "common",
    [
        {f"label_{number}": "x" for number in range(64)},
        {"zone": "x" * 4097},
        {"not a name": "x"},
        {"instance": "somebody-else"},
    ],
)
def test_series_that_ingest_refuses_are_not_evaluated(common: dict[str, str]) -> None:
    bad = make_block("a", {"instance": "a", **common}, b"temperature_celsius", T0, [99.0])
    assert applied(frame(bad)).events == []


@pytest.mark.parametrize("host", ["::1", "fe80::1%eth0"])
def test_hosts_with_colons_own_their_series(host: str) -> None:
    good = make_block(host, {"instance": f"[{host}]:9100"}, b"temperature_celsius", T0, [99.0])
    assert [event.data.host for event in applied(frame(good)).events] == [host]
