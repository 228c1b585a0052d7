"""The messages a worker has taken and not yet acknowledged, per partition, in offset order.

Faust commits whatever is acknowledged, and a hole in the acknowledgements commits past messages in flight. So a
worker never acknowledges a message: it says how far a partition is done, and the inbox acknowledges everything
below, oldest first. There can be no hole.

What was fetched before its partition was lost is dropped. While an agent's body is busy, `noack_take` holds one more
event, which Faust's clearing of its queues at a rebalance does not reach. Taken after the partition is lost or ours
again, it would be the newest offset seen, and everything from the committed offset up to it, which Kafka delivers
again, would be skipped as done before and acknowledged. The dropped event is delivered again with the rest: Faust
seeks to the committed offsets after every rebalance. Its generation tells: Faust gives every message the number of the
rebalance after which it was fetched.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol


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


class Inbox:
    """Takes Faust events, gives messages, and acknowledges without holes. For the event loop only."""

    def __init__(self) -> None:
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

    def keep_only(self, partitions: Iterable[int], generation: int) -> set[int]:
        """After the rebalance with this number: forget the partitions that are no longer ours; returns them."""
        owned = frozenset(partitions)
        lost = (self._owned | self._waiting.keys()) - owned
        for partition in lost:
            self._lost_in[partition] = generation
            self._count -= len(self._waiting.pop(partition, ()))
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
