"""Paging through the history of alerts."""

import httpx
import pytest

from tests.support.databases import Database
from tests.support.stored import event_at, store_events

pytestmark = pytest.mark.servers

T0 = 1_795_430_000_000
ALERTS = "/api/fleet/v1/alerts"


def test_history_pages_meet_without_gap_or_repeat(client: httpx.Client, database: Database) -> None:
    # Ten events a millisecond, so that pages end between events of the same time.
    events = [event_at(f"host-{number}", T0 + number // 10) for number in range(25)]
    store_events(database.url, events)
    seen: list[str] = []
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor:
        answer = client.get(f"{ALERTS}/history", params={"limit": 4} | ({"cursor": cursor} if cursor else {})).json()
        seen += [event["id"] for event in answer["events"]]
        cursor = answer["next"]
        pages += 1

    assert pages == 7
    assert len(seen) == 25
    assert set(seen) == {event.id for event in events}
