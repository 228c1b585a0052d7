"""From alert to notification, as a list of stages; each is one file, and none but the last two touches the world.

    inhibit → silence → maintenance → route → group → send → record

The first three say why an alert is quiet now; what is quiet is told once the reason ends, if it still fires then.
*Route* and *group* say who is told, and together with what. *Send* is in `stream_processors/notify/`, *record*
remembers what each receiver knows (`record.py`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fleetpulse.notify.alert import Alert
from fleetpulse.notify.config import Config
from fleetpulse.notify.inhibit import Inhibitor
from fleetpulse.notify.maintenance import maintained_by
from fleetpulse.notify.silence import silenced_by
from fleetpulse.silences import Quiet, Silence

Stage: TypeAlias = Callable[[Alert, int], list[str]]


@dataclass(frozen=True, slots=True)
class Muted:
    """Why an alert is quiet: what mutes it, by stage; nothing: it is not quiet."""

    by: Mapping[str, list[str]]

    def __bool__(self) -> bool:
        return any(self.by.values())


class Mutes:
    """The stages that keep alerts quiet, with what they must know."""

    def __init__(self, config: Config) -> None:
        self.inhibitor = Inhibitor(config.inhibit_rules)
        self._silences: dict[str, Quiet] = {}
        self.stages: tuple[tuple[str, Stage], ...] = (
            ("inhibit", lambda alert, now_ms: self.inhibitor.inhibited_by(alert)),
            ("silence", lambda alert, now_ms: silenced_by(alert, self._silences.values(), now_ms)),
            ("maintenance", lambda alert, now_ms: maintained_by(alert, self._silences.values(), now_ms)),
        )

    def set_silence(self, identity: str, silence: Silence | None) -> None:
        """A record of `fleetpulse.silences`; None: it is gone."""
        if silence is None:
            self._silences.pop(identity, None)
        else:
            self._silences[identity] = Quiet(silence)

    @property
    def silences(self) -> int:
        """How many records are known, also those that are over."""
        return len(self._silences)

    def muted(self, alert: Alert, now_ms: int) -> Muted:
        """Whether and why an alert is quiet now."""
        return Muted({name: stage(alert, now_ms) for name, stage in self.stages})


def mutes_of(config: Config, alerts: Iterable[Alert], silences: Iterable[Silence]) -> Mutes:
    """The stages with all that is known at one moment."""
    mutes = Mutes(config)
    for alert in alerts:
        mutes.inhibitor.update(alert)
    for silence in silences:
        mutes.set_silence(silence.id, silence)
    return mutes
