"""What the routes need, made once per process and handed to them by FastAPI."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.fleet import Fleet
from api.readiness import Readiness
from api.store.engine import Database
from fleetpulse.selfmetrics import SelfMetrics


@dataclass(frozen=True, slots=True)
class Context:
    """The parts behind the routes."""

    fleet: Fleet
    readiness: Readiness
    metrics: SelfMetrics
    database: Database


def get_context(request: Request) -> Context:
    """The process's context."""
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(get_context)]
