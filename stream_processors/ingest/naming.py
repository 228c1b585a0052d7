"""Blocks get their dense ids: names are looked up once a block of series, and new series are registered together.

Registration costs a few statements however many series it is for, so those of many chunks share it; but no more than
MOST_NEW wait for it, and what one chunk brings.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from fleetpulse.errors import MetricError
from fleetpulse.windows.registry import BlockKey, Registry
from stream_processors.dead import Letter
from stream_processors.ingest.intake import Chunk, TakenBlock
from stream_processors.ingest.limits import HOST_LIMIT, LIMIT
from stream_processors.ingest.lines import Lines
from stream_processors.ingest.registration import COLLISION, NewSeries

MOST_NEW = 20_000

# Why a series is refused; its dense id is -1 - place in this list.
REASONS = [
    "series_key", "metric_name", "label_name", "label_value", "label_count", "host", COLLISION, HOST_LIMIT, LIMIT,
]  # fmt: skip
Line = NewSeries | MetricError | int  # of a block: a series to be looked up, a refused one, or a known one's dense id
LIMITED = [-1 - REASONS.index(reason) for reason in (HOST_LIMIT, LIMIT)]  # counted, but no dead letters


class _Reading(NamedTuple):
    """A chunk's unknown blocks, their lines read."""

    registry: Registry
    unknown: Mapping[BlockKey, TakenBlock]
    read: Mapping[BlockKey, list[Line]]
    new: list[NewSeries]


Register = Callable[[Mapping[int, list[NewSeries]]], Mapping[str, str]]


def bind_chunks(
    chunks: Sequence[tuple[Registry, Chunk]], register: Register, known: Lines | None = None
) -> list[Letter]:
    """Give every block of the chunks its dense ids, registering new series; a letter for each refused series' block.

    No two of the chunks are of one partition. `register` gets new series by the place of their chunk, and gives the
    keys that it refuses with the reason. Beyond a limit is no reason for a letter. `known`: lines read before.
    """
    letters: list[Letter] = []
    readings: dict[int, _Reading] = {}
    known = known or Lines()
    for place, (registry, chunk) in enumerate(chunks):
        registry.forget_unused()
        reading = _read_blocks(registry, chunk, known)
        if reading is not None:
            readings[place] = reading
        if sum(len(one.new) for one in readings.values()) >= MOST_NEW:
            letters += _bind(readings, register)
            readings = {}
    return letters + _bind(readings, register)


def _bind(readings: Mapping[int, _Reading], register: Register) -> list[Letter]:
    new = {place: reading.new for place, reading in readings.items() if reading.new}
    refused = register(new) if new else {}
    return [letter for reading in readings.values() for letter in _bind_chunk(reading, refused)]


def _bind_chunk(reading: _Reading, refused: Mapping[str, str]) -> list[Letter]:
    registry, letters = reading.registry, dict[int, Letter]()  # one a message
    _add(registry, [one for one in reading.new if one.key not in refused] if refused else reading.new)
    for key, lines in reading.read.items():
        block, _, message, _ = reading.unknown[key]
        dense: list[int] = []
        for one in lines:
            number = registry.dense(one.key) if isinstance(one, NewSeries) else one
            if not isinstance(number, int):
                error = _error(one, refused)
                number = -1 - REASONS.index(error.reason)
                if number not in LIMITED:
                    letters.setdefault(message.offset, Letter(message, error.reason, str(error)))
            dense.append(number)
        registry.bind(key, dense, block.series)
    return list(letters.values())


def _add(registry: Registry, new: Sequence[NewSeries]) -> None:
    if new:
        keys, ids, _, hosts, _, seen_ms, _ = zip(*new, strict=True)
        registry.extend(keys, ids, hosts, seen_ms)


def _error(line: Line, refused: Mapping[str, str]) -> MetricError:
    """Why a line has no dense id."""
    if isinstance(line, MetricError):
        return line if line.reason in REASONS else MetricError("series_key", str(line))
    assert isinstance(line, NewSeries)
    return MetricError(refused[line.key], f"series {line.key[:200]} has the id of another series: {line.id}")


def _read_blocks(registry: Registry, chunk: Chunk, known: Lines) -> _Reading | None:
    """None when every block is known. Each line of a host is read once, and none that its newest known block has."""
    unknown: dict[BlockKey, TakenBlock] = {}
    for taken in chunk.blocks:
        if taken.key not in unknown and registry.block(taken.key) is None:
            unknown[taken.key] = taken
    if not unknown:
        return None
    read: dict[BlockKey, list[Line]] = {}
    new: dict[str, NewSeries] = {}
    of_hosts: dict[tuple[str, frozenset[tuple[str, str]]], dict[bytes, Line]] = {}
    for key, taken in unknown.items():
        lines = of_hosts.get((key[0], key[2]))
        if lines is None:
            lines = of_hosts[key[0], key[2]] = dict(registry.lines(key))
        written = taken.block.series.split(b"\n") if taken.block.series else []
        unread = [line for line in dict.fromkeys(written) if line not in lines]
        found = known.read(taken.block, unread, taken.message.append_ms)
        lines.update(zip(unread, found, strict=True))
        for one in found:
            if isinstance(one, NewSeries) and registry.dense(one.key) is None:
                new[one.key] = one
        read[key] = [lines[line] for line in written]
    return _Reading(registry, unknown, read, list(new.values()))
