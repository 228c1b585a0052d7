"""What a new owner of a partition reads before it goes on: its alerts' states, and the samples of the rules' windows.

Only Kafka is needed. Windows longer than a quarter of an hour hold their alerts' state until their past has come from
ClickHouse (`warm_up.py`), or they have been seen.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from fleetpulse.errors import FatalError, FrameError
from fleetpulse.kafka_config import aiokafka_config
from fleetpulse.logs import log_fields
from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import Expr, reach_ms
from fleetpulse.rules.evaluator import DEFAULT_LOOKBACK_MS
from fleetpulse.rules.model import RuleSet
from fleetpulse.rules.needs import reread_ms
from fleetpulse.rules.partition import Outcome, PartitionRules
from fleetpulse.rules.state import Saved, read_records
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES, Topic
from stream_processors.inbox import Message

log = logging.getLogger(__name__)

MARGIN_MS = 10_000
SILENCE_MARGIN_MS = 60_000
LONGEST_MS = 3_600_000  # of functions that need every sample, as quantiles do
LONGEST_MERGED_MS = 900_000
FETCH_MS = 500

Call = Callable[..., Awaitable[Any]]  # runs a function on the rules' thread


@dataclass(frozen=True, slots=True)
class Position:
    """Where the partition goes on: the next offset, and the append time of the message before it."""

    next_offset: int
    append_ms: int


def warm_ms(pack: RuleSet) -> int:
    """How much is read again: the longest window (at least the lookback) or `no_data`, up to an hour.

    Of windows over a quarter of an hour only what must be in memory as samples: their past comes from ClickHouse.
    """
    reaches = [_reread_ms(parse(rule.expr)) + MARGIN_MS for rule in pack.rules]
    silences = [rule.no_data_ms + SILENCE_MARGIN_MS for rule in pack.alerts if rule.no_data_ms is not None]
    return min(LONGEST_MS, max([DEFAULT_LOOKBACK_MS + MARGIN_MS, *reaches, *silences]))


def _reread_ms(expr: Expr) -> int:
    whole_ms = reach_ms(expr, DEFAULT_LOOKBACK_MS)
    return whole_ms if whole_ms <= LONGEST_MERGED_MS else reread_ms(expr, DEFAULT_LOOKBACK_MS)


async def recover(
    kafka: KafkaSettings, group: str, rules: PartitionRules, pack: RuleSet, partition: int, call: Call, acked: int = -1
) -> Outcome:
    """Bring `rules` to where the last owner was; the outcome is to be written before anything else.

    1. state, committed, to the end; 2. the position: the state's mark, the group's offset, or `acked`, which is on
    its way to the group, whichever is furthest;
    3. the samples of `warm_ms` before it, filled in without evaluating; 4. the alerts.
    Raises KafkaError when Kafka does not answer: try again from the start with new `rules`.
    """
    saved = await read_state(kafka, partition)
    metrics = TopicPartition(Topic.METRICS.named(kafka.topic_prefix), partition)
    async with _consumer(kafka, metrics) as consumer:
        position = await _position(kafka, group, consumer, metrics, saved, acked)
        if position is None:
            return Outcome()
        filled_from_ms = position.append_ms - warm_ms(pack)
        first = await _first_offset(consumer, metrics, filled_from_ms, position.next_offset)
        await call(rules.start, 0 if first == 0 else filled_from_ms)
        messages = 0
        async for batch in _read(consumer, metrics, first, position.next_offset):
            messages += len(batch)
            await call(rules.fill, batch)
    outcome: Outcome = await call(rules.restore, saved, position.next_offset, position.append_ms, filled_from_ms)
    facts = {"partition": partition, "offset": position.next_offset, "alerts": len(saved.alerts), "reread": messages}
    log.info("recovered", extra=log_fields(**facts))
    return outcome


async def read_state(kafka: KafkaSettings, partition: int) -> Saved:
    """The committed records of `fleetpulse.alerts-state`. Raises FatalError when one of them cannot be read."""
    states = TopicPartition(Topic.ALERTS_STATE.named(kafka.topic_prefix), partition)
    messages: list[Message] = []
    async with _consumer(kafka, states) as consumer:
        first, end = await _bounds(consumer, states)
        async for batch in _read(consumer, states, first, end):
            messages += batch
    try:
        return read_records((message.key, message.value) for message in messages)
    except FrameError as error:
        raise FatalError(_unreadable(messages, error)) from error


def _unreadable(messages: list[Message], error: FrameError) -> str:
    latest = {message.key: message for message in messages}
    for message in latest.values():
        with suppress(FrameError):
            read_records([(message.key, message.value)])
            continue
        return (
            f"topic {message.topic}, partition {message.partition}, offset {message.offset}, key {message.key!r:.200}: "
            f"{error}. Start the version of fleetpulse that wrote it; or, to give up what this record remembers (its "
            "alert is evaluated anew), write a record with this key and without a value to this partition"
        )
    return str(error)


async def _position(
    kafka: KafkaSettings, group: str, consumer: AIOKafkaConsumer, metrics: TopicPartition, saved: Saved, acked: int
) -> Position | None:
    first, end = await _bounds(consumer, metrics)
    admin = AIOKafkaAdminClient(**aiokafka_config(kafka))
    await admin.start()
    try:
        committed = (await admin.list_consumer_group_offsets(group, partitions=[metrics])).get(metrics)
    finally:
        await admin.close()
    marked = saved.mark.next_offset if saved.mark else -1
    next_offset = max(acked, marked, committed.offset if committed is not None else -1)
    if next_offset < 0:
        return None
    if next_offset > end:
        facts = {"partition": metrics.partition, "applied": next_offset, "end": end}
        log.error("the topic is shorter than what was applied: it was made anew", extra=log_fields(**facts))
        next_offset = first
    if saved.mark is not None and saved.mark.next_offset == next_offset:
        return Position(next_offset, saved.mark.append_ms)
    if next_offset > first:
        async for batch in _read(consumer, metrics, next_offset - 1, next_offset):
            return Position(next_offset, batch[-1].append_ms)
    return Position(next_offset, saved.mark.append_ms) if saved.mark else None


async def _first_offset(consumer: AIOKafkaConsumer, metrics: TopicPartition, from_ms: int, before: int) -> int:
    found = (await consumer.offsets_for_times({metrics: max(0, from_ms)})).get(metrics)
    return before if found is None else min(int(found.offset), before)


async def _bounds(consumer: AIOKafkaConsumer, tp: TopicPartition) -> tuple[int, int]:
    first = (await consumer.beginning_offsets([tp]))[tp]
    end = (await consumer.end_offsets([tp]))[tp]
    return first, end


async def _read(consumer: AIOKafkaConsumer, tp: TopicPartition, first: int, end: int) -> AsyncIterator[list[Message]]:
    # The position also moves over what is not delivered: the markers of transactions and aborted records.
    consumer.seek(tp, first)
    while await consumer.position(tp) < end:
        records = (await consumer.getmany(tp, timeout_ms=FETCH_MS)).get(tp, [])
        batch = [_message(record) for record in records if record.offset < end]
        if batch:
            yield batch
        if len(batch) < len(records):
            return


def _message(record: Any) -> Message:
    return Message(
        record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers
    )


@asynccontextmanager
async def _consumer(kafka: KafkaSettings, tp: TopicPartition) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **aiokafka_config(kafka),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
    )
    await consumer.start()
    try:
        consumer.assign([tp])
        yield consumer
    finally:
        await consumer.stop()
