"""One chunk's blocks bound by themselves."""

from collections.abc import Callable, Mapping

from fleetpulse.windows.registry import Registry
from stream_processors.dead import Letter
from stream_processors.ingest.intake import Chunk
from stream_processors.ingest.naming import bind_chunks
from stream_processors.ingest.registration import NewSeries


def bind_blocks(
    registry: Registry, chunk: Chunk, register: Callable[[list[NewSeries]], Mapping[str, str]]
) -> list[Letter]:
    """`bind_chunks` of one chunk; `register` gets its new series."""
    return bind_chunks([(registry, chunk)], lambda new: register(new[0]))
