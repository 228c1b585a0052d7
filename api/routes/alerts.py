"""`/api/fleet/v1/alerts`: what fires now, and every transition of the past."""

from typing import Annotated

from fastapi import APIRouter, Query

from api import models
from api.deps import ContextDep

router = APIRouter(prefix="/api/fleet/v1", tags=["alerts"])

HostFilter = Annotated[str | None, Query(description="Only alerts of this host.", examples=["web-017"])]


@router.get("/alerts")
def list_alerts(
    context: ContextDep,
    host: HostFilter = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Most alerts in the answer.")] = 1000,
) -> models.AlertList:
    """Alerts that fire now, newest first."""
    return context.fleet.alerts(host=host, limit=limit)


@router.get("/alerts/history")
def list_alert_history(
    context: ContextDep,
    host: HostFilter = None,
    since: Annotated[str | None, Query(description="Not before: RFC 3339 or Unix seconds.")] = None,
    until: Annotated[str | None, Query(description="Before: RFC 3339 or Unix seconds.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most events in the answer.")] = 100,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> models.AlertHistory:
    """Transitions of alerts, newest first, a page at a time."""
    return context.fleet.alert_history(host=host, since=since, until=until, limit=limit, cursor=cursor)
