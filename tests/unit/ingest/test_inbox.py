"""The inbox never acknowledges out of order and never leaves a hole."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from stream_processors.inbox import Inbox


class Stream:
    def __init__(self) -> None:
        self.acked: list[tuple[int, int]] = []

    async def ack(self, event: Any) -> bool:
        self.acked.append((event.message.partition, event.message.offset))
        return True


def event(partition: int, offset: int, generation: int = 1) -> Any:
    message = SimpleNamespace(
        topic="t",
        partition=partition,
        offset=offset,
        timestamp=offset / 1000,
        key=None,
        value=b"",
        headers=None,
        generation_id=generation,
    )
    return SimpleNamespace(message=message)


def acknowledge(inbox: Inbox, stream: Stream, partition: int, next_offset: int) -> int:
    return asyncio.run(inbox.acknowledge(stream, partition, next_offset))


def test_everything_below_the_next_offset_is_acknowledged_in_order() -> None:
    inbox, stream = Inbox(), Stream()
    inbox.take([event(0, 1), event(1, 7), event(0, 2), event(0, 3)])
    assert acknowledge(inbox, stream, 0, 3) == 2
    assert stream.acked == [(0, 1), (0, 2)]
    assert (len(inbox), inbox.oldest(0), inbox.oldest(1)) == (2, (3, 3), (7, 7))


def test_a_message_that_came_again_waits_behind_its_first_copy() -> None:
    inbox, stream = Inbox(), Stream()
    inbox.take([event(0, offset) for offset in (1, 2, 3, 2, 3, 4)])
    acknowledge(inbox, stream, 0, 3)
    assert stream.acked == [(0, 1), (0, 2)]
    acknowledge(inbox, stream, 0, 5)
    assert stream.acked == [(0, offset) for offset in (1, 2, 3, 2, 3, 4)]


def test_a_lost_partition_is_forgotten_and_never_acknowledged() -> None:
    inbox, stream = Inbox(), Stream()
    inbox.take([event(0, 1), event(1, 1)])
    assert inbox.keep_only([1], 2) == {0}
    assert acknowledge(inbox, stream, 0, 9) == 0
    assert (stream.acked, len(inbox)) == ([], 1)


def test_a_message_carries_append_time_and_headers() -> None:
    raw = event(0, 1500)
    raw.message.headers = [("a", b"1"), ("null", None)]
    [message] = Inbox().take([raw])
    assert (message.append_ms, message.headers) == (1500, (("a", b"1"), ("null", b"")))


def offsets(inbox: Inbox, *events: Any) -> list[int]:
    return [message.offset for message in inbox.take(events)]


def test_what_was_fetched_before_its_partition_was_lost_is_dropped() -> None:
    inbox = Inbox()
    inbox.keep_only([0, 1], 5)
    assert offsets(inbox, event(0, 100, 5), event(1, 7, 5)) == [100, 7]
    inbox.keep_only([1], 6)
    assert offsets(inbox, event(0, 150, 5), event(1, 8, 5)) == [8]  # a kept partition goes on
    inbox.keep_only([0, 1], 7)
    assert offsets(inbox, event(0, 150, 5), event(0, 100, 7), event(1, 9, 6)) == [100, 9]
    assert (inbox.oldest(0), len(inbox)) == ((100, 100), 4)
    inbox.keep_only([0, 1], 8)
    assert offsets(inbox, event(0, 101, 7), event(0, 102, 8)) == [101, 102]


def test_what_waits_outside_while_a_partition_is_away_is_dropped_too() -> None:
    inbox = Inbox()
    inbox.keep_only([0], 1)  # taken before, but nothing of it reached the inbox
    inbox.keep_only([], 2)
    inbox.keep_only([0], 3)
    assert offsets(inbox, event(0, 64, 1), event(0, 0, 3)) == [0]


def asking(now: Callable[[], float] = lambda: 0.0) -> tuple[Inbox, list[tuple[int, int]]]:
    """An inbox of partition 0, and what it asks Kafka for: (partition, offset)."""
    asked: list[tuple[int, int]] = []
    inbox = Inbox(lambda partition, offset: asked.append((partition, offset)), now)
    inbox.keep_only([0], 1)
    return inbox, asked


def test_what_follows_a_gap_waits_until_the_gap_was_read_again() -> None:
    inbox, asked = asking()
    assert offsets(inbox, event(0, 1), event(0, 2), event(0, 5), event(0, 6)) == [1, 2]
    assert offsets(inbox, event(0, 7)) == []  # fetched before the seek
    inbox.sought(0, 7)
    assert offsets(inbox, *(event(0, offset) for offset in (3, 4, 5, 6, 7, 8))) == [3, 4, 5, 6, 7, 8]
    assert asked == [(0, 3)]
    assert len(inbox) == 8


def test_a_gap_is_believed_when_what_was_read_again_has_it_too() -> None:
    times = [0.0]
    inbox, asked = asking(lambda: times[-1])
    assert offsets(inbox, event(0, 1), event(0, 5), event(0, 6)) == [1]
    inbox.sought(0, 6)
    assert offsets(inbox, event(0, 5), event(0, 6)) == [5, 6]
    assert offsets(inbox, event(0, 9), event(0, 10)) == [9, 10]  # another one so soon: holes are nothing new here
    times.append(61.0)
    assert offsets(inbox, event(0, 13)) == []
    assert asked == [(0, 2), (0, 11)]


def test_kafka_deletes_more_while_it_is_asked() -> None:
    inbox, asked = asking()
    assert offsets(inbox, event(0, 1), event(0, 5)) == [1]
    inbox.sought(0, 6)  # one more was delivered, and waits in Faust's queue
    assert offsets(inbox, event(0, 6), event(0, 9), event(0, 10)) == [9, 10]
    assert asked == [(0, 2)]


def test_a_request_from_further_back_takes_the_place_of_one_that_waits() -> None:
    inbox, asked = asking()
    assert offsets(inbox, event(0, 7), event(0, 8), event(0, 12)) == [7, 8]
    assert inbox.missing(0, 5), "the ledger knows of less"
    assert offsets(inbox, event(0, 13), event(0, 14)) == []
    inbox.sought(0, 14)
    assert offsets(inbox, *(event(0, offset) for offset in range(5, 16))) == list(range(5, 16))
    assert asked == [(0, 9), (0, 5)]


def test_an_owner_that_knows_of_a_gap_forgets_what_came_behind_it() -> None:
    inbox, asked = asking()
    assert offsets(inbox, event(0, 5), event(0, 6)) == [5, 6]
    assert inbox.missing(0, 3)
    assert (len(inbox), asked) == (0, [(0, 3)])
    assert offsets(inbox, event(0, 7), event(0, 4), event(0, 5)) == [4, 5]
    assert not inbox.missing(0, 3), "asked before: it is gone"
    assert not inbox.missing(1, 3), "not ours"


def test_a_rebalance_ends_the_asking() -> None:
    inbox, asked = asking()
    assert offsets(inbox, event(0, 1), event(0, 5)) == [1]
    inbox.keep_only([0], 2)  # Faust goes back to what is committed
    assert offsets(inbox, event(0, 1, 2), event(0, 2, 2), event(0, 3, 2)) == [1, 2, 3]
    inbox.keep_only([], 3)
    inbox.keep_only([0], 4)
    assert offsets(inbox, event(0, 9, 4)) == [9]
    assert asked == [(0, 2)]
