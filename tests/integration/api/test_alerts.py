"""`alerts`, `alerts/history` and Prometheus' `/api/v1/alerts`."""

from typing import Any

import httpx
import msgspec
import pytest

from fleetpulse.clock import to_rfc3339
from fleetpulse.events import AlertEvent
from tests.support.databases import Database
from tests.support.stored import event_at, store_events

pytestmark = pytest.mark.servers

T0 = 1_795_430_000_000
ALERTS = "/api/fleet/v1/alerts"


@pytest.fixture(scope="module")
def events(database: Database) -> list[AlertEvent]:
    """Two hosts: web-1 fired, grew and still fires; db-1 fired and recovered. Each event is stored twice."""
    events = [
        event_at("web-1", T0),
        event_at("db-1", T0 + 1000),
        flapping(event_at("web-1", T0, 2, T0 + 60_000, severity="critical")),
        event_at("db-1", T0 + 1000, 2, T0 + 61_000, resolved=True),
    ]
    store_events(database.url, events)
    store_events(database.url, events)
    return events


def flapping(event: AlertEvent) -> AlertEvent:
    return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, flapping=True))


def kept(event: AlertEvent) -> dict[str, Any]:
    """What the history keeps of an event: all of it."""
    found: dict[str, Any] = msgspec.to_builtins(event)
    return found


def test_lists_what_fires_with_its_latest_event(client: httpx.Client, events: list[AlertEvent]) -> None:
    answer = client.get(ALERTS)

    assert answer.json()["alerts"] == [kept(events[2])]
    assert client.get(ALERTS, params={"host": "db-1"}).json()["alerts"] == []


def test_prometheus_shape(client: httpx.Client, events: list[AlertEvent]) -> None:
    answer = client.get("/api/v1/alerts")

    assert answer.json() == {
        "status": "success",
        "data": {
            "alerts": [
                {
                    "activeAt": to_rfc3339(T0),
                    "annotations": events[2].data.annotations,
                    "labels": events[2].data.labels,
                    "state": "firing",
                    "value": "0.91",
                }
            ]
        },
    }


def test_history_is_newest_first_and_each_event_once(client: httpx.Client, events: list[AlertEvent]) -> None:
    answer = client.get(f"{ALERTS}/history")

    assert answer.json() == {"events": [kept(event) for event in reversed(events)], "next": None}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"host": "db-1"}, [3, 1]),
        ({"since": to_rfc3339(T0 + 1000), "until": to_rfc3339(T0 + 61_000)}, [2, 1]),
        ({"since": (T0 + 60_000) / 1000}, [3, 2]),
        ({"host": "' OR 1 = 1 OR '"}, []),
    ],
)
def test_history_filters(
    client: httpx.Client, events: list[AlertEvent], parameters: dict[str, Any], expected: list[int]
) -> None:
    answer = client.get(f"{ALERTS}/history", params=parameters)

    assert [event["id"] for event in answer.json()["events"]] == [events[number].id for number in expected]


@pytest.mark.parametrize(
    ("parameters", "parameter"),
    [
        ({"since": 200, "until": 100}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"until": "99999999999"}, "until"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "LzEvMg"}, "cursor"),
        ({"limit": 100_000}, "limit"),
    ],
)
def test_a_wrong_parameter_is_named(client: httpx.Client, parameters: dict[str, Any], parameter: str) -> None:
    answer = client.get(f"{ALERTS}/history", params=parameters)

    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]
