"""When an hour is due: once it is over and its minutes are clean, and not for ever without them."""

import pytest
from clickhouse_driver import Client

from fleetpulse.storage import hours
from fleetpulse.storage.hours import Touched
from stream_processors.ingest.hour_progress import LONGEST_PAUSES, PartitionProgress

HOUR = 500_000 * 3600
LATENESS, SETTLE = 60.0, 30.0


@pytest.fixture
def progress(monkeypatch: pytest.MonkeyPatch) -> PartitionProgress:
    """A partition of which every minute was touched in its time, from the hour's beginning to its end."""
    monkeypatch.setattr(hours, "read_hour_marks", lambda *_: {})
    progress = PartitionProgress(Client("127.0.0.1"), "topic", 0, LATENESS)  # nothing connects
    progress.note(Touched({}, 0), 0.0)
    for minute in range(60):
        progress.note(Touched({HOUR + 60 * minute: minute + 1}, minute + 1), 60.0 * minute)
    return progress


def due(progress: PartitionProgress, after: float) -> bool:
    """So long after the hour's end."""
    return HOUR in progress.due(HOUR + 3600 + after, 3600 + after, SETTLE)


def test_an_hour_waits_for_its_minutes_from_its_end_on(progress: PartitionProgress) -> None:
    assert not due(progress, LATENESS + SETTLE * LONGEST_PAUSES - 1)
    assert due(progress, LATENESS + SETTLE * LONGEST_PAUSES)


def test_a_clean_hour_is_due_when_it_is_over(progress: PartitionProgress) -> None:
    progress.note_clean({HOUR + 60 * minute: 100 for minute in range(60)})
    assert not due(progress, LATENESS - 1)
    assert due(progress, LATENESS)
    assert progress.clean(HOUR)
