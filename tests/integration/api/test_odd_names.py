"""Names that somebody could mistake for SQL, a path or a pattern."""

import time
from urllib.parse import quote

import httpx
import pytest

from tests.support.databases import Database
from tests.support.stored import store

pytestmark = pytest.mark.servers

HOSTS = "/api/fleet/v1/hosts"


def test_a_host_with_odd_letters_in_its_name(client: httpx.Client, database: Database) -> None:
    name = "rack/7 'blue' \"x\" \\n% ü {a:String}"
    store(database.url, [("up", {"host": name, "job": "node"}, [(int(time.time() * 1000), 1.0)])])
    path = client.get(HOSTS).json()["hosts"][0]["host"]
    assert path == name

    detail = client.get(f"{HOSTS}/{quote(name, safe='')}")
    series = client.get(f"{HOSTS}/{quote(name, safe='')}/series")

    assert detail.json()["host"] == name
    assert series.json()["series"][0]["labels"] == {"host": name, "job": "node"}
