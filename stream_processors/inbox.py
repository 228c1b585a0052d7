"""The messages a worker has taken and not yet acknowledged, per partition, in offset order.

Faust commits whatever is acknowledged, and a hole in the acknowledgements commits past messages in flight. So a
worker never acknowledges a message: it says how far a partition is done, and the inbox acknowledges everything
below, oldest first. There can be no hole.

What was fetched before its partition was lost is dropped. While an agent waits for more it holds events, which Faust's
clearing of its queues at a rebalance does not reach. Taken after the partition is lost or ours
again, it would be the newest offset seen, and everything from the committed offset up to it, which Kafka delivers
again, would be skipped as done before and acknowledged. The dropped event is delivered again with the rest: Faust
seeks to the committed offsets after every rebalance. Its generation tells: Faust gives every message the number of the
rebalance after which it was fetched.

Messages that are missing before one that came are asked for again, once, before anybody believes that Kafka has deleted
them. Until they come the inbox drops what follows them: it comes again behind them. A partition is asked for once a
minute, or from further back: in a topic with holes, as transactions leave them, asking for each would take too long.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

ASK_AGAIN_SECONDS = 60.0


class Message(NamedTuple):
    """One Kafka message; `append_ms` is its broker timestamp, `headers` are (name, bytes) pairs, a null value empty."""

    topic: str
    partition: int
    offset: int
    append_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Acknowledges(Protocol):
    """What the inbox needs of a Faust stream."""

    async def ack(self, event: Any) -> bool: ...


@dataclass(slots=True)
class _Asked:
    """What was asked for: messages from `offset` on, at the monotonic time `at`.

    `waits`: they have not come yet. Of what was fetched before, `newest` came last, and `last` is the last that there
    is, once that is known.
    """

    offset: int
    at: float
    newest: int
    waits: bool = True
    last: int | None = None


class Inbox:
    """Takes Faust events, gives messages, and acknowledges without holes. For the event loop only.

    `read_again` (partition, offset) makes Kafka deliver from this offset on once more, and says so by `sought`. None: a
    missing offset means nothing, as where only committed messages are read.
    """

    def __init__(
        self, read_again: Callable[[int, int], None] | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._read_again = read_again
        self._monotonic = monotonic
        self._next: dict[int, int] = {}
        self._asked: dict[int, _Asked] = {}  # by partition, what was asked for last
        self._waits: set[int] = set()  # partitions that are read again
        self._waiting: dict[int, deque[tuple[int, int, Any]]] = {}
        self._count = 0
        self._owned: frozenset[int] = frozenset()
        self._lost_in: dict[int, int] = {}  # partition → generation of the last rebalance that took it away

    def take(self, events: Iterable[Any]) -> list[Message]:
        """Remember the events and return their messages, in the order of arrival, without what was fetched before
        its partition was lost."""
        messages = []
        for event in events:
            raw = event.message
            if raw.generation_id < self._lost_in.get(raw.partition, 0):
                continue
            if self._next.get(raw.partition, raw.offset) == raw.offset and raw.partition not in self._waits:
                self._next[raw.partition] = raw.offset + 1
            elif not self._follows(raw.partition, raw.offset):
                continue
            message = Message(
                raw.topic,
                raw.partition,
                raw.offset,
                round(raw.timestamp * 1000) if raw.timestamp else 0,
                raw.key,
                raw.value,
                _pairs(raw.headers),
            )
            messages.append(message)
            self._waiting.setdefault(message.partition, deque()).append((message.offset, message.append_ms, event))
            self._count += 1
        return messages

    async def acknowledge(self, stream: Acknowledges, partition: int, next_offset: int) -> int:
        """Everything of the partition below `next_offset` is done; returns how many messages that were.

        A message that came again after a rebalance waits behind its first copy, so it is never acknowledged early.
        """
        waiting = self._waiting.get(partition)
        done = 0
        while waiting and waiting[0][0] < next_offset:
            _, _, event = waiting.popleft()
            await stream.ack(event)
            done += 1
        self._count -= done
        return done

    def missing(self, partition: int, offset: int, came: int = -1) -> bool:
        """The messages from `offset` on did not come, later ones did: forget all that came since, and ask again.

        True when they come again, from `offset` or from where Kafka still has them. False when that was tried, or not
        long ago from an earlier offset: what is missing is gone.
        """
        asked, now = self._asked.get(partition), self._monotonic()
        if self._read_again is None or partition not in self._owned:
            return False
        if asked and (asked.offset == offset or (asked.offset < offset and now - asked.at < ASK_AGAIN_SECONDS)):
            return False
        waiting = self._waiting.get(partition, deque())
        newest = max(came, self._next.get(partition, 0) - 1, asked.newest if asked and asked.waits else -1)
        self._asked[partition] = _Asked(offset, now, newest)
        self._waits.add(partition)
        self._next[partition] = offset
        while waiting and waiting[-1][0] >= offset:
            waiting.pop()
            self._count -= 1
        self._read_again(partition, offset)
        return True

    def sought(self, partition: int, last: int) -> None:
        """What is read again comes behind the message with this offset, the last that was fetched before."""
        if partition in self._waits:
            self._asked[partition].last = last

    def _follows(self, partition: int, offset: int) -> bool:
        expected = self._next[partition]
        if partition in self._waits:
            asked = self._asked[partition]
            if offset > asked.newest and (asked.last is None or asked.newest < asked.last):  # fetched before the seek
                asked.newest = offset
                return False
            asked.waits = False
            self._waits.remove(partition)
        if offset > expected and self.missing(partition, expected, offset):
            return False
        self._next[partition] = max(expected, offset + 1)
        return True

    def keep_only(self, partitions: Iterable[int], generation: int) -> set[int]:
        """After the rebalance with this number: forget the partitions that are no longer ours; returns them."""
        owned = frozenset(partitions)
        lost = (self._owned | self._waiting.keys() | self._next.keys()) - owned
        for partition in lost:
            self._lost_in[partition] = generation
            self._count -= len(self._waiting.pop(partition, ()))
            self._waits.discard(partition)
            for of_partition in (self._next, self._asked):
                of_partition.pop(partition, None)
        self._owned = owned
        return set(lost)

    def __len__(self) -> int:
        return self._count

    def oldest(self, partition: int) -> tuple[int, int] | None:
        """(offset, append time in ms) of the oldest message not yet acknowledged."""
        waiting = self._waiting.get(partition)
        return waiting[0][:2] if waiting else None


def _pairs(headers: Any) -> Sequence[tuple[str, bytes]]:
    if not headers:
        return ()
    pairs = headers.items() if hasattr(headers, "items") else headers
    return tuple((name, value or b"") for name, value in pairs)
