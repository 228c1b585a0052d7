"""`/api/fleet/v1/silences`: what keeps alerts quiet, who said so, and every change of it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import silence_models as models
from api.alertmanager import firing
from api.deps import ContextDep
from api.errors import NotFoundError
from fleetpulse.clock import to_rfc3339
from fleetpulse.silences import Silence

router = APIRouter(prefix="/api/fleet/v1/silences", tags=["silences"])

Identity = Annotated[str, Path(description="The silence's id.", max_length=200)]


@router.get("")
def list_silences(
    context: ContextDep,
    kind: Annotated[models.SilenceKind | None, Query(description="Only of this kind.")] = None,
    state: Annotated[models.SilenceState | None, Query(description="Only in this state.")] = None,
) -> models.SilenceList:
    """Silences, acknowledgements and maintenance windows; those that are over for five days."""
    now_ms = context.silences.now_ms()
    found = [shown(item, now_ms) for item in context.silences.listed(kind, state)]
    return models.SilenceList(silences=found, now=to_rfc3339(now_ms))


@router.post("", status_code=201)
def create_silence(context: ContextDep, change: models.SilenceChange) -> models.SilenceInfo:
    """Silence by matchers, acknowledge one alert, or plan a maintenance window."""
    return shown(context.silences.create(_completed(context, change)), context.silences.now_ms())


@router.get("/{identity}")
def get_silence(context: ContextDep, identity: Identity) -> models.SilenceInfo:
    """One of them."""
    return shown(context.silences.one(identity), context.silences.now_ms())


@router.put("/{identity}")
def replace_silence(context: ContextDep, identity: Identity, change: models.SilenceChange) -> models.SilenceInfo:
    """Change one. With other matchers, or when it is over, it ends and the answer is a new one."""
    return shown(context.silences.replace(identity, _completed(context, change)), context.silences.now_ms())


@router.delete("/{identity}")
def expire_silence(
    context: ContextDep,
    identity: Identity,
    by: Annotated[str, Query(description="Who ends it.", min_length=1, max_length=200)],
) -> models.SilenceInfo:
    """End one now; it stays listed."""
    return shown(context.silences.expire(identity, by), context.silences.now_ms())


@router.get("/{identity}/history")
def get_silence_history(context: ContextDep, identity: Identity) -> models.SilenceHistory:
    """Who did what with it and when, the newest first."""
    changes = [
        models.SilencePast(
            at=to_rfc3339(change.changed_ms),
            by=change.author,
            action=change.action,  # type: ignore[arg-type]
            silence=shown(change.silence, change.changed_ms),
        )
        for change in context.silences.changes(identity)
    ]
    return models.SilenceHistory(changes=changes)


def _completed(context: ContextDep, change: models.SilenceChange) -> models.SilenceChange:
    """An acknowledgement with the episode and severity that its alert has now."""
    wanted = change.alert
    if wanted is None or wanted.episode:
        return change
    for alert in firing(context.alerts.active()):
        if alert.fingerprint == wanted.fingerprint:
            found = models.SilencedAlert(fingerprint=alert.fingerprint, episode=alert.episode, severity=alert.severity)
            return change.model_copy(update={"alert": found})
    raise NotFoundError(
        f"no alert with fingerprint {wanted.fingerprint[:100]!r} fires now; GET /api/v2/alerts lists them"
    )


def shown(silence: Silence, now_ms: int) -> models.SilenceInfo:
    """As the API gives it."""
    alert = silence.alert
    return models.SilenceInfo(
        id=silence.id,
        kind=silence.kind,
        state=silence.state(now_ms),
        matchers=[
            models.SilenceMatcher(name=item.name, value=item.value, isRegex=item.is_regex, isEqual=item.is_equal)
            for item in silence.matchers
        ],
        startsAt=silence.starts_at,
        endsAt=silence.ends_at,
        createdBy=silence.created_by,
        comment=silence.comment,
        updatedAt=silence.updated_at,
        alert=models.SilencedAlert(fingerprint=alert.fingerprint, episode=alert.episode, severity=alert.severity)
        if alert
        else None,
    )
