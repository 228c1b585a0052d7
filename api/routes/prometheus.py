"""`/api/v1/*`: Prometheus' own API, in its shapes."""

from fastapi import APIRouter

from api import models
from api.deps import ContextDep

router = APIRouter(prefix="/api/v1", tags=["prometheus"])


@router.get("/alerts")
def list_prometheus_alerts(context: ContextDep) -> models.PrometheusAlertsAnswer:
    """Alerts that fire now, as Prometheus lists them."""
    return context.fleet.prometheus_alerts()
