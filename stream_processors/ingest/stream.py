"""The Faust side of ingest: messages in, acknowledgements out. All else is in `intake`, `sink` and `flow`."""

from typing import Any

from stream_processors.deliveries import Deliveries
from stream_processors.ingest.flow import Flow
from stream_processors.ingest.intake import Intake
from stream_processors.worker import Worker

MESSAGES_AT_ONCE = 64
WITHIN_SECONDS = 0.1


def attach(worker: Worker, intake: Intake, flow: Flow) -> None:
    """Give the worker its agent and its task."""
    worker.on_assigned.append(flow.keep_only)

    @worker.app.agent(worker.topic, concurrency=1)  # type: ignore[untyped-decorator]
    async def take(stream: Any) -> None:
        deliveries = Deliveries(stream)
        async for events in deliveries.take(MESSAGES_AT_ONCE, WITHIN_SECONDS):
            for message in worker.inbox.take(events):
                intake.take(message)
            await flow.gathered(deliveries)

    @worker.app.task  # type: ignore[untyped-decorator]
    async def store() -> None:
        await flow.run()
