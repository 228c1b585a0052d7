"""Lines read the short way give the series that the long way gives."""

import random

import pytest

from fleetpulse.errors import MetricError
from fleetpulse.wire import Block
from stream_processors.ingest import lines as lines_module
from stream_processors.ingest.lines import Lines
from stream_processors.ingest.registration import NewSeries, read_series

HOST = "web-1"
COMMONS: list[dict[str, str]] = [
    {"instance": HOST, "job": "node"},
    {"instance": f"{HOST}:9100", "env": "a%s%%b", "zone": ""},
    {"host": HOST, "instance": "other", "quoted": 'a"b\\c\nd', "ü": "no"},
    {"host": HOST, "a": "é\u2028\r", "z": "1"},
    {"job": "node"},
    {"instance": "stranger"},
    {"instance": HOST, "long": "x" * 5000},
    {"instance": HOST, "__name__": "b"},
    {"instance": HOST} | {f"l{number}": "1" for number in range(62)},
    {},
]
LINES: list[bytes] = [
    b"a",
    b'a{x="1"}',
    b'a{a="1",x="%d",z="%"}',
    b'a{job="own",x="1"}',
    b'a{job="",x="1"}',
    b'a{x="",y="\\"\\n\\\\"}',
    b'a{host="web-1"}',
    b'a{instance="web-1"}',
    b'a{host="other"}',
    b'a{l1="2",m="3",n="4"}',
    'a{x="é\u2028\r"}'.encode(),
    b'a{x="1"',
    b"a{}",
    b"",
    b"1a",
    b"a\xff",
    b'a{__name__="b"}',
    b"n" * 300,
]


def slowly(block: Block, line: bytes, bits: int) -> NewSeries | MetricError:
    try:
        return read_series(block, line, 7, bits)
    except MetricError as error:
        return error


def told(one: NewSeries | MetricError) -> object:
    if isinstance(one, MetricError):
        return one.reason, str(one)
    assert not set(one.common) & set(one.own)
    return one.key, one.id, one.name, one.host, {**one.common, **one.own}, one.seen_ms


@pytest.mark.parametrize("bits", [52, 3])
def test_both_ways_give_the_same(bits: int) -> None:
    known, chance = Lines(bits), random.Random(5)
    for _ in range(200):
        common = chance.choice(COMMONS)
        lines = chance.sample(LINES, chance.randrange(len(LINES) + 1))
        block = Block(HOST, common, b"\n".join(lines), 0, b"")
        found = [told(one) for one in known.read(block, lines, 7)]
        assert found == [told(slowly(block, line, bits)) for line in lines], common


def test_a_line_is_parsed_once_for_all_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    parse = lines_module._parse

    def noted(line: bytes, names: tuple[str, ...]) -> object:
        parsed.append(line)
        return parse(line, names)

    monkeypatch.setattr(lines_module, "_parse", noted)
    known = Lines()
    keys = []
    for host in ("h1", "h2", "h3"):
        block = Block(host, {"instance": host}, b"a\nb", 0, b"")
        keys += [one.key for one in known.read(block, [b"a", b"b"], 0) if isinstance(one, NewSeries)]
    assert parsed == [b"a", b"b"]
    assert keys == [f'{name}{{instance="{host}"}}' for host in ("h1", "h2", "h3") for name in "ab"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "MOST_BYTES", 20_000)
    known = Lines()
    for number in range(500):
        line = f'a{{x="{number}"}}'.encode()
        [one] = known.read(Block(HOST, {"instance": HOST, f"l{number % 7}": "1"}, line, 0, b""), [line], 0)
        assert isinstance(one, NewSeries)
        assert f'x="{number}"' in one.key
        assert sum(map(len, known._known.values())) + len(known._known) < 20_000 / lines_module._LINE_BYTES
