"""Bodies that nobody should send, to every operation that takes one: a clear 4xx, never a 500; too long ones 413."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import pytest

from api import models
from api.openapi import document
from fleetpulse.clock import Clock
from fleetpulse.settings import ApiSettings
from tests.support.api_errors import assert_foreign_error
from tests.support.databases import Database
from tests.support.stored import store

pytestmark = pytest.mark.servers

MOST = 100_000
DEEP = 30_000
RULES = 'groups: [{name: odd, rules: [{alert: Odd, expr: "up > 2"}]}]'
WORDS: list[bytes] = [
    b"", b" ", b"{", b"nul", b"\xff\xfe{}", b'"\xc3"', b"[]", b"null", b"0", b'"text"', b"{}", b"NaN", b"[Infinity]",
    b"9" * 5000, b"1e999", b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP, b'{"text": "' + b"[" * DEEP + b'"}',
    b'{"a": 1, "a": 2}', b"\x00", b"a=b&c=d", b"groups: []",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, float("nan"), float("inf"), "", " ", "x", "a" * 20_000, "\ud800", "\u0000",
    "groups: [", "groups: []", "groups: 1", "groups: [{name: a, rules: [{alert: A, expr: " + "(" * 5000 + "}]}]",
    "&a [*a]", "- " * 5000, "{" * 5000, "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", [], [None],
    ["x"], ["\ud800"], ["\u0000"], [[]], {}, {"x": {}}, [{}], [{"name": "a", "value": "b"}],
    [{"name": "", "value": "\ud800", "isRegex": True}], [{"path": "x", "text": "\ud800"}],
    [{"name": "a", "value": "(?=b)", "isRegex": True}], "1e300", "9" * 400, "2026-13-01T00:00:00Z", "999999y",
]  # fmt: skip
GOOD: dict[str, dict[str, Any]] = {
    "silences": {"matchers": [{"name": "a", "value": "b"}], "createdBy": "ada", "comment": "x", "duration": "1h"},
    "v2": {
        "matchers": [{"name": "a", "value": "b", "isRegex": False}], "createdBy": "ada", "comment": "x",
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z", "id": "",
    },
    "backtest": {"rule": "Odd", "text": RULES, "since": "1h", "until": None, "hosts": [], "tier": None},
    "check": {"files": [{"path": "a", "text": "groups: []"}]},
    "apply": {"files": [{"path": "a", "text": RULES}], "author": "ada", "prune": None, "dry_run": False},
    "rules": {"text": RULES.replace("Odd", "Own").replace("odd", "own"), "author": "ada"},
}  # fmt: skip


@pytest.fixture(scope="module")
def limits() -> ApiSettings:
    return ApiSettings(max_body_bytes=MOST)


@pytest.fixture(scope="module", autouse=True)
def _stored(database: Database, clock: Clock) -> None:
    store(database.url, [("up", {"instance": "web-1"}, [(clock.now_ms() - 60_000, 1.0)])])


@cache
def operations() -> list[tuple[str, str]]:
    paths = json.loads(document())["paths"]
    return [
        (method.upper(), path)
        for path, found in paths.items()
        for method, operation in found.items()
        if "requestBody" in operation
    ]


def good(path: str) -> dict[str, Any]:
    return GOOD["v2"] if path.startswith("/api/v2") else next(GOOD[word] for word in GOOD if word in path)


def check(answer: httpx.Response, sent: str) -> None:
    said = f"{answer.request.method} {answer.request.url}, {sent[:200]}: {answer.status_code} {answer.text[:300]}"
    if answer.status_code in (200, 201):
        return
    if answer.status_code == 503 and answer.request.url.path.endswith("/backtest"):  # the one before still ends
        return
    assert 400 <= answer.status_code < 500, said
    if answer.request.url.path.startswith("/api/v2/"):
        assert_foreign_error(answer)
    else:
        assert answer.headers["content-type"] == "application/problem+json", said
        assert models.Problem.model_validate(answer.json()).detail, said


def send(client: httpx.Client, method: str, path: str, body: bytes) -> httpx.Response:
    path = path.replace("{name}", "own").replace("{identity}", "nothing")
    headers = {"Content-Type": "application/json", "If-Match": "*"}
    return client.request(method, path, content=body, headers=headers)


def bodies(path: str) -> Iterator[bytes]:
    yield from WORDS
    whole = good(path)
    for name in whole:
        for value in VALUES:
            yield json.dumps(whole | {name: value}).encode()


@pytest.mark.parametrize(("method", "path"), operations())
def test_odd_bodies(client: httpx.Client, method: str, path: str) -> None:
    for body in bodies(path):
        check(send(client, method, path, body), body.decode(errors="replace"))


@pytest.mark.parametrize(("method", "path"), operations())
def test_a_body_that_is_too_long_names_limit_and_setting(client: httpx.Client, method: str, path: str) -> None:
    def parts() -> Iterator[bytes]:
        yield from [b" " * 30_000] * 4

    sized = send(client, method, path, b" " * (MOST + 1))
    chunked = client.request(method, path.replace("{name}", "own").replace("{identity}", "x"), content=parts())
    for answer in (sized, chunked):
        check(answer, "spaces")
        assert answer.status_code == 413
        assert f"more than {MOST} bytes (FLEETPULSE_API_MAX_BODY_BYTES)" in answer.text
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert send(client, method, path, b" " * MOST).status_code in (400, 422)


SAID = {
    b'"\xc3"': "the body is not UTF-8",
    b"[" * DEEP: "nested too deeply",
    b"9" * 5000: "too many digits",
    b"{": "JSON decode error",
    b"[]": "",
}


@pytest.mark.parametrize("path", ["/api/v2/silences", "/api/fleet/v1/silences", "/api/fleet/v1/rules"])
def test_what_is_no_json_is_said(client: httpx.Client, path: str) -> None:
    for body, said in SAID.items():
        answer = send(client, "POST", path, body)
        assert answer.status_code in (400, 422)
        assert said in answer.text


def test_they_all_take_a_body() -> None:
    assert len(operations()) >= 8
