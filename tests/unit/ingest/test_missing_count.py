"""How many messages were gone before they were read: what this worker got, what the ledger says, what comes now."""

import pytest

from stream_processors.ingest.partition import Partition


@pytest.mark.parametrize(
    ("own", "stored", "first_offset", "missing"),
    [
        (-1, None, 0, 0),
        (-1, None, 700, 0),  # the first take-over of a partition whose beginning was deleted long ago
        (-1, 40, 40, 0),
        (-1, 40, 45, 5),
        (-1, 40, 12, 0),  # stored but not acknowledged: it comes again
        (-1, 40, 0, 0),  # the topic was made anew
        (50, 40, 53, 3),  # a hole inside one batch, not yet in the ledger
        (50, 80, 80, 0),  # another owner went on in between
        (50, 80, 81, 1),
    ],
)
def test_missing(own: int, stored: int | None, first_offset: int, missing: int) -> None:
    partition = Partition(0, 30_000)
    partition.next_offset = own
    assert partition.missing_before(first_offset, stored) == missing
