"""Hosts with wrong clocks are named in the log; who makes up hosts may fill neither log nor memory with them."""

import pytest

from fleetpulse.settings import IngestSettings
from fleetpulse.wire import Frame, encode_frame, make_block
from stream_processors.inbox import Message
from stream_processors.ingest.intake import MOST_NAMED, Chunk, Reader

NOW = 1_700_000_000_000


def test_made_up_hosts_with_wrong_times(caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader(IngestSettings(), 1)
    hosts = 2 * MOST_NAMED
    blocks = [make_block(f"host-{number}", {}, b"m", 0, [1.0], sent=1) for number in range(hosts)]
    chunk = Chunk(reader, 0, 0, 0, True, NOW, NOW)
    for _ in range(2):
        reader.add(chunk, Message("t", 0, 0, NOW, b"", encode_frame(Frame(1, NOW, blocks)), ()))
    assert chunk.refused["timestamp"] == 2 * hosts
    assert len(caplog.records) == MOST_NAMED
