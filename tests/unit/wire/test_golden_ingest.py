"""The ingest worker reads every golden example: all samples taken, no dead letter; an unknown version becomes one."""

import pytest

from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.wire import Frame, Header
from stream_processors.inbox import Message
from stream_processors.ingest.intake import Chunk, Intake
from tests.support.golden import meaning, meaning_of, message, names

NOW = 1_767_225_600_000


def taken(raw: bytes) -> Chunk:
    intake = Intake(IngestSettings(), 1, SelfMetrics())
    headers = ((Header.PRODUCER, b"0123456789abcdef"), (Header.SEQ, b"1"), (Header.SAMPLES, b"0"))
    intake.take(Message("fleetpulse.metrics", 0, 0, NOW, b"web-1", raw, headers))
    [chunk] = intake.cut()
    return chunk


@pytest.mark.parametrize("name", names())
def test_every_sample_of_an_example_is_taken(name: str) -> None:
    chunk = taken(message(name))
    expected = meaning(name)
    assert chunk.letters == []
    assert not chunk.refused
    assert chunk.samples == len(expected["samples"])
    for block in chunk.blocks:
        assert block.keep is None
        found = meaning_of(Frame(1, NOW, [block.block]))
        mine = [sample for sample in expected["samples"] if sample["host"] == block.block.host]
        assert found["samples"] == mine


def test_an_unknown_version_is_a_dead_letter_that_names_it() -> None:
    [letter] = taken(message("unknown_version")).letters
    assert letter.reason == "unknown_version"
    assert "frame version 2" in letter.detail
