"""The Faust side of history: messages in, acknowledgements out. All else is in `rows`, `sink` and `flow`."""

from typing import Any

from stream_processors.deliveries import Deliveries
from stream_processors.history.flow import Flow
from stream_processors.worker import Worker

MESSAGES_AT_ONCE = 1000
WITHIN_SECONDS = 0.2


def attach(worker: Worker, flow: Flow) -> None:
    """Give the worker its agent."""

    @worker.app.agent(worker.topic, concurrency=1)  # type: ignore[untyped-decorator]
    async def take(stream: Any) -> None:
        deliveries = Deliveries(stream)
        async for events in deliveries.take(MESSAGES_AT_ONCE, WITHIN_SECONDS):
            await flow.take(deliveries, worker.inbox.take(events))
