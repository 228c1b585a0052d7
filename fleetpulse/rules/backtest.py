"""What a rule would have done: episodes, minutes firing, and the difference to another version of it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fleetpulse.clock import from_rfc3339
from fleetpulse.events import AlertEvent

_LEVELS = ("", "warning", "critical")
MOST_MOVES = 100  # kept of an episode
_WITH_MOVES = 10_000  # episodes that keep any


class Move(NamedTuple):
    """One event of an episode; `number` is its transition, from 1."""

    at_ms: int
    number: int
    status: str
    reason: str
    severity: str
    stale: bool
    flapping: bool
    late: bool


@dataclass(slots=True)
class Episode:
    """An alert from firing to resolved; `end_ms` None: it fires at the end. `severity` is the highest it had.

    `moves` are the first of its `events`. Where it began before `since_ms` it counts only from then on.
    """

    host: str
    fingerprint: str
    labels: dict[str, str]
    severity: str
    start_ms: int
    end_ms: int | None = None
    events: int = 0
    stale: bool = False
    moves: list[Move] = field(default_factory=list)
    since_ms: int = 0

    def firing_ms(self, until_ms: int) -> int:
        """How long it fired, up to a time."""
        end_ms = until_ms if self.end_ms is None else self.end_ms
        return max(0, end_ms - max(self.start_ms, self.since_ms))


class Episodes:
    """Events to episodes; events come in the order in which they happened to each alert.

    What ended before `since_ms` is left out.
    """

    def __init__(self, since_ms: int = 0) -> None:
        self._since_ms = since_ms
        self.all: list[Episode] = []
        self.events = 0
        self._open: dict[str, Episode] = {}

    def add(self, events: Iterable[AlertEvent]) -> None:
        """Take more events."""
        for event in events:
            self.events += from_rfc3339(event.time) >= self._since_ms
            data = event.data
            severity = data.labels.get("severity", "")
            episode = self._open.get(data.episode)
            if episode is None:
                labels = {name: text for name, text in data.labels.items() if name != "severity"}
                started_ms = from_rfc3339(data.starts_at)
                episode = Episode(data.host, data.fingerprint, labels, severity, started_ms, since_ms=self._since_ms)
                self._open[data.episode] = episode
                self.all.append(episode)
            episode.events += 1
            episode.stale = episode.stale or data.stale
            if len(episode.moves) < MOST_MOVES and len(self.all) <= _WITH_MOVES:
                episode.moves.append(_move(event))
            if data.status == "resolved":
                episode.end_ms = from_rfc3339(data.ends_at)
                del self._open[data.episode]
                if episode.end_ms < self._since_ms:
                    self.all.remove(episode)
            elif _rank(severity) > _rank(episode.severity):
                episode.severity = severity

    @property
    def before(self) -> int:
        """How many of them began before the range."""
        return sum(each.start_ms < self._since_ms for each in self.all)

    @property
    def firing(self) -> int:
        """How many fire at the end."""
        return len(self._open)


def _move(event: AlertEvent) -> Move:
    data = event.data
    severity = data.labels.get("severity", "")
    at_ms = from_rfc3339(event.time)
    return Move(at_ms, data.transition, data.status, data.reason, severity, data.stale, data.flapping, data.late)


def _rank(severity: str) -> int:
    return _LEVELS.index(severity) if severity in _LEVELS else 1


@dataclass(frozen=True, slots=True)
class HostTally:
    """One host's share."""

    host: str
    episodes: int
    firing_ms: int


def by_host(episodes: Sequence[Episode], until_ms: int) -> list[HostTally]:
    """The hosts that had any, the one that fired longest first."""
    count: dict[str, int] = {}
    firing: dict[str, int] = {}
    for episode in episodes:
        count[episode.host] = count.get(episode.host, 0) + 1
        firing[episode.host] = firing.get(episode.host, 0) + episode.firing_ms(until_ms)
    found = [HostTally(host, number, firing[host]) for host, number in count.items()]
    return sorted(found, key=lambda tally: (-tally.firing_ms, tally.host))


@dataclass(frozen=True, slots=True)
class Difference:
    """`added` only the new version has, `removed` only the old one; `changed` pairs (old, new) that overlap."""

    added: list[Episode]
    removed: list[Episode]
    changed: list[tuple[Episode, Episode]]
    same: int


def difference(old: Sequence[Episode], new: Sequence[Episode]) -> Difference:
    """Episodes of one alert that overlap in time belong together; an alert is known by its labels but severity."""
    left: dict[str, list[Episode]] = {}
    for episode in old:
        left.setdefault(episode.host, []).append(episode)
    added: list[Episode] = []
    changed: list[tuple[Episode, Episode]] = []
    same = 0
    for episode in sorted(new, key=lambda each: each.start_ms):
        partners = [each for each in left.get(episode.host, ()) if _overlap(each, episode)]
        partner = next((each for each in partners if each.fingerprint == episode.fingerprint), None)
        if partner is None:
            added.append(episode)
            continue
        left[episode.host].remove(partner)
        if (partner.start_ms, partner.end_ms, partner.severity) == (episode.start_ms, episode.end_ms, episode.severity):
            same += 1
        else:
            changed.append((partner, episode))
    removed = sorted((each for rest in left.values() for each in rest), key=lambda each: each.start_ms)
    return Difference(added, removed, changed, same)


def _overlap(one: Episode, other: Episode) -> bool:
    after = one.end_ms is not None and one.end_ms < other.start_ms
    before = other.end_ms is not None and other.end_ms < one.start_ms
    return not after and not before
