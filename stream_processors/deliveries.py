"""What Faust has delivered to an agent, taken from its queue in lists: `noack_take` without a pass of the event loop,
a context variable and a dozen calls of sensors for each message (measured: half of what a small message costs).

    deliveries = Deliveries(stream)
    async for events in deliveries.take(64, within=0.1):
        …
        await worker.inbox.acknowledge(deliveries, partition, next_offset)

Nothing is acknowledged by itself. Nothing is held back between two lists.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

FIRST_STEP_SECONDS = 0.005  # of waiting for a list to fill; at full speed fewer messages come in it than have room
LAST_STEP_SECONDS = 0.04


class Deliveries:
    """The events of one agent's stream, which is not iterated otherwise. For the event loop only."""

    def __init__(self, stream: Any) -> None:
        self._app = stream.app
        self._stream = stream
        self._queue = aiter(stream.channel).queue

    async def take(self, most: int, within: float) -> AsyncIterator[list[Any]]:
        """Lists of 1 to `most` events, each `within` seconds after its first event came, or when it is full.

        What came while the caller was at work has waited since the list before at the longest, and counts so.
        """
        await self._stream.maybe_start()
        clock = asyncio.get_running_loop().time
        given = clock()
        while not self._stream.should_stop:
            events: list[Any] = []
            try:
                await self._gather(events, most, within, given)
            except StopAsyncIteration:  # how Faust tells an agent that it is stopped
                return
            given = clock()
            if events:
                yield events
            await asyncio.sleep(0)

    async def _gather(self, events: list[Any], most: int, within: float, given: float) -> None:
        clock = asyncio.get_running_loop().time
        waits = not self._queue.empty()
        self._add(events, await self._queue.get())
        end, step = (given if waits else clock()) + within, FIRST_STEP_SECONDS
        while True:
            before = len(events)
            while len(events) < most and not self._queue.empty():
                self._add(events, self._queue.get_nowait())
            if len(events) >= most or clock() >= end:
                return
            step = FIRST_STEP_SECONDS if len(events) > before else min(LAST_STEP_SECONDS, 2 * step)
            await asyncio.sleep(min(step, max(0.0, end - clock())))

    async def ack(self, event: Any) -> bool:
        """As the stream's own: once all before it are acknowledged too, Faust commits it."""
        acked: bool = self._app.consumer.done(event.message)
        return acked

    def _add(self, events: list[Any], event: Any) -> None:
        generation = self._app.consumer_generation_id
        if self._app.flow_control.is_active() and event.message.generation_id == generation:
            events.append(event)  # else of before a rebalance: delivered again
