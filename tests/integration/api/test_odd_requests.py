"""Every parameter of every operation, as OpenAPI lists them, with values that nobody should send: never a 500."""

import itertools
import json
import random
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from api import models
from api.openapi import document
from tests.support.api_errors import assert_foreign_error
from tests.support.databases import Database
from tests.support.stored import event_at, store, store_events

pytestmark = pytest.mark.servers


T0 = 1_795_430_000_000
ODD = [
    "", " ", "0", "-1", "1", "1e9", "NaN", "Infinity", "null", "true", "[]", "{}", "a" * 5000, "9" * 30, "0x10",
    "'", "''", '"', "\\", "\\'", "`", ";", "--", "/*", "' OR '1'='1", "'); DROP TABLE samples --", "{host:String}",
    "%(x)s", "%s", "$1", "?", "../../etc/passwd", "\u0000", "\r\nX-Injected: 1", "\u2028", "é", "日本", "🙈", "\ud7ff",
    'a="b"', 'a=~"("', 'a=~"' + "(a+)+" * 20 + '"', 'a=~"\\\\u{1F}"', 'a!~""', "2026-01-01", "2026-13-01T00:00:00Z",
    "2026-01-01T00:00:00+99:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "5m", "1y", "999999y", "up", "host:x",
]  # fmt: skip
GOOD = {
    "metric": ["node_load1"], "match": ['mode="idle"', 'mode=~".*"'], "host": ["web-1"], "start": ["1795430000"],
    "end": ["1795433600"], "step": ["60", "15s"], "aggregate": ["rate", "avg"], "limit": ["5"], "status": ["up"],
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _stored(database: Database) -> None:
    samples = [(T0 + number * 10_000, float(number)) for number in range(60)]
    store(database.url, [("node_load1", {"instance": "web-1", "mode": "idle"}, samples)])
    store_events(database.url, [event_at("web-1", T0)])


@cache
def operations() -> list[tuple[str, list[dict[str, Any]]]]:
    paths = json.loads(document())["paths"]
    found = [(path, operation["get"].get("parameters", [])) for path, operation in paths.items() if "get" in operation]
    return [(path, parameters) for path, parameters in found if parameters]


def check(answer: httpx.Response) -> None:
    request = str(answer.request.url)[:500]
    assert answer.status_code in (200, 400, 404, 422), f"{request}: {answer.status_code} {answer.text[:500]}"
    assert "X-Injected" not in answer.headers
    if answer.status_code != 200 and answer.request.url.path.startswith(("/api/v1/", "/api/v2/")):
        assert_foreign_error(answer)
        assert "DB::Exception" not in answer.text, answer.text
    elif answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json", request
        models.Problem.model_validate(answer.json())
        assert "DB::Exception" not in answer.text, answer.text
    else:
        json.loads(answer.text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON: {request}"))


@pytest.mark.parametrize(
    ("path", "parameters"), operations(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_parameter_with_each_odd_value(client: httpx.Client, path: str, parameters: list[dict[str, Any]]) -> None:
    for parameter, odd in itertools.product(dict(operations())[path], ODD):
        query = {name: values[0] for name, values in GOOD.items() if name == "metric"}
        target = path.replace("{host}", "web-1")
        if parameter["in"] == "path":
            target = path.replace("{host}", quote(odd.encode("utf-8", "surrogatepass"), safe=""))
        else:
            query[parameter["name"]] = odd
        check(client.get(target, params=query))


@pytest.mark.parametrize("seed", range(2))
def test_odd_values_together(client: httpx.Client, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        path, parameters = chance.choice(operations())
        query: dict[str, list[str]] = {"metric": ["node_load1"]}
        for parameter in parameters:
            if parameter["in"] == "query" and chance.random() < 0.5:
                pool = GOOD.get(parameter["name"], ODD) if chance.random() < 0.7 else ODD
                query[parameter["name"]] = chance.choices(pool, k=chance.randint(1, 2))
        check(client.get(path.replace("{host}", "web-1"), params=query))
    stored = client.get(
        "/api/fleet/v1/samples", params={"metric": "node_load1", "start": "1795430000", "end": "1795430600"}
    )
    assert len(stored.json()["series"]) == 1  # nothing was dropped meanwhile
