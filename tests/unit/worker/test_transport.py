"""What Faust's fetcher waits for: no task where nothing has to be waited for, and otherwise just what mode does."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from stream_processors.transport import TriesFirst


class Waiter(TriesFirst):
    """A mode service with nothing to do."""


def run(test: Callable[[Waiter], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(test(Waiter()), 30)

    asyncio.run(main())


async def never() -> None:
    await asyncio.Event().wait()


def test_what_need_not_wait_makes_no_task() -> None:
    async def work() -> str:
        return "done"

    async def test(waiter: Waiter) -> None:
        before = len(asyncio.all_tasks())
        other = never()
        result = await waiter.wait_first(work(), other)
        assert (result.results, result.stopped) == (["done"], False)
        assert len(asyncio.all_tasks()) == before
        with pytest.raises(RuntimeError, match="reuse"):
            other.send(None)

    run(test)


def test_what_waits_goes_on_where_it_was() -> None:
    async def test(waiter: Waiter) -> None:
        gate, steps = asyncio.Event(), list[str]()

        async def work() -> int:
            steps.append("begun")
            await gate.wait()
            await asyncio.sleep(0)
            try:
                await asyncio.wait_for(never(), 0.001)
            except TimeoutError:
                steps.append("timed out")
            return 7

        asyncio.get_running_loop().call_later(0.01, gate.set)
        result = await waiter.wait_first(work(), never())
        assert (result.results, steps) == ([7], ["begun", "timed out"])

    run(test)


@pytest.mark.parametrize("waits", [False, True])
def test_an_error_comes_out(waits: bool) -> None:
    async def work() -> None:
        if waits:
            await asyncio.sleep(0.001)
        raise ZeroDivisionError

    async def test(waiter: Waiter) -> None:
        with pytest.raises(ZeroDivisionError):
            await waiter.wait_first(work(), never())

    run(test)


def test_the_other_one_may_be_first_and_the_work_is_cancelled_where_it_waits() -> None:
    async def test(waiter: Waiter) -> None:
        ended = asyncio.Event()

        async def work() -> None:
            try:
                await never()
            finally:
                ended.set()

        async def other() -> str:
            await asyncio.sleep(0.001)
            return "suspended"

        result = await waiter.wait_first(work(), other())
        assert result.results == ["suspended"]
        await ended.wait()

    run(test)


def test_a_stopped_service_waits_for_nothing() -> None:
    async def test(waiter: Waiter) -> None:
        waiter._stopped.set()
        result = await waiter.wait_first(never(), never())
        assert result.stopped

    run(test)
