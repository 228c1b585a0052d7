"""An oracle for notifications: what a receiver got, one by one, and what is wrong with it.

The promise (docs/notify.md): what still holds is told at least once, and once more at most for each crash or ambiguous
answer, always under the same key; of each group in order, firing before resolved, and nothing after an end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Arrival:
    """A request that arrived at `at` (any clock that only goes on): alerts by fingerprint → episode.

    `taken`: the receiver keeps what it says. `answered`: it said so, and the notifier may have heard it.
    """

    at: float
    key: str
    group: str
    firing: tuple[tuple[str, str], ...]
    resolved: tuple[str, ...]
    taken: bool
    answered: bool

    @property
    def content(self) -> tuple[list[str], list[str]]:
        """What it says: the alerts that fire, and those that have ended."""
        return sorted(alert for alert, _ in self.firing), sorted(self.resolved)


def arrival_of(body: Any, at: float, taken: bool, answered: bool) -> Arrival:
    """The arrival of a webhook."""
    alerts = body["alerts"]
    return Arrival(
        at=at,
        key=body["notificationKey"],
        group=body["groupKey"],
        firing=tuple((alert["fingerprint"], alert["episode"]) for alert in alerts if alert["status"] == "firing"),
        resolved=tuple(alert["fingerprint"] for alert in alerts if alert["status"] == "resolved"),
        taken=taken,
        answered=answered,
    )


def problems(
    arrivals: Sequence[Arrival], crashes: Sequence[float], holds: Iterable[str], never: Iterable[str] = ()
) -> list[str]:
    """What breaks the promise. `holds`: fingerprints that fire in the end; `never`: those that were always quiet."""
    found: list[str] = []
    for group in dict.fromkeys(arrival.group for arrival in arrivals):
        of_group = [arrival for arrival in arrivals if arrival.group == group]
        found += [f"{group}: {problem}" for problem in (*_keys(of_group, crashes), *_course(of_group, crashes))]
    told = _known([arrival for arrival in arrivals if arrival.taken])
    found += [f"{alert} fires and the receiver does not know it" for alert in holds if alert not in told]
    found += [f"{alert} has ended and the receiver does not know it" for alert in sorted(told.keys() - {*holds})]
    named = {alert for arrival in arrivals for alert, _ in arrival.firing}
    found += [f"{alert} was told although it was quiet" for alert in never if alert in named]
    return found


def extras(arrivals: Sequence[Arrival]) -> int:
    """How many notifications were taken more than once, copies counted."""
    taken = [arrival.key for arrival in arrivals if arrival.taken]
    return len(taken) - len(set(taken))


def _keys(arrivals: Sequence[Arrival], crashes: Sequence[float]) -> Iterable[str]:
    """One key is one content; it ends where another begins; what was taken comes again only for a reason."""
    contents: dict[str, Any] = {}
    over: set[str] = set()
    latest: Arrival | None = None
    for arrival in arrivals:
        if contents.setdefault(arrival.key, arrival.content) != arrival.content:
            yield f"key {arrival.key} says two things"
        if latest is not None and latest.key != arrival.key:
            over.add(latest.key)
        if arrival.key in over:
            yield f"key {arrival.key} came again after another"
        # What came between them, or was begun before a crash and may have come, makes it news again.
        if latest is not None and latest.answered and not _crashed(crashes, latest.at, arrival.at):
            if latest.key == arrival.key:
                yield f"{arrival.key} came again without a reason"
            elif latest.content == arrival.content:
                yield f"{arrival.key} says what {latest.key} said"
        latest = arrival


def _course(arrivals: Sequence[Arrival], crashes: Sequence[float]) -> Iterable[str]:
    """No episode fires after its end; nothing ends that was never said to fire (a crash may hide that it was)."""
    offered: dict[str, float] = {}  # fingerprint → when it was last said to fire, taken or not
    episode_of: dict[str, str] = {}
    over: set[tuple[str, str]] = set()
    seen: set[str] = set()
    for arrival in arrivals:
        if arrival.key in seen:
            continue
        if arrival.taken:
            seen.add(arrival.key)
        for alert, episode in arrival.firing:
            if (alert, episode) in over:
                yield f"{alert} fires after its end"
            offered[alert], episode_of[alert] = arrival.at, episode
        for alert in arrival.resolved:
            if alert not in offered and not _crashed(crashes, 0.0, arrival.at):
                yield f"{alert} ends and never fired"
            if arrival.taken and alert in episode_of:
                over.add((alert, episode_of[alert]))


def _known(taken: Sequence[Arrival]) -> dict[str, str]:
    known: dict[str, str] = {}
    for arrival in taken:
        for alert in arrival.resolved:
            known.pop(alert, None)
        known |= dict(arrival.firing)
    return known


def _crashed(crashes: Sequence[float], since: float, until: float) -> bool:
    return any(since <= crash <= until for crash in crashes)
