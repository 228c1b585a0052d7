"""A partition that pauses in the middle of a fetch: what was fetched still arrives, in Faust's own consumer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from faust.types import TP

from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from stream_processors.worker import Worker

FETCHED = list(range(5))


def test_a_pause_keeps_what_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asyncio.run(taken(monkeypatch, lambda worker: worker.pause([0]))) == FETCHED


def test_faust_alone_throws_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason for `Worker.pause`; when this fails, Faust was mended."""

    def pause(worker: Worker) -> None:
        worker.app.consumer.pause_partitions({TP(worker.topic_name, 0)})

    assert asyncio.run(taken(monkeypatch, pause)) == FETCHED[:2]


async def taken(monkeypatch: pytest.MonkeyPatch, pause: Callable[[Worker], None]) -> list[int]:
    """What Faust hands over of one fetch, paused after the second record."""
    worker = Worker("ingest", KafkaSettings(), Topic.METRICS, SelfMetrics())
    consumer: Any = worker.app.consumer
    partition = TP(worker.topic_name, 0)

    async def fetch(**_: Any) -> dict[TP, list[int]]:
        return {partition: FETCHED}

    monkeypatch.setattr(consumer, "_getmany", fetch)
    monkeypatch.setattr(consumer, "_to_message", lambda _, record: record)
    monkeypatch.setattr(consumer, "highwater", lambda _: len(FETCHED))
    consumer.resume_flow()
    consumer._set_active_tps({partition})
    found: list[int] = []
    async for _, record in consumer.getmany(1.0):
        found.append(record)
        if len(found) == 2:
            pause(worker)
    return found
