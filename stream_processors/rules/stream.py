"""The Faust side of the rules worker: messages in, acknowledgements out. All else is in `flow`."""

import asyncio
from contextlib import suppress
from typing import Any

from faust.types import TP

from stream_processors.deliveries import Deliveries
from stream_processors.rules.flow import EndFetched, Flow, StillMember
from stream_processors.rules.rules_topic import RulesTopic
from stream_processors.worker import Worker

MESSAGES_AT_ONCE = 512
WITHIN_SECONDS = 0.25  # of the second that an alert may take: ticks that are evaluated together cost a fraction
HEARTBEAT_SECONDS = 10.0


def attach(worker: Worker, flow: Flow, rules: RulesTopic) -> None:
    """Give the worker its agent and its tasks."""
    worker.on_assigned.append(flow.keep_only)

    @worker.app.agent(worker.topic, concurrency=1)  # type: ignore[untyped-decorator]
    async def take(stream: Any) -> None:
        deliveries = Deliveries(stream)
        async for events in deliveries.take(MESSAGES_AT_ONCE, WITHIN_SECONDS):
            await flow.take(deliveries, worker.inbox.take(events))

    @worker.app.task  # type: ignore[untyped-decorator]
    async def watch() -> None:
        await flow.watch()

    @worker.app.task  # type: ignore[untyped-decorator]
    async def follow() -> None:
        await rules.follow(flow.replace_rules)


def end_fetched(worker: Worker) -> EndFetched:
    """When Kafka last said that a partition ends at this offset: wall time in ms of that fetch."""

    def asked(partition: int, next_offset: int) -> int | None:
        tp = TP(worker.topic_name, partition)
        with suppress(Exception):  # before the first assignment Faust has no consumer
            consumer = worker.app.consumer._thread._ensure_consumer()
            if worker.inbox.oldest(partition) is None and consumer.highwater(tp) == next_offset:
                fetched_ms: int | None = consumer.last_poll_timestamp(tp)
                return fetched_ms
        return None

    return asked


def still_member(worker: Worker) -> StillMember:
    """Whether the group's coordinator, asked now, has us in the generation of the last assignment, and wants no other.

    False also when it does not answer.
    """

    async def asked() -> bool:
        with suppress(Exception):  # before the first assignment Faust has no consumer
            thread = worker.app.consumer._thread
            coordinator = thread._ensure_consumer()._coordinator
            member = coordinator.member_id
            alive: bool = await asyncio.wait_for(thread.call_thread(coordinator._do_heartbeat), HEARTBEAT_SECONDS)
            return alive and coordinator.member_id == member and not coordinator._rejoin_needed_fut.done()
        return False

    return asked
