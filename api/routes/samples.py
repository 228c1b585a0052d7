"""`/api/fleet/v1/samples`: the samples of the series that match, brought to a common step."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import models
from api.deps import ContextDep
from api.sampling import SampleQuery
from fleetpulse.storage.sampling import Aggregate

router = APIRouter(prefix="/api/fleet/v1", tags=["samples"])

WHEN = "RFC 3339 or Unix seconds"


@router.get("/samples", response_model=models.Samples)
def get_samples(
    context: ContextDep,
    metric: Annotated[str, Query(description="Metric name.", examples=["node_load1"])],
    match: Annotated[
        list[str],
        Query(description="Label matchers, all of which must hold: =, !=, =~ and !~.", examples=[['mode!="idle"']]),
    ] = [],  # noqa: B006 (FastAPI copies it)
    host: Annotated[list[str], Query(description="Only these hosts.", examples=[["web-017"]])] = [],  # noqa: B006
    start: Annotated[str | None, Query(description=f"Start: {WHEN}; by default an hour before the end.")] = None,
    end: Annotated[str | None, Query(description=f"End, not included: {WHEN}; by default now.")] = None,
    step: Annotated[
        str | None,
        Query(description="Seconds or a duration such as 15s, 5m; by default one that gives at most 300 points."),
    ] = None,
    aggregate: Annotated[
        Aggregate,
        Query(
            description="How the samples of a step become one value. increase and rate (a second) follow counters over "
            "resets and from one step to the next. A quantile (p50, p95, p99) is exact from raw samples, and at most "
            "5.9 % off from one-hour rollups."
        ),
    ] = Aggregate.AVG,
) -> Response:
    """Points of every series that matches, at multiples of the step.

    Steps of whole hours are read from one-hour rollups, of whole minutes from one-minute rollups, all else from raw
    samples, and what is not rolled up yet from the finer tier; `tier` says which.
    """
    query = SampleQuery(metric, match, host, start, end, step, aggregate)
    return Response(context.fleet.samples(query), media_type="application/json")
