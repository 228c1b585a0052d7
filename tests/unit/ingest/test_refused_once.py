"""Samples of refused series are counted once, and under the name by which the host's samples are counted."""

from fleetpulse.settings import IngestSettings
from fleetpulse.windows.registry import Registry
from fleetpulse.wire import Frame, encode_frame, make_block
from stream_processors.inbox import Message
from stream_processors.ingest.accounts import MOST_HOST
from stream_processors.ingest.gather import gather
from stream_processors.ingest.grids import LEAST_SAMPLES
from stream_processors.ingest.intake import Chunk, Reader
from stream_processors.ingest.refused import count_refused_series
from tests.support.binding import bind_blocks

NOW = 1_700_000_000_000


def taken(host: str, lines: list[str]) -> Chunk:
    """A chunk of one block, bound and gathered."""
    chunk = Chunk(Reader(IngestSettings(), 1), 0, 0, 0, True, NOW, NOW)
    series = "\n".join(lines).encode()
    block = make_block(host, {"host": host}, series, NOW, [1.0] * len(lines), sent=len(lines))
    chunk.reader.add(chunk, Message("t", 0, 0, NOW, b"", encode_frame(Frame(1, NOW, [block])), ()))
    registry = Registry()
    bind_blocks(registry, chunk, lambda series: {})
    gather(registry, chunk)
    count_refused_series(registry, chunk)
    return chunk


def test_a_block_that_names_a_series_twice() -> None:
    lines = [f"m{number}" for number in range(LEAST_SAMPLES)]
    chunk = taken("host", [*lines, "m0", "no metric"])
    assert chunk.refused.total() == 1
    assert [doubts.refused for doubts in chunk.accounts.doubts.values()] == [1]


def test_a_host_of_more_characters_than_a_host_may_have() -> None:
    chunk = taken("h" * (MOST_HOST + 1), ["m"])
    assert chunk.refused.total() == 1
    [span] = chunk.accounts.spans()
    assert list(chunk.accounts.doubts) == [(span.host, span.hour)]
