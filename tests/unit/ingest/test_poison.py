"""When a partition pauses, and that one broken producer never pauses it."""

import pytest

from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.wire import Frame, Header, encode_frame, make_block
from stream_processors.inbox import Message
from stream_processors.ingest.intake import Intake
from stream_processors.poison import MESSAGES, MOST_DEAD, PoisonWatch

NOW = 1_700_000_000_000


def test_many_dead_messages_of_two_producers_are_not_poison() -> None:
    watch = PoisonWatch()
    assert not any(watch.note(f"p{number % 2}", True) for number in range(3 * MESSAGES))


def test_a_few_dead_messages_of_many_producers_are_not_poison() -> None:
    watch = PoisonWatch()
    assert not any(watch.note(f"p{number}", number % 10 == 0) for number in range(3 * MESSAGES))


def test_many_dead_messages_of_three_producers_are() -> None:
    watch = PoisonWatch()
    notes = [watch.note(f"p{number % 3}", True) for number in range(MOST_DEAD + 1)]
    assert notes == [False] * MOST_DEAD + [True]
    assert "partition 7 is paused: 101 of its last 101 messages, from 3 producers" in watch.cause(7)


def test_what_is_longer_ago_than_the_last_thousand_is_forgotten() -> None:
    watch = PoisonWatch()
    for number in range(MOST_DEAD):
        assert not watch.note(f"p{number % 3}", True)
    for _ in range(MESSAGES):
        assert not watch.note("good", False)
    assert not any(watch.note(f"p{number % 3}", True) for number in range(MOST_DEAD))


def message(host: str, offset: int, good: bool) -> Message:
    block = make_block(host, {"instance": host}, b"a", NOW, [1.0])
    value = encode_frame(Frame(1, NOW, [block])) if good else b"garbage"
    headers = ((Header.PRODUCER, f"p{offset % 3}".encode()),)
    return Message("t", partition_of(host, 4), offset, NOW, None, value, headers)


@pytest.fixture
def poisoned() -> Intake:
    intake = Intake(IngestSettings(), 4, SelfMetrics())
    for offset in range(MOST_DEAD + 1):
        intake.take(message("h1", offset, False))
    return intake


def test_a_poisoned_partition_waits_and_the_others_go_on(poisoned: Intake) -> None:
    other = next(f"x{n}" for n in range(99) if partition_of(f"x{n}", 4) != partition_of("h1", 4))
    [chunk] = poisoned.cut()
    assert len(chunk.letters) == MOST_DEAD + 1
    poisoned.take(message("h1", MOST_DEAD + 1, True))
    poisoned.take(message(other, 0, True))
    assert [chunk.partition for chunk in poisoned.cut()] == [partition_of(other, 4)]
    assert list(poisoned.paused) == [partition_of("h1", 4)]


def test_what_waited_is_taken_when_it_goes_on(poisoned: Intake) -> None:
    poisoned.cut()
    for offset in (MOST_DEAD + 1, MOST_DEAD + 2, MOST_DEAD + 1):
        poisoned.take(message("h1", offset, True))
    poisoned.resume()
    [chunk] = poisoned.cut()
    assert (chunk.first_offset, chunk.next_offset, chunk.fresh) == (MOST_DEAD + 1, MOST_DEAD + 3, False)
    assert poisoned.paused == {}


def test_a_poisoned_partition_that_is_given_up_is_forgotten(poisoned: Intake) -> None:
    poisoned.keep_only([])
    assert poisoned.paused == {}
    assert poisoned.cut() == []


def test_a_poisoned_partition_that_is_read_again_stays_paused(poisoned: Intake) -> None:
    poisoned.forget(partition_of("h1", 4))  # Faust's consumer is still paused: only `resume` lets it go on
    assert list(poisoned.paused) == [partition_of("h1", 4)]
    poisoned.keep_only([])
    assert poisoned.paused == {}
