"""What is kept for each host goes when the host is gone."""

from stream_processors.ingest.seen import SeenHosts, SeenRow

NOW = 1_700_000_000_000


class Written:
    """Takes rows."""

    def execute(self, statement: str, rows: list[SeenRow]) -> None:
        assert rows


def test_a_host_whose_last_message_came_soon_after_its_last_row() -> None:
    seen = SeenHosts()
    seen.note({"pod": NOW})
    seen.insert(Written(), seen.due())
    seen.note({"pod": NOW + 5_000})
    seen.forget(NOW + 5_000)
    assert len(seen) == 1
    seen.forget(NOW + 3_600_000)
    assert len(seen) == 0


def test_a_host_whose_last_row_is_not_written_yet_is_kept() -> None:
    seen = SeenHosts()
    seen.note({"pod": NOW})
    seen.forget(NOW + 3_600_000)
    assert [row[0] for row in seen.due()] == ["pod"]
