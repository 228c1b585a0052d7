"""Stage *maintenance*: alerts of what is being worked on, as planned."""

from collections.abc import Iterable

from fleetpulse.notify.alert import Alert
from fleetpulse.silences import Quiet


def maintained_by(alert: Alert, silences: Iterable[Quiet], now_ms: int) -> list[str]:
    """Ids of the maintenance windows that an alert falls into now."""
    labels = alert.match_labels
    windows = (item for item in silences if item.silence.kind == "maintenance")
    return [item.silence.id for item in windows if item.mutes(labels, alert.fingerprint, alert.episode, now_ms)]
