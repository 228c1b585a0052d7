"""Errors over HTTP: one table, and problem+json for all of them. And what every answer carries."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api import errors, models
from api.app import create_app
from api.deps import Context
from fleetpulse import errors as tree
from fleetpulse.selfmetrics import SelfMetrics


def subclasses(kind: type[tree.FleetpulseError]) -> set[type[tree.FleetpulseError]]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def get(app: FastAPI, path: str, method: str = "GET") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path)

    return asyncio.run(ask())


def failing(error: Exception) -> FastAPI:
    app = FastAPI()
    errors.install(app)

    @app.get("/fails")
    async def fails() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFoundError("no such host", ["web-1"]), 404),
        (errors.ParameterError("step", "too small"), 422),
        (tree.MetricError("metric_name", "a wrong name"), 422),
        (tree.UnavailableError("ClickHouse is away"), 503),
        (errors.NotReadyError([models.ReadyCheck(name="kafka", ok=False, detail="is away", seconds=0.1)]), 503),
        (tree.SettingsError("a wrong setting"), 500),
        (tree.FleetpulseError("something"), 500),
    ],
)
def test_the_tree_over_http(error: tree.FleetpulseError, status: int) -> None:
    answer = get(failing(error), "/fails")

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = models.Problem.model_validate(answer.json())
    assert (problem.status, problem.detail, problem.instance) == (status, str(error), "/fails")
    assert ("retry-after" in answer.headers) == (status == 503)


def test_every_error_of_the_tree_has_a_status() -> None:
    for kind in subclasses(tree.FleetpulseError):
        assert any(base in errors.STATUS_OF for base in kind.__mro__), kind


def test_an_unexpected_error_tells_nothing_of_our_insides() -> None:
    answer = get(failing(ValueError("secret")), "/fails")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


@pytest.fixture
def metrics() -> SelfMetrics:
    return SelfMetrics()


@pytest.fixture
def app(tmp_path: Path, metrics: SelfMetrics) -> FastAPI:
    """Without servers: what is asked here does not reach them."""
    parts: Any = None
    context = Context(parts, parts, metrics, parts, parts, parts, parts, parts, parts, parts, 1000)
    return create_app(context, tmp_path / "page")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/nothing", 404), ("GET", "/api/fleet/v1/alerts/x", 404), ("POST", "/api/fleet/v1/hosts", 405)],
)
def test_what_does_not_exist_is_a_problem(app: FastAPI, method: str, path: str, status: int) -> None:
    answer = get(app, path, method)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["instance"] == path


def test_every_answer_has_the_security_headers_and_is_counted(app: FastAPI, metrics: SelfMetrics) -> None:
    answer = get(app, "/health/live")

    assert answer.json() == {"status": "live"}
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert metrics.get("fleetpulse_api_requests_total", route="/health/live", status="200") == 1
    assert 'fleetpulse_api_requests_total{route="/health/live",status="200"} 1.0' in get(app, "/metrics").text


def test_a_path_of_nobody_makes_no_series_of_its_own(app: FastAPI, metrics: SelfMetrics) -> None:
    get(app, "/api/one")
    get(app, "/api/two")

    assert {key for key, _ in metrics.samples() if "requests" in key} == {
        'fleetpulse_api_requests_total{route="other",status="404"}'
    }
