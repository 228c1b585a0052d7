"""The shapes of a back-test: what is asked, and the lines of the answer."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field, TypeAdapter

from fleetpulse.clock import to_rfc3339
from fleetpulse.hindsight.backtested import Progress, Result, Version
from fleetpulse.rules.backtest import Episode, HostTally, Move, by_host

HostName = Annotated[str, Field(max_length=4096)]
MOST_EPISODES = 1000  # listed; all are counted


class BacktestRequest(BaseModel):
    """A rule to run over stored history, beside the version of its name that is in force."""

    rule: str = Field(description="An alerting rule's name, in `text` or in force.", max_length=4096)
    text: str | None = Field(default=None, description="A rule file that has the new version; none: the one in force.")
    since: str = Field(default="30d", description="How far back (30d), or a time: RFC 3339 or Unix seconds.")
    until: str | None = Field(default=None, description="RFC 3339 or Unix seconds; now by default.")
    hosts: Annotated[list[HostName], Field(max_length=10_000)] = Field(default=[], description="Only these; none: all.")
    tier: Literal["raw", "1m"] | None = Field(default=None, description="Which samples; null: whichever is right.")


class BacktestProgress(BaseModel):
    """A line while it runs."""

    type: Literal["progress"] = "progress"
    share: float = Field(description="0 to 1.")
    at: str
    samples: int
    episodes: int


class BacktestTransition(BaseModel):
    """One event that would have been published."""

    time: str
    status: Literal["firing", "resolved"]
    severity: str
    reason: str
    stale: bool
    flapping: bool
    late: bool


class BacktestEpisode(BaseModel):
    """An alert from firing to resolved; `endsAt` null: it fires at the end."""

    host: str
    labels: dict[str, str]
    severity: str
    startsAt: str
    endsAt: str | None
    firingMinutes: float
    events: int
    stale: bool
    transitions: list[BacktestTransition] = Field(description="The first hundred of its events.")


class BacktestHost(BaseModel):
    """One host's share."""

    host: str
    episodes: int
    firingMinutes: float
    notifications: int = Field(description="Those that speak of it; one may speak of several hosts.")


class BacktestVersion(BaseModel):
    """What one version of the rule would have done; the lists hold the first thousand."""

    expr: str
    hash: str
    episodes: int
    firing: int = Field(description="Of them, those that fire at the end.")
    events: int
    firingMinutes: float
    notifications: int
    notificationsBy: dict[str, int] = Field(description="By integration, e.g. oncall/webhook/0.")
    hosts: list[BacktestHost]
    shown: list[BacktestEpisode]


class BacktestChange(BaseModel):
    """An episode that both versions have, otherwise."""

    before: BacktestEpisode
    after: BacktestEpisode


class BacktestDifference(BaseModel):
    """From the version that is live to the new one; the lists hold the first thousand."""

    same: int
    added: int
    removed: int
    changed: int
    addedList: list[BacktestEpisode]
    removedList: list[BacktestEpisode]
    changedList: list[BacktestChange]


class BacktestResult(BaseModel):
    """The last line."""

    type: Literal["result"] = "result"
    rule: str
    since: str
    until: str
    tier: Literal["raw", "1m", "1h"]
    hosts: int
    series: int
    samples: int
    new: BacktestVersion
    live: BacktestVersion | None
    difference: BacktestDifference | None
    notes: list[str]


class BacktestFailure(BaseModel):
    """The last line where it failed on the way."""

    type: Literal["error"] = "error"
    detail: str


BacktestLine: TypeAlias = BacktestProgress | BacktestResult | BacktestFailure


def line_schemas() -> dict[str, Any]:
    """The OpenAPI schemas of the lines of the answer, by name; `BacktestLine` is any of them."""
    found = TypeAdapter(BacktestLine).json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = found.pop("$defs")
    return {**schemas, "BacktestLine": found}


def progress_of(progress: Progress) -> BacktestProgress:
    """A line while it runs."""
    at = to_rfc3339(progress.at_ms)
    share = round(progress.share, 4)
    return BacktestProgress(share=share, at=at, samples=progress.samples, episodes=progress.episodes)


def result_of(result: Result) -> BacktestResult:
    """The last line."""
    request = result.request
    found = result.difference
    until_ms = request.end_ms
    difference = (
        None
        if found is None
        else BacktestDifference(
            same=found.same,
            added=len(found.added),
            removed=len(found.removed),
            changed=len(found.changed),
            addedList=[_episode(each, until_ms) for each in found.added[:MOST_EPISODES]],
            removedList=[_episode(each, until_ms) for each in found.removed[:MOST_EPISODES]],
            changedList=[
                BacktestChange(before=_episode(old, until_ms), after=_episode(new, until_ms))
                for old, new in found.changed[:MOST_EPISODES]
            ],
        )
    )
    return BacktestResult(
        rule=request.rule.name,
        since=to_rfc3339(request.start_ms),
        until=to_rfc3339(until_ms),
        tier=result.tier,
        hosts=result.hosts,
        series=result.series,
        samples=result.samples,
        new=_version(result.new, until_ms),
        live=None if result.live is None else _version(result.live, until_ms),
        difference=difference,
        notes=result.notes,
    )


def _version(version: Version, until_ms: int) -> BacktestVersion:
    episodes = version.episodes.all
    hosts = by_host(episodes, until_ms)
    return BacktestVersion(
        expr=version.rule.expr,
        hash=version.rule.hash,
        episodes=len(episodes),
        firing=version.episodes.firing,
        events=version.episodes.events,
        firingMinutes=_minutes(sum(each.firing_ms(until_ms) for each in episodes)),
        notifications=sum(version.notifications.values()),
        notificationsBy=version.notifications,
        shown=[_episode(each, until_ms) for each in episodes[:MOST_EPISODES]],
        hosts=[_host(each, version.notifications_of.get(each.host, 0)) for each in hosts],
    )


def _host(tally: HostTally, notifications: int) -> BacktestHost:
    return BacktestHost(
        host=tally.host,
        episodes=tally.episodes,
        firingMinutes=_minutes(tally.firing_ms),
        notifications=notifications,
    )


def _episode(episode: Episode, until_ms: int) -> BacktestEpisode:
    return BacktestEpisode(
        host=episode.host,
        labels=episode.labels,
        severity=episode.severity,
        startsAt=to_rfc3339(episode.start_ms),
        endsAt=None if episode.end_ms is None else to_rfc3339(episode.end_ms),
        firingMinutes=_minutes(episode.firing_ms(until_ms)),
        events=episode.events,
        stale=episode.stale,
        transitions=[_transition(move) for move in episode.moves],
    )


def _transition(move: Move) -> BacktestTransition:
    return BacktestTransition(
        time=to_rfc3339(move.at_ms),
        status="resolved" if move.status == "resolved" else "firing",
        severity=move.severity,
        reason=move.reason,
        stale=move.stale,
        flapping=move.flapping,
        late=move.late,
    )


def _minutes(milliseconds: int) -> float:
    return round(milliseconds / 60_000, 2)
