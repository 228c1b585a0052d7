"""The short ways to an agent's queue and of an acknowledgement do just what Faust's own do, in Faust's own objects."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.structs import TopicPartition
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from stream_processors.worker import Worker


def message(name: str, offset: int) -> ConsumerMessage:
    tp: Any = TopicPartition(name, 0)  # what aiokafka gives
    return ConsumerMessage(name, 0, offset, 1.5, 0, [], b"k", b"v%d" % offset, None, tp=tp, generation_id=4)


async def subscribed(agents: int = 1) -> tuple[Worker, Any, Any]:
    """A worker, its consumer, and the queue of the first of its agents; the flow is open."""
    worker = Worker("ingest", KafkaSettings(), Topic.METRICS, SelfMetrics())
    app: Any = worker.app
    tp = TP(worker.topic_name, 0)
    channels = [worker.topic.clone(is_iterator=True) for _ in range(agents)]
    app.topics._topics.update(channels)
    app.topics._tp_index[tp].update(channels)
    app.topics._update_callback_map()
    app.topics._acking_topics.add(tp.topic)
    app.flow_control.resume()
    app.consumer._set_active_tps({tp})
    return worker, app.consumer, channels[0].queue


async def deliver(callback: Callable[[Any], Any], worker: Worker, offset: int, waiting: list[Any]) -> None:
    stop = asyncio.Event()
    consumer: Any = worker.app.consumer
    work: Awaitable[Any] = consumer.wait_first(callback(message(worker.topic_name, offset)), stop.wait())
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if not task.done():
        waiting.append(task)


async def seen(short: bool, messages: int) -> tuple[Any, ...]:
    """What is in the queue, and which partitions are fetched, after messages and again when half of them are taken."""
    worker, consumer, queue = await subscribed()
    callback = consumer.callback if short else consumer._through_faust
    waiting: list[Any] = []
    for offset in range(messages):
        await deliver(callback, worker, offset, waiting)
    full = set(consumer._buffered_partitions)
    events = []
    while not queue.empty():
        event = queue.get_nowait()
        events.append((event.key, event.value, event.message.offset, event.message.refcount))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert all(isinstance(tp, TP) for tp in consumer._get_active_partitions() | full)
    waits = len(waiting)
    await asyncio.wait_for(asyncio.gather(*waiting), 30)
    return events, full, set(consumer._get_active_partitions()), waits


def test_the_queue_gets_what_it_gets_of_faust() -> None:
    for messages in (1, 100, 255, 256, 257):
        short, faust = asyncio.run(seen(True, messages)), asyncio.run(seen(False, messages))
        assert short == faust
        assert len(short[0]) == messages
        assert short[3] == max(0, messages - 256)


def test_a_closed_flow_and_a_second_agent_are_left_to_faust() -> None:
    async def main() -> None:
        worker, consumer, queue = await subscribed()
        worker.app.flow_control.suspend()
        waiting: list[Any] = []
        await deliver(consumer.callback, worker, 1, waiting)
        assert queue.empty()
        worker.app.flow_control.resume()
        await asyncio.wait_for(asyncio.gather(*waiting), 30)
        assert queue.get_nowait().message.refcount == 1
        worker, consumer, queue = await subscribed(agents=2)
        await deliver(consumer.callback, worker, 1, waiting := [])
        assert waiting == []
        assert queue.get_nowait().message.refcount == 2

    asyncio.run(main())


def test_an_acknowledgement_is_committed_as_one_of_faust() -> None:
    async def main() -> None:
        chance = random.Random(3)
        for _ in range(50):
            pairs = [await subscribed() for _ in range(2)]
            offsets = [chance.randrange(40, 60) for _ in range(chance.randrange(1, 40))]
            committed = chance.choice((None, 45))
            results: list[tuple[Any, ...]] = []
            for short, (worker, consumer, _) in zip((True, False), pairs, strict=True):
                tp = TP(worker.topic_name, 0)
                consumer._committed_offset[tp] = committed
                messages = [message(worker.topic_name, offset) for offset in offsets]
                for one in (*messages, *messages[:5]):
                    one.refcount = 1
                    done = consumer.done(one) if short else one.ack(consumer)
                    results.append((short, one.offset, done))
                results += [
                    (short, consumer._n_acked, sorted(consumer._acked_index[tp])),
                    (short, consumer._new_offset(tp)),
                ]
            assert [result[1:] for result in results if result[0]] == [
                result[1:] for result in results if not result[0]
            ]

    asyncio.run(main())
