"""`/health/live`, `/health/ready` and `/metrics`."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from api import models
from api.deps import ContextDep
from api.errors import NotReadyError

router = APIRouter(tags=["health"])


@router.get("/health/live")
async def get_live() -> models.Liveness:
    """This process answers; it says nothing about the servers behind it."""
    return models.Liveness(status="live")


@router.get("/health/ready")
async def get_ready(context: ContextDep) -> models.Readiness:
    """A real query to ClickHouse and to Kafka within 2 s, and how far behind the workers are. 503 names the cause."""
    checks = await context.readiness.check()
    if not all(check.ok for check in checks):
        raise NotReadyError(checks)
    return models.Readiness(status="ready", checks=checks)


@router.get("/metrics", response_class=PlainTextResponse)
def get_metrics(context: ContextDep) -> PlainTextResponse:
    """This process's own metrics in the Prometheus text format."""
    return PlainTextResponse(context.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")
