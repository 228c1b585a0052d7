"""Stage *silence*: alerts that somebody has silenced or acknowledged."""

from collections.abc import Iterable

from fleetpulse.notify.alert import Alert
from fleetpulse.silences import Quiet


def silenced_by(alert: Alert, silences: Iterable[Quiet], now_ms: int) -> list[str]:
    """Ids of the silences and acknowledgements that keep an alert quiet now."""
    labels = alert.match_labels
    spoken = (item for item in silences if item.silence.kind != "maintenance")
    return [item.silence.id for item in spoken if item.mutes(labels, alert.fingerprint, alert.episode, now_ms)]
