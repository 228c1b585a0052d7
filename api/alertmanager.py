"""The answers of Alertmanager's API v2: alerts that fire, with who is told and what keeps them quiet."""

from collections.abc import Sequence
from dataclasses import dataclass

from api import alertmanager_models as models
from api.alert_states import ActiveAlert
from api.errors import ParameterError
from api.silence_models import SilenceMatcher
from fleetpulse import patterns
from fleetpulse.clock import to_rfc3339
from fleetpulse.errors import RuleError
from fleetpulse.events import episode_of
from fleetpulse.notify.alert import Alert
from fleetpulse.notify.config import Config, Route
from fleetpulse.notify.matchers import Matchers, matches, parse_matchers
from fleetpulse.notify.route import group_labels_of, routes_of
from fleetpulse.notify.stages import Mutes, mutes_of
from fleetpulse.silences import LabelMatcher, Silence

STALE_MS = 300_000  # an answer is good for so long, as with Alertmanager's resolve_timeout


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filters of a request."""

    active: bool = True
    silenced: bool = True
    inhibited: bool = True
    matchers: Matchers = ()
    receiver: str | None = None

    def takes(self, alert: models.AlertmanagerAlert) -> bool:
        """Whether an alert passes."""
        status = alert.status
        if status.state == "active" and not self.active:
            return False
        if (status.silencedBy and not self.silenced) or (status.inhibitedBy and not self.inhibited):
            return False
        if self.receiver and not any(patterns.fits(self.receiver, receiver.name) for receiver in alert.receivers):
            return False
        return matches(self.matchers, alert.labels)


def wanted(active: bool, silenced: bool, inhibited: bool, filters: Sequence[str], receiver: str | None) -> Wanted:
    """The filters; raises ParameterError."""
    try:
        if receiver:
            patterns.check(receiver, "receiver")
    except RuleError as error:
        raise ParameterError("receiver", str(error)) from error
    return Wanted(active, silenced, inhibited, matchers_of(filters), receiver)


def matchers_of(filters: Sequence[str]) -> Matchers:
    """The matchers of the parameter `filter`; raises ParameterError."""
    try:
        return tuple(matcher for text in filters for matcher in parse_matchers(text))
    except RuleError as error:
        raise ParameterError("filter", str(error)) from error


class Shown:
    """All that fires at one moment, under one configuration."""

    def __init__(self, config: Config, active: Sequence[ActiveAlert], silences: Sequence[Silence], now_ms: int) -> None:
        self._config, self._now_ms = config, now_ms
        self._alerts = firing(active)
        self._mutes: Mutes = mutes_of(config, self._alerts, silences)

    def alerts(self, wanted: Wanted) -> list[models.AlertmanagerAlert]:
        """The alerts that pass."""
        found = [self._shown(alert, routes_of(self._config.route, alert.match_labels)) for alert in self._alerts]
        return [alert for alert in found if wanted.takes(alert)]

    def groups(self, wanted: Wanted) -> list[models.AlertmanagerGroup]:
        """The groups with alerts that pass, by receiver and labels."""
        found: dict[tuple[str, str], models.AlertmanagerGroup] = {}
        for alert in self._alerts:
            for route in routes_of(self._config.route, alert.match_labels):
                shown = self._shown(alert, [route])
                if not wanted.takes(shown):
                    continue
                labels = group_labels_of(route, alert.labels, alert.host)
                receiver = models.AlertmanagerReceiver(name=route.receiver)
                group = models.AlertmanagerGroup(labels=labels, receiver=receiver, alerts=[])
                place = route.receiver, repr((route.key, sorted(labels.items())))
                found.setdefault(place, group).alerts.append(shown)
        return [group for _, group in sorted(found.items(), key=lambda item: item[0])]

    def _shown(self, alert: Alert, routes: Sequence[Route]) -> models.AlertmanagerAlert:
        by = self._mutes.muted(alert, self._now_ms).by
        silenced, inhibited = [*by["silence"], *by["maintenance"]], by["inhibit"]
        return models.AlertmanagerAlert(
            annotations=alert.annotations,
            endsAt=to_rfc3339(self._now_ms + STALE_MS),
            fingerprint=alert.fingerprint,
            receivers=[models.AlertmanagerReceiver(name=name) for name in dict.fromkeys(r.receiver for r in routes)],
            startsAt=alert.starts_at,
            status=models.AlertmanagerAlertStatus(
                state="suppressed" if silenced or inhibited else "active", silencedBy=silenced, inhibitedBy=inhibited
            ),
            updatedAt=alert.starts_at,
            generatorURL="",
            labels=alert.labels,
        )


def silence_shown(silence: Silence, now_ms: int) -> models.AlertmanagerSilence:
    """A silence in Alertmanager's shape."""
    alert = silence.alert
    pairs = [LabelMatcher("fingerprint", alert.fingerprint), LabelMatcher("episode", alert.episode)] if alert else []
    return models.AlertmanagerSilence(
        id=silence.id,
        status=models.AlertmanagerSilenceStatus(state=silence.state(now_ms)),
        updatedAt=silence.updated_at,
        comment=silence.comment,
        createdBy=silence.created_by,
        startsAt=silence.starts_at,
        endsAt=silence.ends_at,
        matchers=[
            SilenceMatcher(name=item.name, value=item.value, isRegex=item.is_regex, isEqual=item.is_equal)
            for item in [*silence.matchers, *pairs]
        ],
    )


def silence_takes(silence: Silence, matchers: Matchers) -> bool:
    """Whether a silence has matchers for which each filter holds, as in Alertmanager."""
    values = {item.name: item.value for item in silence.matchers}
    return matches(matchers, values)


def firing(active: Sequence[ActiveAlert]) -> list[Alert]:
    """The alerts that fire, as the notifier has them."""
    return [_alert(item) for item in active if item.state == "firing"]


def _alert(active: ActiveAlert) -> Alert:
    return Alert(
        fingerprint=active.fingerprint,
        episode=episode_of(active.rule, active.fingerprint, active.active_ms),
        transition=0,
        status="firing",
        labels=dict(active.labels),
        annotations=dict(active.annotations),
        starts_at=to_rfc3339(active.active_ms),
        host=active.host,
        value=active.value,
        at_ms=active.active_ms,
        seen_ms=active.active_ms,
    )
