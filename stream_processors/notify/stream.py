"""The Faust side of the notifier: the assignment of one partition says whose turn it is to notify.

The messages there are the notifier's own state, which it reads itself: they are acknowledged as they come.
"""

from typing import Any

from stream_processors.deliveries import Deliveries
from stream_processors.notify.flow import Flow
from stream_processors.worker import Worker

MESSAGES_AT_ONCE = 1000
WITHIN_SECONDS = 0.5


def attach(worker: Worker, flow: Flow) -> None:
    """Give the worker its agent, and the flow its turns."""
    worker.on_assigned.append(flow.own)

    @worker.app.agent(worker.topic, concurrency=1)  # type: ignore[untyped-decorator]
    async def take(stream: Any) -> None:
        deliveries = Deliveries(stream)
        async for events in deliveries.take(MESSAGES_AT_ONCE, WITHIN_SECONDS):
            messages = worker.inbox.take(events)
            for partition in {message.partition for message in messages}:
                newest = max(message.offset for message in messages if message.partition == partition)
                await worker.inbox.acknowledge(deliveries, partition, newest + 1)
