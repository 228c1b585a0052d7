"""What a chunk's accounts say: spans, refusals, dead frames, control frames; and the rest of a chunk read again."""

import numpy as np
import pytest

from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.windows.registry import Registry
from fleetpulse.wire import Block, Control, Dropped, Frame, Header, encode_frame, make_block
from stream_processors.inbox import Message
from stream_processors.ingest.accounts import UNNUMBERED, Given, Span, Unread
from stream_processors.ingest.gather import gather
from stream_processors.ingest.intake import Chunk, Intake
from stream_processors.ingest.ledger import Reached
from stream_processors.ingest.progress import MOST_UNWRITTEN, Progress
from stream_processors.ingest.refused import count_refused_series
from tests.support.binding import bind_blocks

HOUR_MS = 3_600_000
HOUR = 472_222
NOW = HOUR * HOUR_MS + 1_000_000
HOST, PARTITIONS = "web-1", 4
PARTITION = partition_of(HOST, PARTITIONS)


def message(offset: int, value: bytes, *more: tuple[str, bytes], append_ms: int = NOW) -> Message:
    headers = ((Header.PRODUCER, b"p"), (Header.SEQ, b"%d" % offset), (Header.SAMPLES, b"3"), *more)
    return Message("t", PARTITION, offset, append_ms, HOST.encode(), value, headers)


def chunk_of(*messages: Message, end: int | None = None) -> Chunk:
    intake = Intake(IngestSettings(), PARTITIONS, SelfMetrics(), lambda _: end)
    for one in messages:
        intake.take(one)
    [chunk] = intake.cut()
    return chunk


def frame(*blocks: Block, v: int = 1, control: Control | None = None) -> bytes:
    return encode_frame(Frame(v, NOW, list(blocks), control))


def block(sent: int, ts: int | list[int] = NOW, samples: int = 2) -> Block:
    return make_block(HOST, {"instance": HOST}, b"a", ts, [1.0] * samples, [0] * samples, sent)


def test_numbers_that_follow_one_another_are_one_span() -> None:
    chunk = chunk_of(*(message(offset, frame(block(sent))) for offset, sent in enumerate([2, 4, 8, 10])))
    assert chunk.accounts.spans() == [Span("p", HOST, HOUR, 0, 4), Span("p", HOST, HOUR, 6, 4)]


@pytest.mark.parametrize("sent", [0, 1, -5, 1 << 63])
def test_samples_without_numbers(sent: int) -> None:
    chunk = chunk_of(message(0, frame(block(sent))), message(1, frame(block(sent))))
    assert chunk.accounts.spans() == [Span("p", HOST, HOUR, UNNUMBERED, 4)]


def test_of_a_block_over_two_hours_the_earlier_one_has_the_lower_numbers() -> None:
    stamps = [NOW, NOW - HOUR_MS, NOW]
    spans = chunk_of(message(0, frame(block(13, stamps, 3)))).accounts.spans()
    assert sorted(spans) == [Span("p", HOST, HOUR - 1, 10, 1), Span("p", HOST, HOUR, 11, 2)]


def test_refused_times_count_under_the_hour_of_arrival() -> None:
    mixed = [NOW, NOW + 48 * HOUR_MS, NOW - HOUR_MS]
    chunk = chunk_of(
        message(0, frame(block(2, NOW + 9 * HOUR_MS))),
        message(1, frame(block(5, mixed, 3))),
        message(2, frame(block(7))),
    )
    assert sorted(chunk.accounts.spans()) == [
        Span("p", HOST, HOUR - 1, 2, 1), Span("p", HOST, HOUR, 0, 2), Span("p", HOST, HOUR, 3, 4),
    ]  # fmt: skip
    assert {key: one.refused for key, one in chunk.accounts.doubts.items()} == {(HOST, HOUR): 3}


def test_dead_frames_count_by_their_header_or_by_their_blocks() -> None:
    crooked = Block(HOST, {}, b"a", NOW, bytes(24), b"", 9)
    accounts = chunk_of(message(4, b"?"), message(5, frame(v=7)), message(6, frame(crooked))).accounts
    assert accounts.spans() == []
    assert accounts.dead == [
        Unread(4, Span("p", HOST, HOUR, UNNUMBERED, 3)),
        Unread(5, Span("p", HOST, HOUR, UNNUMBERED, 3)),
        Unread(6, Span("p", HOST, HOUR, 6, 3)),
    ]


def test_control_frames_and_replays() -> None:
    control = Control([Dropped(HOST, NOW, 7), Dropped("x" * 9999, -1, 1 << 60)], closed=True)
    accounts = chunk_of(
        message(3, frame(control=control)), message(4, frame(block(2)), (Header.REPLAYED, b"1"))
    ).accounts
    assert accounts.dropped == [Given("p", 3, HOST, HOUR, 7), Given("p", 3, "x" * 4096, 0, 1_000_000_000)]
    assert (accounts.closed, accounts.replayed) == ({"p"}, {("p", 4)})


def test_the_rest_of_a_chunk_is_what_it_would_have_been() -> None:
    messages = [message(offset, frame(block(2 * offset + 2, NOW + offset))) for offset in range(5)] + [message(5, b"?")]
    rest, alone = chunk_of(*messages).rest(3), chunk_of(*messages[3:])
    assert rest is not None
    assert (rest.first_offset, rest.next_offset, rest.samples, rest.frames) == (3, 6, 4, 3)
    assert rest.accounts.spans() == alone.accounts.spans()
    assert (rest.accounts.dead, rest.letters, rest.producers) == (alone.accounts.dead, alone.letters, alone.producers)
    assert chunk_of(*messages).rest(6) is None


def test_refused_series_by_host_and_hour_in_blocks_of_every_shape() -> None:
    series = b"good\n1bad"
    mixed = make_block(
        HOST, {"instance": HOST}, series, [NOW, NOW, NOW - HOUR_MS, NOW + 48 * HOUR_MS], [1.0] * 4, [0, 1, 1, 1]
    )
    plain = make_block(HOST, {"instance": HOST}, series, NOW, [1.0, 2.0])
    chunk, registry = chunk_of(message(0, frame(mixed)), message(1, frame(plain))), Registry()
    bind_blocks(registry, chunk, lambda new: {})
    gather(registry, chunk)
    count_refused_series(registry, chunk)
    refused = {key: one.refused for key, one in chunk.accounts.doubts.items()}
    assert refused == {(HOST, HOUR): 3, (HOST, HOUR - 1): 1}
    assert chunk.refused.total() == 4


def test_what_is_stored_is_left_out_and_a_topic_created_anew_is_not() -> None:
    messages = [message(offset, frame(block(2)), append_ms=NOW + offset) for offset in range(4)]
    progress = Progress()
    progress.go_on(chunk_of(*messages), Reached(2, NOW + 1, incarnation=3), lost=0)
    rest = progress.not_stored(chunk_of(*messages))
    assert rest is not None
    assert (rest.first_offset, progress.incarnation) == (2, 3)
    assert progress.not_stored(chunk_of(*messages[:2])) is None
    progress.go_on(chunk_of(*messages), Reached(2, NOW - 1, incarnation=3), lost=0)
    assert progress.not_stored(chunk_of(*messages[:2])) is not None
    assert progress.incarnation == 4


def test_only_what_was_there_at_the_takeover_may_be_stored_unwritten() -> None:
    progress = Progress()
    first, second = chunk_of(message(0, frame(block(2))), end=1), chunk_of(message(1, frame(block(2))), end=5)
    progress.go_on(first, None, lost=0)
    assert [progress.unsettled(first), progress.unsettled(second)] == [True, False]
    second.samples = MOST_UNWRITTEN
    progress.go_on(second, None, lost=0)
    assert [progress.unsettled(second), progress.unsettled(second)] == [True, False]


def test_numpy_numbers_do_not_reach_the_ledger() -> None:
    chunk = chunk_of(message(0, frame(block(13, [NOW, NOW - HOUR_MS, NOW], 3))))
    assert not any(isinstance(value, np.generic) for span in chunk.accounts.spans() for value in span)
