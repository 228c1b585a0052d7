"""A bucket is called clean only when every series that came late to it was recomputed."""

import numpy as np

from fleetpulse.settings import IngestSettings
from fleetpulse.windows.engine import MINUTE_MS
from stream_processors.ingest.intake import Chunk, Reader
from stream_processors.ingest.partition import Gathered, Partition, Work

START = 1_700_000_000_000 // MINUTE_MS * MINUTE_MS
READER = Reader(IngestSettings(), 1)


def test_a_series_that_came_late_after_the_last_close_keeps_its_bucket_dirty() -> None:
    partition = Partition(0, 30_000)
    for number in range(2):
        partition.registry.add(f"m{number}", number + 1, "host", START)

    def send(dense: int, ts: int, now: int) -> None:
        gathered = Gathered(np.array([dense], dtype=np.int32), np.array([ts]), np.array([1.0]))
        partition.apply(gathered, Chunk(READER, 0, 0, partition.next_offset + 1, False, now, now))

    now = START + 5 * MINUTE_MS
    partition.close(now, 0.0)
    send(0, START, now)
    partition.close(now, 0.0)
    [first] = partition.work()
    send(1, START + 1000, now)  # stored, and recomputed only after the next close

    minute = START // MINUTE_MS
    assert first == Work([minute], [1])
    assert partition.repaired(first.minutes) == []

    partition.close(now, 0.0)
    [second] = partition.work()
    assert second == Work([minute], [2])
    assert partition.repaired(second.minutes) == [minute]
