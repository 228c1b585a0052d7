"""`/api/v2/*`: Alertmanager's own API, in its shapes, for Grafana and amtool. Its errors are a JSON text."""

from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Path, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api import alertmanager_models as models
from api.alertmanager import Shown, matchers_of, silence_shown, silence_takes, wanted
from api.deps import ContextDep
from api.errors import ParameterError
from api.silence_models import SilenceChange
from fleetpulse import __version__
from fleetpulse.clock import to_rfc3339

UNNAMED = "somebody, by Alertmanager's API"  # which does not say who ends a silence

router = APIRouter(prefix="/api/v2", tags=["alertmanager"])

Active = Annotated[bool, Query(description="Alerts that nothing keeps quiet.")]
Silenced = Annotated[bool, Query(description="Silenced ones too.")]
Inhibited = Annotated[bool, Query(description="Inhibited ones too.")]
Filters = Annotated[list[str], Query(alias="filter", description='Matchers, e.g. severity="critical".')]
ReceiverPattern = Annotated[str | None, Query(description="Regular expression of the receiver's name.")]
AuthorHeader = Annotated[str | None, Header(alias="Fleetpulse-Author", description="Who does it.")]
Identity = Annotated[str, Path(max_length=200)]


@router.get("/status")
def get_alertmanager_status(context: ContextDep) -> models.AlertmanagerStatus:
    """Version, start and configuration."""
    return models.AlertmanagerStatus(
        cluster=models.AlertmanagerCluster(name="fleetpulse", status="ready", peers=[]),
        versionInfo=models.AlertmanagerVersion(
            version=__version__, revision="", branch="fleetpulse", buildUser="", buildDate="", goVersion=""
        ),
        config=models.AlertmanagerConfig(original=context.notify.original),
        uptime=to_rfc3339(context.silences.started_ms),
    )


@router.get("/receivers")
def list_alertmanager_receivers(context: ContextDep) -> list[models.AlertmanagerReceiver]:
    """The receivers of the configuration."""
    return [models.AlertmanagerReceiver(name=name) for name in context.notify.receivers]


@router.get("/alerts")
def list_alertmanager_alerts(
    context: ContextDep,
    filters: Filters = [],  # noqa: B006, FastAPI copies it
    active: Active = True,
    silenced: Silenced = True,
    inhibited: Inhibited = True,
    receiver: ReceiverPattern = None,
) -> list[models.AlertmanagerAlert]:
    """The alerts that fire."""
    return _shown(context).alerts(wanted(active, silenced, inhibited, filters, receiver))


@router.post("/alerts", include_in_schema=False)
def post_alertmanager_alerts() -> None:
    """Alerts are the rules' alone: one that nobody could explain or back-test would be told as if it were theirs."""
    raise HTTPException(
        405,
        "alerts are made by rules here, and not taken from others: make a rule (`fleetpulse rules apply`, or POST "
        "/api/fleet/v1/rules), or send this to your Alertmanager, to which `fleetpulse notify` forwards ours",
        {"Allow": "GET"},
    )


@router.get("/alerts/groups")
def list_alertmanager_groups(
    context: ContextDep,
    filters: Filters = [],  # noqa: B006
    active: Active = True,
    silenced: Silenced = True,
    inhibited: Inhibited = True,
    receiver: ReceiverPattern = None,
) -> list[models.AlertmanagerGroup]:
    """The alerts that fire, as receivers are told of them."""
    return _shown(context).groups(wanted(active, silenced, inhibited, filters, receiver))


@router.get("/silences")
def list_alertmanager_silences(
    context: ContextDep,
    filters: Filters = [],  # noqa: B006
) -> list[models.AlertmanagerSilence]:
    """Silences, acknowledgements and maintenance windows."""
    matchers, now_ms = matchers_of(filters), context.silences.now_ms()
    return [silence_shown(item, now_ms) for item in context.silences.listed() if silence_takes(item, matchers)]


@router.post("/silences")
def post_alertmanager_silence(context: ContextDep, posted: models.PostedSilence) -> models.PostedSilenceAnswer:
    """Make a silence, or change one; with other matchers that ends it and makes a new one."""
    change = _checked(posted)
    if not posted.id:
        return models.PostedSilenceAnswer(silenceID=context.silences.create(change).id)
    kind = context.silences.one(posted.id).kind
    if kind == "acknowledgement":
        raise ParameterError("id", "an acknowledgement is not changed here: end it, or use /api/fleet/v1/silences")
    return models.PostedSilenceAnswer(
        silenceID=context.silences.replace(posted.id, change.model_copy(update={"kind": kind})).id
    )


@router.get("/silence/{identity}")
def get_alertmanager_silence(context: ContextDep, identity: Identity) -> models.AlertmanagerSilence:
    """One silence."""
    return silence_shown(context.silences.one(identity), context.silences.now_ms())


@router.delete("/silence/{identity}", response_class=Response)
def delete_alertmanager_silence(context: ContextDep, identity: Identity, author: AuthorHeader = None) -> Response:
    """End a silence now."""
    context.silences.expire(identity, author or UNNAMED)
    return Response()


def _checked(posted: models.PostedSilence) -> SilenceChange:
    try:
        return SilenceChange.model_validate(posted.model_dump(exclude={"id"}))
    except ValidationError as error:
        found = [item | {"loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
        raise RequestValidationError(found) from error


def _shown(context: ContextDep) -> Shown:
    silences = context.silences
    return Shown(context.notify, context.alerts.active(), silences.listed(), silences.now_ms())
