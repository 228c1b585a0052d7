"""Gather: blocks to columns, and series that are refused."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from fleetpulse.errors import MetricError
from fleetpulse.metric import parse_key
from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.windows import registry as registry_module
from fleetpulse.windows.registry import Registry
from fleetpulse.wire import Block, Frame, encode_frame, join_keys, make_block
from stream_processors.inbox import Message
from stream_processors.ingest.gather import gather
from stream_processors.ingest.intake import Chunk, Intake
from stream_processors.ingest.lines import Lines
from stream_processors.ingest.naming import bind_chunks
from stream_processors.ingest.registration import NewSeries
from tests.support.binding import bind_blocks

NOW = 1_700_000_000_000
HOST = "web-1"
COMMON = {"instance": HOST}


def chunk_of(*blocks: Block) -> Chunk:
    intake = Intake(IngestSettings(), 4, SelfMetrics())
    value = encode_frame(Frame(1, NOW, list(blocks)))
    intake.take(Message("t", partition_of(HOST, 4), 0, NOW, None, value, ()))
    [chunk] = intake.cut()
    assert chunk.letters == []
    return chunk


def accept(series: list[NewSeries]) -> dict[str, str]:
    return {}


def test_samples_keep_time_and_value_of_their_series() -> None:
    registry = Registry()
    chunk = chunk_of(
        make_block(HOST, COMMON, join_keys(["a", "b"]), NOW, [1.0, 2.0]),
        make_block(HOST, COMMON, join_keys(["b", "c"]), [NOW + 1, NOW + 2], [3.0, 4.0]),
        make_block(HOST, COMMON, join_keys(["a", "c"]), [NOW, NOW, NOW], [5.0, 6.0, 7.0], index=[1, 0, 1]),
        make_block(HOST, COMMON, join_keys(["a", "b"]), [5, NOW], [8.0, 9.0]),
    )
    assert bind_blocks(registry, chunk, accept) == []
    names = {registry.dense(f'{name}{{instance="{HOST}"}}'): name for name in "abc"}
    samples = gather(registry, chunk)
    assert [(names[int(d)], t - NOW, v) for d, t, v in zip(*samples[:3], strict=True)] == [
        ("a", 0, 1.0),
        ("b", 0, 2.0),
        ("b", 1, 3.0),
        ("c", 2, 4.0),
        ("c", 0, 5.0),
        ("a", 0, 6.0),
        ("c", 0, 7.0),
        ("b", 0, 9.0),
    ]


def test_the_same_labels_in_common_or_in_the_key_are_the_same_series() -> None:
    registry = Registry()
    chunk = chunk_of(
        make_block(HOST, {**COMMON, "x": "1"}, b"a", NOW, [1.0]),
        make_block(HOST, {}, b'a{instance="web-1",x="1"}', NOW, [2.0]),
        make_block(HOST, {**COMMON, "x": "2"}, b'a{x="1"}', NOW, [3.0]),
    )
    bind_blocks(registry, chunk, accept)
    assert len(registry) == 1
    assert gather(registry, chunk).dense.tolist() == [0, 0, 0]


def test_the_same_series_bytes_with_other_common_labels_are_other_series() -> None:
    registry = Registry()
    chunk = chunk_of(
        make_block(HOST, {**COMMON, "x": "1"}, b"a", NOW, [1.0]),
        make_block(HOST, {**COMMON, "x": "2"}, b"a", NOW, [1.0]),
    )
    bind_blocks(registry, chunk, accept)
    assert gather(registry, chunk).dense.tolist() == [0, 1]


def test_names_are_registered_once() -> None:
    registry, asked = Registry(), []

    def register(series: list[NewSeries]) -> dict[str, str]:
        asked.append([one.name for one in series])
        return {}

    for value in (1.0, 2.0):
        bind_blocks(registry, chunk_of(make_block(HOST, COMMON, join_keys(["a", "b"]), NOW, [value, value])), register)
    assert asked == [["a", "b"]]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1bad", "metric_name"),
        ("", "metric_name"),
        ('a{x="1"', "series_key"),
        ('a{__name__="b"}', "label_name"),
        (f'a{{x="{"y" * 5000}"}}', "label_value"),
        ('a{host="other"}', "host"),
        ("a\udcff", "series_key"),
    ],
)
def test_a_series_that_breaks_the_rules_is_refused_alone(line: str, reason: str) -> None:
    registry = Registry()
    series = line.encode(errors="surrogateescape") + b"\ngood"
    chunk = chunk_of(make_block(HOST, COMMON, series, NOW, [1.0, 2.0]))
    [letter] = bind_blocks(registry, chunk, accept)
    assert (letter.reason, letter.message.offset) == (reason, 0)
    assert gather(registry, chunk).value.tolist() == [2.0]
    assert chunk.refused == {reason: 1}


def test_a_clash_of_ids_refuses_the_other_series() -> None:
    registry = Registry()
    chunk = chunk_of(make_block(HOST, COMMON, join_keys(["a", "b"]), NOW, [1.0, 2.0]))
    [letter] = bind_blocks(registry, chunk, lambda series: {series[1].key: "id_collision"})
    assert letter.reason == "id_collision"
    assert gather(registry, chunk).value.tolist() == [1.0]
    assert chunk.refused == {"id_collision": 1}


def test_each_series_knows_its_host() -> None:
    registry = Registry()
    other = next(name for name in map("db-{}".format, range(99)) if partition_of(name, 4) == partition_of(HOST, 4))
    chunk = chunk_of(
        make_block(HOST, COMMON, join_keys(["a", "b"]), NOW, [1.0, 2.0]),
        make_block(other, {"instance": other}, b"a", NOW, [3.0]),
        make_block(HOST, COMMON, b"c", NOW, [4.0]),
    )
    bind_blocks(registry, chunk, accept)
    places = registry.host_places[gather(registry, chunk).dense]
    assert [registry.hosts[place] for place in places] == [HOST, HOST, other, HOST]


def test_an_empty_chunk_gives_empty_columns() -> None:
    samples = gather(Registry(), chunk_of())
    assert [len(column) for column in samples] == [0, 0, 0, 0]
    assert samples.ts.dtype == np.int64


def test_a_series_that_breaks_its_reader_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(text: str) -> tuple[str, dict[str, str]]:
        if text == "evil":
            raise RecursionError("too deep")
        return parse_key(text)

    monkeypatch.setattr("stream_processors.ingest.lines.parse_key", broken)
    monkeypatch.setattr("stream_processors.ingest.registration.parse_key", broken)
    registry = Registry()
    chunk = chunk_of(make_block(HOST, COMMON, join_keys(["evil", "b"]), NOW, [1.0, 2.0]))
    [letter] = bind_blocks(registry, chunk, accept)
    assert (letter.reason, gather(registry, chunk).value.tolist(), chunk.refused) == (
        "series_key",
        [2.0],
        {"series_key": 1},
    )


def send_variants(registry: Registry, ticks: int, base: list[str]) -> list[str]:
    """A block that lacks another series every tick, and one that is always the same; the keys registered."""
    registered: list[str] = []

    def note(series: list[NewSeries]) -> dict[str, str]:
        registered.extend(new.key for new in series)
        return {}

    for tick in range(ticks):
        changing = [key for number, key in enumerate(base) if number != tick % len(base)]
        chunk = chunk_of(
            make_block(HOST, COMMON, join_keys(changing), NOW + tick, [float(tick)] * len(changing)),
            make_block(HOST, COMMON, join_keys(base), NOW + tick, [1.0] * len(base)),
        )
        assert bind_blocks(registry, chunk, note) == []
        samples = gather(registry, chunk)
        assert (len(samples.dense), len(set(samples.dense.tolist()))) == (2 * len(base) - 1, len(base))
    return registered


def test_variants_of_a_block_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "LEAST_ROOM_BYTES", 0)
    registry, base = Registry(), [f"m{number}" for number in range(300)]
    registered = send_variants(registry, 600, base)
    assert len(registered) == len(registry) == 300
    assert registry.blocks <= 2 * (256 * 300 // (4 * 299 + 64) + 2)


def note_reading(monkeypatch: pytest.MonkeyPatch, note: Callable[[Block, Sequence[bytes]], None]) -> None:
    """Say which lines of which block are read."""
    read = Lines.read

    def noted(known: Lines, block: Block, lines: Sequence[bytes], seen_ms: int) -> list[NewSeries | MetricError]:
        note(block, lines)
        return read(known, block, lines, seen_ms)

    monkeypatch.setattr(Lines, "read", noted)


def test_a_block_in_use_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "LEAST_ROOM_BYTES", 0)
    read: list[bytes] = []

    note_reading(monkeypatch, lambda block, lines: read.extend([block.series] * len(lines)))
    monkeypatch.setattr(Registry, "lines", lambda registry, key: {})
    base = [f"m{number}" for number in range(100)]
    send_variants(Registry(), 300, base)
    assert read.count(join_keys(base)) == 1  # all other lines were read in the same chunk's other block
    assert len(read) > 300 * 80


def test_of_a_block_that_changes_only_new_lines_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    note_reading(monkeypatch, lambda block, lines: read.extend(lines))
    registry = Registry()

    def send(common: dict[str, str], *lines: str) -> list[int]:
        read.clear()
        chunk = chunk_of(make_block(HOST, common, join_keys(lines), NOW, [1.0] * len(lines)))
        bind_blocks(registry, chunk, lambda series: {one.key: "series_limit" for one in series if one.name == "no"})
        return [int(one) for one in np.frombuffer(registry.block(chunk.blocks[0].key) or b"", dtype=np.int32)]

    a, b, c = send(COMMON, "a", "b", "c")
    assert send(COMMON, "c", "d", "a") == [c, 3, a]
    assert read == [b"d"]
    assert send({**COMMON, "x": "1"}, "a", "b") == [4, 5], "other labels are other series"
    assert send(COMMON, "b", "a") == [b, a]
    assert read == [b"b", b"a"], "only one block of a host is kept"
    *known, refused = send(COMMON, "b", "a", "c", "no")
    assert (known, refused < 0, read) == ([b, a, c], True, [b"c", b"no"])
    assert send(COMMON, "no", "c", "b", "a")[1:] == [c, b, a]
    assert read == [b"no"], "what was refused is asked about again"
    gone = np.zeros(len(registry), dtype=np.bool_)
    gone[a] = True
    registry.evict(gone)
    assert send(COMMON, "a", "b")[1] == registry.dense(f'b{{instance="{HOST}"}}')
    assert read == [b"a", b"b"], "dense ids have moved"


def test_chunks_of_many_partitions_register_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(most_new: int) -> tuple[list[list[list[str]]], list[list[int]]]:
        monkeypatch.setattr("stream_processors.ingest.naming.MOST_NEW", most_new)
        asked: list[list[list[str]]] = []

        def register(new: Mapping[int, list[NewSeries]]) -> dict[str, str]:
            asked.append([[one.name for one in series] for _, series in sorted(new.items())])
            return {one.key: "id_collision" for series in new.values() for one in series if one.name == "c"}

        chunks = [
            (Registry(), chunk_of(make_block(HOST, {**COMMON, "x": str(number)}, join_keys(keys), NOW, [1.0, 2.0])))
            for number, keys in enumerate((["a", "b"], ["c", "d"], ["e", "f"]))
        ]
        letters = bind_chunks(chunks, register)
        assert [letter.reason for letter in letters] == ["id_collision"]
        return asked, [gather(registry, chunk).dense.tolist() for registry, chunk in chunks]

    together, bound = run(100)
    assert together == [[["a", "b"], ["c", "d"], ["e", "f"]]]
    apart, bound_apart = run(3)
    assert apart == [[["a", "b"], ["c", "d"]], [["e", "f"]]]
    assert bound == bound_apart == [[0, 1], [0], [0, 1]]


def test_more_blocks_in_one_chunk_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "LEAST_ROOM_BYTES", 0)
    monkeypatch.setattr(registry_module, "ROOM_BYTES_A_SERIES", 1)
    registry = Registry()
    for _ in range(3):
        blocks = [make_block(HOST, {**COMMON, "x": str(number)}, b"m", NOW, [number]) for number in range(50)]
        chunk = chunk_of(*blocks)
        bind_blocks(registry, chunk, accept)
        samples = gather(registry, chunk)
        assert (samples.dense.tolist(), samples.value.tolist()) == (list(range(50)), list(range(50)))
