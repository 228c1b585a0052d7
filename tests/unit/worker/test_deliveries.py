"""Lists of what Faust delivered: in order, none too long, none late, and nothing from before a rebalance."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from stream_processors.deliveries import Deliveries


class Channel:
    """As Faust's: its own iterator, with a queue."""

    def __init__(self, queue: "ThrowableQueue[Any]") -> None:
        self.queue = queue

    def __aiter__(self) -> "Channel":
        return self

    async def __anext__(self) -> Any:
        return await self.queue.get()


class Stream:
    """What an agent gets of Faust, as far as deliveries need it."""

    def __init__(self) -> None:
        flow = FlowControlEvent(initially_suspended=False)
        self.queue = ThrowableQueue[Any](maxsize=8, flow_control=flow, clear_on_resume=True)
        self.channel = Channel(self.queue)
        self.should_stop = False
        self.lists: AsyncIterator[list[Any]]
        self.app = SimpleNamespace(
            flow_control=flow,
            consumer_generation_id=3,
        )

    async def maybe_start(self) -> None:
        pass

    def put(self, *offsets: int, generation: int = 3) -> None:
        for offset in offsets:
            message = SimpleNamespace(offset=offset, generation_id=generation)
            self.queue.force_put_nowait(SimpleNamespace(message=message))


def run(test: Callable[[Stream, Callable[..., Awaitable[list[int]]]], Awaitable[None]], within: float) -> None:
    async def main() -> None:
        stream = Stream()
        lists = stream.lists = Deliveries(stream).take(4, within)

        async def following() -> list[int]:
            return [event.message.offset for event in await anext(lists)]

        await asyncio.wait_for(test(stream, following), 60)

    asyncio.run(main())


def test_a_full_list_does_not_wait_and_a_short_one_comes_in_time() -> None:
    async def test(stream: Stream, following: Callable[..., Awaitable[list[int]]]) -> None:
        stream.put(*range(6))
        assert await following() == [0, 1, 2, 3]
        asyncio.get_running_loop().call_later(0.02, stream.put, 6)
        assert await following() == [4, 5, 6]

    run(test, within=0.5)


def test_what_came_during_the_work_has_waited_already() -> None:
    async def test(stream: Stream, following: Callable[..., Awaitable[list[int]]]) -> None:
        stream.put(*range(4))
        assert await following() == [0, 1, 2, 3]
        stream.put(4)
        await asyncio.sleep(1.0)  # the work
        asyncio.get_running_loop().call_later(0.5, stream.put, 5)
        assert await following() == [4]
        assert await following() == [5]

    run(test, within=1.0)


def test_nothing_of_before_a_rebalance_is_given() -> None:
    async def test(stream: Stream, following: Callable[..., Awaitable[list[int]]]) -> None:
        stream.put(1, generation=2)
        stream.put(2)
        stream.put(3, generation=2)
        assert await following() == [2]
        stream.put(4, generation=2)
        asyncio.get_running_loop().call_later(0.1, stream.put, 5)
        assert await following() == [5]
        stream.app.flow_control.suspend()
        stream.put(6)
        asyncio.get_running_loop().call_later(0.1, stream.app.flow_control.resume)  # which empties the queue
        asyncio.get_running_loop().call_later(0.2, stream.put, 7)
        assert await following() == [7]

    run(test, within=0.0)


def test_an_error_of_the_queue_ends_the_agent() -> None:
    async def test(stream: Stream, following: Callable[..., Awaitable[list[int]]]) -> None:
        stream.put(1)
        assert await following() == [1]
        await stream.queue.throw(RuntimeError("broken"))
        with pytest.raises(RuntimeError, match="broken"):
            await following()

    run(test, within=0.0)


def test_a_stopped_agent_gets_no_more_lists() -> None:
    async def test(stream: Stream, following: Callable[..., Awaitable[list[int]]]) -> None:
        stream.put(1)
        assert await following() == [1]
        asyncio.get_running_loop().call_later(0.05, stream.queue._throw, StopAsyncIteration())
        with pytest.raises(StopAsyncIteration):
            await anext(stream.lists)

    run(test, within=0.0)
