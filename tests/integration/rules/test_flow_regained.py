"""What was taken before a partition was lost does not reach the state of the same partition once it is regained."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fleetpulse.partition import partition_of
from fleetpulse.rules.load import load
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.wire import Frame, encode_frame, join_keys, make_block
from stream_processors.inbox import Inbox, Message
from stream_processors.rules.flow import Flow
from stream_processors.rules.recorder import Recorder
from tests.support.alerting import alert_events, shown
from tests.support.patience import patient

pytestmark = pytest.mark.servers

RULES = """
groups:
  - name: test
    rules:
      - alert: Hot
        expr: test_value
        warning: "> 80"
"""
START_MS = int(time.time() * 1000)


class Stream:
    """Nothing was taken through the inbox, so there is nothing to acknowledge."""

    async def ack(self, event: Any) -> bool:
        raise AssertionError(event)


def message(partition: int, offset: int) -> Message:
    value = 10.0 if offset % 2 else 90.0
    block = make_block("alpha", {}, join_keys(['test_value{instance="alpha"}']), START_MS + 1000 * offset, [value])
    return Message("metrics", partition, offset, START_MS + offset, None, encode_frame(Frame(1, 0, [block])), [])


async def lose_and_regain(flow: Flow, partition: int, messages: Sequence[Message]) -> None:
    flow.keep_only([partition])
    in_hand = asyncio.ensure_future(flow.take(Stream(), messages[:2]))
    waiting = asyncio.ensure_future(flow.take(Stream(), messages[4:]))  # behind the one in hand
    await asyncio.sleep(0.01)
    flow.keep_only([])
    flow.keep_only([partition])
    await asyncio.gather(in_hand, waiting)
    await flow.take(Stream(), messages)
    await flow.drain()


def test_a_batch_begun_before_the_loss_is_dropped(topics: KafkaSettings, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    partition = partition_of("alpha", topics.partitions)

    async def still_member() -> bool:
        return True

    async def run() -> None:
        metrics = SelfMetrics()
        recorder = Recorder(topics, PublishSettings(), metrics)
        pack = load([tmp_path / "rules.yaml"])
        group = f"{topics.topic_prefix}.rules"
        flow = Flow(topics, group, pack, Inbox(), recorder, metrics, lambda number, offset: None, still_member)
        await lose_and_regain(flow, partition, [message(partition, offset) for offset in range(6)])

    asyncio.run(asyncio.wait_for(run(), patient(60.0)))
    assert shown(alert_events(topics)) == [("firing", "threshold", 1), ("resolved", "recovered", 2)] * 3
