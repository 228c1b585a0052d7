"""`/api/v1/*`: Prometheus' own API, in its shapes."""

from typing import Annotated

from fastapi import APIRouter, Query

from api import models
from api.deps import ContextDep
from api.errors import ParameterError
from api.prometheus_rules import TYPES, RuleFilter, alert_of, groups_of, selectors_of

router = APIRouter(prefix="/api/v1", tags=["prometheus"])


@router.get("/alerts")
def list_prometheus_alerts(context: ContextDep) -> models.PrometheusAlertsAnswer:
    """Alerts that are pending or fire now, as Prometheus lists them."""
    if not context.alerts.read:  # Kafka did not answer yet: what ClickHouse has is at least what fires
        return context.fleet.prometheus_alerts()
    alerts = [models.PrometheusAlert.model_validate(alert_of(alert)) for alert in context.alerts.active()]
    return models.PrometheusAlertsAnswer(status="success", data=models.PrometheusAlerts(alerts=alerts))


@router.get("/rules", response_model_exclude_none=True)
def list_prometheus_rules(
    context: ContextDep,
    type: Annotated[str, Query(description="alert or record; empty: both.")] = "",
    rule_name: Annotated[list[str] | None, Query(alias="rule_name[]")] = None,
    rule_group: Annotated[list[str] | None, Query(alias="rule_group[]")] = None,
    file: Annotated[list[str] | None, Query(alias="file[]")] = None,
    match: Annotated[
        list[str] | None, Query(alias="match[]", description='Selectors of labels, e.g. {severity="page"}.')
    ] = None,
    exclude_alerts: Annotated[bool, Query(description="Leave the alerts out.")] = False,
    group_limit: Annotated[int, Query(ge=0, description="Most groups in the answer; 0: all.")] = 0,
    group_next_token: Annotated[str, Query(description="`groupNextToken` of the page before.")] = "",
) -> models.PrometheusRulesAnswer:
    """Rule groups with their rules, their state and their alerts, as Prometheus lists them."""
    if type not in TYPES:
        raise ParameterError("type", f"{type!r} is no kind of rule: use alert or record")
    asked = RuleFilter(
        kind=TYPES[type],
        names=rule_name or (),
        groups=rule_group or (),
        files=file or (),
        selectors=selectors_of(match or ()),
        alerts=not exclude_alerts,
        limit=group_limit,
        token=group_next_token,
    )
    data = groups_of(context.rules.groups(), context.status(), context.alerts.active(), asked)
    return models.PrometheusRulesAnswer(status="success", data=models.PrometheusRules.model_validate(data))
