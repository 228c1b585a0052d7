"""The FastAPI application: routes, errors, headers, own metrics and the page."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware

from api import errors, page
from api.backtest_models import line_schemas
from api.body_limit import BodyLimit
from api.deps import Context
from api.models import Problem
from api.passage import Passage
from api.routes import alertmanager, alerts, health, hindsight, hosts, prometheus, rules, samples, silences
from fleetpulse import __version__
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import ApiSettings

DESCRIPTION = (
    "Hosts, samples and alerts of a fleet. Times are RFC 3339, UTC. Every error is `application/problem+json`. "
    "`/api/v1/*` follows Prometheus' API, `/api/v2/*` Alertmanager's, their errors too."
)


def create_app(context: Context | None = None, page_folder: Path = page.BUILT_PAGE) -> FastAPI:
    """The application; without a context it can only describe itself."""
    app = FastAPI(
        title="Fleetpulse",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/fleet/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        responses={"default": {"description": "A problem", "content": _PROBLEM_CONTENT}},
    )
    app.state.context = context
    # `rules` comes last: a group's name may have a slash, and so takes every path below its own.
    for routes in (hosts, samples, alerts, silences, prometheus, alertmanager, health, hindsight, rules):
        app.include_router(routes.router)
    page.install(app, page_folder)
    errors.install(app)
    app.add_middleware(BodyLimit, most_bytes=context.max_body_bytes if context else ApiSettings().max_body_bytes)
    app.add_middleware(GZipMiddleware, minimum_size=2048, compresslevel=5)
    app.add_middleware(Passage, metrics=context.metrics if context else SelfMetrics())
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        definitions = problem.pop("$defs")
        schema["components"]["schemas"] |= {"Problem": problem, **definitions, **line_schemas()}
        app.openapi_schema = schema
    return app.openapi_schema


_PROBLEM_CONTENT = {errors.PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def _operation_id(route: APIRoute) -> str:
    return route.name
