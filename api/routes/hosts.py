"""`/api/fleet/v1/hosts`: the fleet, one host, and a host's series."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response

from api import models
from api.deps import ContextDep

router = APIRouter(prefix="/api/fleet/v1", tags=["hosts"])

HostName = Annotated[str, Path(description="The host's name.", examples=["web-017"], max_length=4096)]
Search = Annotated[str | None, Query(description="Only names that contain this text, whatever the case.")]


@router.get("/hosts", response_model=models.HostList)
def list_hosts(
    context: ContextDep,
    status: Annotated[Literal["up", "silent"] | None, Query(description="Only hosts in this state.")] = None,
    search: Search = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Most hosts in the answer.")] = 1000,
) -> Response:
    """Every host with its status, latest rolling aggregates and alerts, ordered by name."""
    return Response(context.fleet.hosts(status=status, search=search, limit=limit), media_type="application/json")


# A host may have a slash in its name, so the longer route comes first.
@router.get("/hosts/{host:path}/series")
def list_series(
    context: ContextDep,
    host: HostName,
    metric: Annotated[str | None, Query(description="Only series of this metric.", examples=["node_load1"])] = None,
    search: Annotated[str | None, Query(description="Only metrics whose name contains this text.")] = None,
    limit: Annotated[int, Query(ge=1, le=100_000, description="Most series in the answer.")] = 10_000,
) -> models.SeriesList:
    """Every series that a host has ever sent, ordered by metric and labels."""
    return context.fleet.series(host, metric=metric, search=search, limit=limit)


@router.get("/hosts/{host:path}")
def get_host(context: ContextDep, host: HostName) -> models.HostDetail:
    """One host with its labels and facts. An unknown name is 404 and names the nearest ones."""
    return context.fleet.host(host)
