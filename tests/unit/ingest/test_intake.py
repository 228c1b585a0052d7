"""Intake: decoding, checks, chunks and the rule of the next offset."""

import pytest

from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.wire import Block, Frame, Header, encode_frame, join_keys, make_block
from stream_processors.inbox import Message
from stream_processors.ingest.intake import DAY_MS, Intake

NOW = 1_700_000_000_000
PARTITIONS = 4
HOST = "web-1"


@pytest.fixture
def intake() -> Intake:
    return Intake(IngestSettings(), PARTITIONS, SelfMetrics())


def message(offset: int, value: bytes, host: str = HOST, partition: int | None = None) -> Message:
    where = partition_of(host, PARTITIONS) if partition is None else partition
    headers = ((Header.PRODUCER, b"p1"), (Header.SEQ, str(offset + 1).encode()), (Header.SAMPLES, b"2"))
    return Message("t", where, offset, NOW + offset, host.encode(), value, headers)


def frame(*blocks: Block, v: int = 1) -> bytes:
    return encode_frame(Frame(v, NOW, list(blocks)))


def block(ts: int | list[int] = NOW, host: str = HOST) -> Block:
    return make_block(host, {"instance": host}, join_keys(["a", "b"]), ts, [1.0, 2.0])


def test_consecutive_messages_make_one_chunk(intake: Intake) -> None:
    for offset in (5, 6, 7):
        intake.take(message(offset, frame(block())))
    [chunk] = intake.cut()
    assert (chunk.first_offset, chunk.next_offset, chunk.fresh, chunk.frames, chunk.samples) == (5, 8, True, 3, 6)
    assert (chunk.first_append_ms, chunk.append_ms) == (NOW + 5, NOW + 7)
    assert chunk.hosts == {HOST: NOW + 7}
    producer = chunk.producers["p1"]
    assert (producer.first_seq, producer.last_seq, producer.frames, producer.samples) == (6, 8, 3, 6)


def test_a_cut_goes_on_where_the_last_one_ended(intake: Intake) -> None:
    intake.take(message(5, frame(block())))
    intake.cut()
    assert intake.rows == 0
    intake.take(message(6, frame(block())))
    [chunk] = intake.cut()
    assert (chunk.first_offset, chunk.fresh) == (6, False)


def test_a_lower_offset_is_skipped(intake: Intake) -> None:
    intake.take(message(5, frame(block())))
    intake.take(message(6, frame(block())))
    intake.take(message(5, frame(block())))
    [chunk] = intake.cut()
    assert chunk.frames == 2
    assert intake.skipped == {chunk.partition}


def test_a_higher_offset_starts_a_fresh_chunk(intake: Intake) -> None:
    intake.take(message(5, frame(block())))
    intake.take(message(9, frame(block())))
    assert [(c.first_offset, c.next_offset, c.fresh) for c in intake.cut()] == [(5, 6, True), (9, 10, True)]


def test_a_partition_that_was_given_up_starts_afresh(intake: Intake) -> None:
    intake.take(message(5, frame(block())))
    intake.keep_only([])
    assert (intake.rows, intake.waiting) == (0, 0)
    intake.take(message(5, frame(block())))
    [chunk] = intake.cut()
    assert chunk.fresh


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"garbage", "undecodable"),
        (b"", "undecodable"),
        (frame(v=99), "unknown_version"),
        (frame(Block(HOST, {}, b"a\nb", NOW, b"\0" * 8)), "shape"),
        (frame(Block(HOST, {}, b"a", NOW, b"\0" * 7)), "shape"),
        (frame(Block(HOST, {}, b"a", NOW, b"\0" * 8, b"\1\0\0\0")), "shape"),
        (frame(Block(HOST, {}, b"a", b"\0", b"\0" * 8)), "shape"),
        (frame(Block(HOST, {}, b"a", 1 << 63, b"\0" * 8, b"\0" * 4)), "shape"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter_and_the_partition_moves_on(
    intake: Intake, value: bytes, reason: str
) -> None:
    intake.take(message(5, value))
    intake.take(message(6, frame(block())))
    [chunk] = intake.cut()
    assert [letter.reason for letter in chunk.letters] == [reason]
    assert chunk.letters[0].message.value == value
    assert (chunk.next_offset, chunk.frames, chunk.samples) == (7, 2, 2)


def test_a_host_in_the_wrong_partition_kills_the_whole_frame(intake: Intake) -> None:
    other = next(f"h{i}" for i in range(99) if partition_of(f"h{i}", PARTITIONS) != partition_of(HOST, PARTITIONS))
    intake.take(message(5, frame(block(), block(host=other))))
    [chunk] = intake.cut()
    assert [letter.reason for letter in chunk.letters] == ["wrong_partition"]
    assert other in chunk.letters[0].detail
    assert chunk.blocks == []


@pytest.mark.parametrize("ts", [NOW - 14 * DAY_MS - 1, NOW + 600_001])
def test_times_outside_what_is_kept_are_refused_and_the_host_named(
    intake: Intake, ts: int, caplog: pytest.LogCaptureFixture
) -> None:
    intake.take(message(0, frame(block(ts))))
    [chunk] = intake.cut()
    assert chunk.refused == {"timestamp": 2}
    assert chunk.blocks == []
    assert [record.fields["host"] for record in caplog.records] == [HOST]  # type: ignore[attr-defined]


@pytest.mark.parametrize("ts", [NOW - 14 * DAY_MS, NOW + 600_000])
def test_times_at_the_edge_are_taken(intake: Intake, ts: int) -> None:
    intake.take(message(0, frame(block(ts))))
    [chunk] = intake.cut()
    assert (chunk.refused.total(), len(chunk.blocks)) == (0, 1)


def test_of_a_block_only_the_samples_with_bad_times_are_refused(intake: Intake) -> None:
    intake.take(message(0, frame(block([NOW, 5]))))
    [chunk] = intake.cut()
    assert chunk.refused == {"timestamp": 1}
    [taken] = chunk.blocks
    assert taken.keep is not None
    assert taken.keep.tolist() == [True, False]


def test_headers_that_are_no_numbers_do_no_harm(intake: Intake) -> None:
    raw = message(0, frame(block()))._replace(headers=((Header.SEQ, b"x"), (Header.SAMPLES, b"\xff")))
    intake.take(raw)
    [chunk] = intake.cut()
    assert chunk.producers[""].samples == 0
    assert len(chunk.blocks) == 1


@pytest.mark.parametrize("header", [None, b"", b"\xff" * 5000])
def test_a_producer_header_of_any_value_is_read_over(intake: Intake, header: bytes | None) -> None:
    headers = tuple((str(name), header) for name in Header)
    intake.take(message(5, frame(block()))._replace(headers=headers))  # type: ignore[arg-type]
    [chunk] = intake.cut()
    [(name, producer)] = chunk.producers.items()
    assert (len(name) <= 100, producer.samples, chunk.samples, chunk.letters) == (True, 0, 2, [])


def test_headers_that_claim_too_much_stay_within_the_ledger(intake: Intake) -> None:
    for offset in range(50):
        headers = ((Header.SEQ, b"9" * 18), (Header.SAMPLES, b"9" * 18))
        intake.take(message(offset, b"garbage")._replace(headers=headers))
    [chunk] = intake.cut()
    [producer] = chunk.producers.values()
    assert max(producer.samples, producer.last_seq) < 2**64


def test_an_error_nobody_thought_of_is_a_dead_letter(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(host: str, partitions: int) -> int:
        if host == "evil":
            raise OverflowError("too large")
        return partition_of(host, partitions)

    monkeypatch.setattr("stream_processors.ingest.intake.partition_of", broken)
    where = partition_of(HOST, PARTITIONS)
    intake.take(message(5, frame(block(host="evil")), partition=where))
    intake.take(message(6, frame(block())))
    [chunk] = intake.cut()
    assert [(letter.reason, letter.message.offset) for letter in chunk.letters] == [("unreadable", 5)]
    assert (chunk.next_offset, chunk.frames, chunk.samples) == (7, 2, 2)
