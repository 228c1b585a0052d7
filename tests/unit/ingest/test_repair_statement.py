"""The recompute of late series is a statement that ClickHouse reads."""

from typing import Any

from fleetpulse.storage.repair import MINUTES_AT_ONCE, repair
from stream_processors.ingest.partition import WHOLE_ABOVE

MAX_QUERY_SIZE = 262_144  # bytes, ClickHouse's default: a longer statement is refused whenever it is tried again


class Recorder:
    """Takes statements."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def execute(self, statement: str, **_: Any) -> None:
        self.statements.append(statement)


def test_the_most_series_that_are_named_fit_into_a_statement() -> None:
    client = Recorder()
    newest = (1 << 32) // 60 - MINUTES_AT_ONCE
    ids = [(1 << 64) - 1 - number for number in range(WHOLE_ABOVE)]
    repair(client, range(newest, newest + MINUTES_AT_ONCE), ids, (0, 1), 1 << 39)
    assert len(client.statements) == 1
    assert len(client.statements[0].encode()) < MAX_QUERY_SIZE
