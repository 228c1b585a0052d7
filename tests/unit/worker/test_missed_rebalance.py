"""A worker that comes back as another member, or missed a rebalance of its group, keeps nothing from before."""

import asyncio

import pytest
from faust.types import TP

from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from stream_processors.worker import Worker


@pytest.mark.parametrize(
    ("member", "generation", "kept"),
    [
        ("a", 5, [{0, 1}]),
        ("b", 5, [set(), {0, 1}]),  # expelled, and joined again
        ("a", 6, [set(), {0, 1}]),  # others were given our partitions in 5, and we never heard of it
        ("a", -1, [set(), {0, 1}]),
    ],
)
def test_what_others_may_have_worked_on_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, member: str, generation: int, kept: list[set[int]]
) -> None:
    worker = Worker("rules", KafkaSettings(), Topic.METRICS, SelfMetrics())
    found: list[set[int]] = []

    def assign(member: str, generation: int) -> None:
        monkeypatch.setattr(worker, "_member_id", lambda: member)
        worker.app.consumer_generation_id = generation
        asyncio.run(worker._assigned(worker.app, {TP(worker.topic_name, number) for number in (0, 1)}))

    assign("a", 4)
    worker.on_assigned.append(lambda owned: found.append(set(owned)))
    assign(member, generation)
    assert found == kept
