"""A bucket is called clean only when every series that came late to it was recomputed."""

import numpy as np

from fleetpulse.settings import IngestSettings
from fleetpulse.windows.engine import MINUTE_MS
from stream_processors.ingest.intake import Chunk, Reader
from stream_processors.ingest.partition import Gathered, Partition, Work

START = 1_700_000_000_000 // MINUTE_MS * MINUTE_MS
MINUTE = START // MINUTE_MS
NOW = START + 5 * MINUTE_MS
READER = Reader(IngestSettings(), 1)


def late() -> Partition:
    """A partition in which series 0 came late, and its bucket was given out."""
    partition = Partition(0, 30_000)
    for number in range(2):
        partition.registry.add(f"m{number}", number + 1, "host", START)
    partition.next_offset = 0
    partition.close(NOW, 0.0)
    send(partition, 0, START)
    partition.close(NOW, 0.0)
    return partition


def send(partition: Partition, dense: int, ts: int) -> None:
    gathered = Gathered(np.array([dense], dtype=np.int32), np.array([ts]), np.array([1.0]))
    partition.apply(gathered, Chunk(READER, 0, 0, partition.next_offset + 1, False, NOW, NOW))


def test_a_series_that_came_late_after_the_last_close_keeps_its_bucket_dirty() -> None:
    partition = late()
    send(partition, 1, START + 1000)  # stored, and recomputed only after the next close
    assert partition.take_work() == [Work([MINUTE], [1], [], 2)]
    assert partition.take_work() == []
    partition.close(NOW, 0.0)
    assert partition.take_work() == [Work([MINUTE], [2], [MINUTE], 2)]


def test_what_comes_late_while_a_bucket_is_recomputed_makes_it_dirty_again() -> None:
    partition = late()
    assert partition.take_work() == [Work([MINUTE], [1], [MINUTE], 1)]
    send(partition, 0, START + 1000)
    _, clean = partition.close(NOW, 0.0)
    assert clean == []
    assert partition.dirty_since is not None
    assert partition.take_work() == [Work([MINUTE], [1], [MINUTE], 2)]
