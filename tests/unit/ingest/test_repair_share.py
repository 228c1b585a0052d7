"""Recomputing buckets leaves most of the sink's thread to the inserts."""

from collections.abc import Callable

import pytest

from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from stream_processors.ingest.partition import Partition
from stream_processors.ingest.sink import REPAIR_SECONDS, REPAIR_SHARE, Sink


class Thread:
    """A sink with three dirty partitions, the last of them for longest; each takes `seconds` to recompute."""

    def __init__(self, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.repaired: list[tuple[float, int]] = []
        monkeypatch.setattr("stream_processors.ingest.sink.time.monotonic", lambda: self.now)
        self.sink = Sink("clickhouse://127.0.0.1:1/x", "t", 3, IngestSettings(), SelfMetrics())  # nothing connects
        for number in range(3):
            partition = self.sink._partitions[number] = Partition(number, 30_000)
            partition.dirty_since = self.now - REPAIR_SECONDS - number
        monkeypatch.setattr(self.sink, "_repair", self._repair(seconds))

    def _repair(self, seconds: float) -> Callable[[Partition], list[tuple[int, int, int]]]:
        def repair(partition: Partition) -> list[tuple[int, int, int]]:
            self.repaired.append((self.now, partition.number))
            partition.dirty_since = None
            self.now += seconds
            return []

        return repair


def test_short_repairs_are_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = Thread(0.01, monkeypatch)
    thread.sink._repair_due()
    assert [number for _, number in thread.repaired] == [2, 1, 0]


def test_long_repairs_take_a_fifth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = Thread(10.0, monkeypatch)
    while len(thread.repaired) < 3:
        thread.sink._repair_due()
        thread.now += 1.0
    assert [number for _, number in thread.repaired] == [2, 1, 0]
    (first, _), _, (last, _) = thread.repaired
    assert last - first == pytest.approx(2 * 10.0 / REPAIR_SHARE, abs=3.0)
