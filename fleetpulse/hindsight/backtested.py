"""*Back-test*: a rule over stored history, slice after slice, beside the version that is live."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

from fleetpulse.clock import to_rfc3339
from fleetpulse.errors import RejectedError
from fleetpulse.events import AlertEvent
from fleetpulse.hindsight.signs import Signs, SignsOfLife
from fleetpulse.hindsight.slices import Slices
from fleetpulse.hindsight.told import Told
from fleetpulse.notify.config import Config
from fleetpulse.notify.load import load, shipped
from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import Instant, OverRange, selections
from fleetpulse.rules.alerts import PLAIN
from fleetpulse.rules.backtest import Difference, Episodes, difference
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.explain import needed_from_ms
from fleetpulse.rules.machine import DEFAULT_SILENT_MS
from fleetpulse.rules.model import Rule, rule_set
from fleetpulse.rules.partition import Failure
from fleetpulse.rules.replay import Replay, Samples
from fleetpulse.silences import Silence
from fleetpulse.storage.history import MOST_SERIES, History, StoredSamples, StoredSeries
from fleetpulse.storage.tiers import DAY_MS, HOUR_MS, MINUTE_MS, Tier

SAMPLES_AT_ONCE: Mapping[Tier, int] = {"raw": 2_000_000, "1m": 400_000, "1h": 400_000}  # of a slice, about
MOST_AT_ONCE = 4_000_000  # of the shortest slice
SHORTEST_MS = 5 * MINUTE_MS
MOST_SAMPLES = 1_000_000_000  # of a back-test: half an hour's work
MOST_EPISODES = 100_000
MOST_RAW = 150_000_000  # more raw samples than that are read from the one-minute tier where that is right
LONGEST_MS = 400 * DAY_MS
MOST_OTHERS = 10_000  # events of other rules in a slice
_A_MINUTE: Mapping[Tier, int] = {"raw": 6, "1m": 1, "1h": 1}  # samples that a series usually has
_OTHERS_BEFORE_MS = 7 * DAY_MS  # so far back is looked for what fires at the start


@dataclass(frozen=True, slots=True)
class Request:
    """What is run: `rule`, beside `live` (None: there is no such rule), from `start_ms` to `end_ms`.

    No hosts: all. `tier` None: raw samples, or one-minute rollups where these are right and raw ones are gone or many.
    `conduct` is the worker's. `others`: the stored events of all rules in [since, until), newest first and at most
    MOST_OTHERS; what fired beside the rule may inhibit it. Raises RejectedError for a range that is none.
    """

    rule: Rule
    live: Rule | None
    start_ms: int
    end_ms: int
    hosts: Sequence[str] = ()
    tier: Tier | None = None
    silences: Sequence[Silence] = ()
    config: Config | None = None
    conduct: Conduct = PLAIN
    others: Callable[[int, int], Sequence[AlertEvent]] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.end_ms - self.start_ms <= LONGEST_MS:
            raise RejectedError(
                "range",
                f"a back-test needs a range that ends after it starts, of at most {LONGEST_MS // DAY_MS} days; "
                f"this one is from {to_rfc3339(self.start_ms)} to {to_rfc3339(self.end_ms)}",
            )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it came: a share between 0 and 1, and the time up to which history is read."""

    share: float
    at_ms: int
    samples: int
    episodes: int


@dataclass(slots=True)
class Version:
    """One version of the rule, and what it did."""

    rule: Rule
    episodes: Episodes = field(default_factory=Episodes)
    notifications: dict[str, int] = field(default_factory=dict)
    notifications_of: dict[str, int] = field(default_factory=dict)  # by host
    late_samples: int = 0
    failed: int = 0  # ticks at which it could not be evaluated
    failure: Failure | None = None  # one of them


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it; `difference` is None where there is no live version. `notes` say what limits it."""

    request: Request
    tier: Tier
    hosts: int
    series: int
    samples: int
    new: Version
    live: Version | None
    difference: Difference | None
    notes: list[str]


def backtest(history: History, request: Request, cancelled: Callable[[], bool]) -> Iterator[Progress | Result]:
    """Progress after each slice, at last the result; ends early when cancelled.

    Raises UnavailableError, or RejectedError where there is nothing to run or too much.
    """
    rules = [request.rule] if request.live is None else [request.rule, request.live]
    warm_ms = min(needed_from_ms(rule, request.start_ms, request.conduct) for rule in rules)
    series = _read_by(history, rules[:1], request.hosts)
    if not series:
        raise RejectedError(
            "no_series", f"no series is stored that rule {request.rule.name!r} reads: {request.rule.expr}"
        )
    if request.live is not None and request.live.expr != request.rule.expr:
        series = _read_by(history, rules, request.hosts)
    if len(series) > MOST_SERIES:
        raise RejectedError("too_much", f"the rule reads more than {MOST_SERIES:,} series: name some hosts")
    ids = [each.id for each in series]
    tier, notes = _tier(history, request, rules, ids)
    _check_size(history, tier, ids, warm_ms, request.end_ms)
    with closing(history.beside()) as beside:  # asked for signs of life while the next samples are read
        run = _Run((history, beside), request, rules, series, tier, warm_ms)
        for share, at_ms in run.slices(cancelled):
            yield Progress(share, at_ms, run.samples, len(run.versions[0].episodes.all))
        if not cancelled():
            yield run.result(notes)


def _read_by(history: History, rules: Sequence[Rule], hosts: Sequence[str]) -> list[StoredSeries]:
    return history.series([leaf.selector for rule in rules for leaf in selections(parse(rule.expr))], list(hosts))


def _check_size(history: History, tier: Tier, ids: Sequence[int], start_ms: int, end_ms: int) -> None:
    if len(ids) * _A_MINUTE[tier] * SHORTEST_MS // MINUTE_MS > MOST_AT_ONCE:
        raise RejectedError("too_much", f"{len(ids):,} series of {tier} samples are too many at once: name some hosts")
    about = history.count(ids, start_ms, end_ms, tier)
    if about > MOST_SAMPLES:
        raise RejectedError(
            "too_much",
            f"about {about:,} {tier} samples, over the {MOST_SAMPLES:,} of a back-test: name some hosts, or take a "
            "shorter range",
        )


class _Run:
    def __init__(
        self,
        histories: tuple[History, History],
        request: Request,
        rules: Sequence[Rule],
        series: Sequence[StoredSeries],
        tier: Tier,
        warm_ms: int,
    ) -> None:
        self._history, beside = histories
        self._request, self._series, self._tier, self._warm_ms = request, series, tier, warm_ms
        self._ids = [each.id for each in series]
        named = [(each.host, each.labels) for each in series]
        self.versions = [Version(rule, Episodes(request.start_ms)) for rule in rules]
        self._signs = SignsOfLife(beside, [each.host for each in series], tier)
        ups = self._signs.labels
        self._replays = [Replay(rule_set([rule]), named, warm_ms, request.conduct, ups) for rule in rules]
        config = request.config or load(shipped())
        self._told = [Told(config, request.silences, request.start_ms) for _ in rules]
        self._silent_ms = min(DEFAULT_SILENT_MS if rule.no_data_ms is None else rule.no_data_ms for rule in rules)
        self._before: list[str] = []
        self._cut_off = False
        self.samples = 0

    def slices(self, cancelled: Callable[[], bool]) -> Iterator[tuple[float, int]]:
        """Read and replay; the next slice is read while one is replayed."""
        begin, end = self._warm_ms, self._request.end_ms
        slices = Slices(self._history, self._ids, self._tier, (begin, end, self._step_ms()))
        with ThreadPoolExecutor(1, "backtest-read") as reader:
            for start, until, stored in slices.read(reader):
                if cancelled():
                    return
                self._replay(stored, self._alive(stored, start, until), start, until)
                yield (until - begin) / (end - begin), until

    def _step_ms(self) -> int:
        """How long a slice is, if every series has as many samples as is usual."""
        step = SAMPLES_AT_ONCE[self._tier] // max(1, len(self._ids) * _A_MINUTE[self._tier]) * MINUTE_MS
        return max(SHORTEST_MS, min(DAY_MS, step // SHORTEST_MS * SHORTEST_MS))

    def _alive(self, stored: StoredSamples, start_ms: int, until_ms: int) -> Signs:
        """Signs of life of the hosts that miss samples in a slice, or did in the one before."""
        samples = Samples(stored.series, stored.ts, stored.value, stored.ts)
        silent = self._replays[0].silent_for(samples, until_ms, self._silent_ms)
        hosts, self._before = sorted({*silent, *self._before}), silent
        return self._signs.read(hosts, self._replays[0].has_gap(samples, until_ms), start_ms, until_ms)

    def _replay(self, stored: StoredSamples, alive: Signs, start_ms: int, until_ms: int) -> None:
        self.samples += len(stored.ts)
        others = self._others(start_ms, until_ms)
        samples = Samples(stored.series, stored.ts, stored.value, stored.ts)
        for version, replay, told in zip(self.versions, self._replays, self._told, strict=True):
            replay.alive(*alive)
            outcome = replay.apply_samples(samples)
            events = outcome.events
            if until_ms == self._request.end_ms:
                events = [*events, *replay.wait_until(until_ms).events]
            version.late_samples += outcome.late_samples
            for failure in outcome.failures.values():
                version.failed += failure.ticks
                version.failure = version.failure or failure
            version.episodes.add(events)
            if len(version.episodes.all) > MOST_EPISODES:
                raise RejectedError(
                    "too_much",
                    f"rule {version.rule.name!r} has more than {MOST_EPISODES:,} episodes by {to_rfc3339(until_ms)}: "
                    "take a shorter range, or name some hosts",
                )
            told.add(events, others)

    def _others(self, start_ms: int, until_ms: int) -> list[AlertEvent]:
        """What other rules sent in a slice; in the first one also what still fires since a week before."""
        if self._request.others is None:
            return []
        since_ms = start_ms - _OTHERS_BEFORE_MS if start_ms == self._warm_ms else start_ms
        found = self._request.others(since_ms, until_ms)
        self._cut_off = self._cut_off or len(found) >= MOST_OTHERS
        return [event for event in found if event.data.labels.get("alertname") != self._request.rule.name]

    def result(self, notes: list[str]) -> Result:
        end_ms = self._request.end_ms
        for version, told in zip(self.versions, self._told, strict=True):
            told.go_on(end_ms)
            version.notifications, version.notifications_of = dict(told.count), dict(told.of_host)
        before = self.versions[0].episodes.before
        if before:
            notes.append(f"episodes that began before the range: {before}; their minutes count from its start on")
        if self._cut_off:
            notes.append(f"of a slice with over {MOST_OTHERS} stored events of other rules only the newest may inhibit")
        for version, which in zip(self.versions, ("the rule", "the live version"), strict=False):
            if version.failure is not None:
                notes.append(
                    f"{which} could not be evaluated at {version.failed:,} ticks of hosts, and its alerts stayed as "
                    f"they were; {version.failure.host} for one: {version.failure.cause}"
                )
        new, live = self.versions[0], self.versions[1] if len(self.versions) > 1 else None
        found = None if live is None else difference(live.episodes.all, new.episodes.all)
        hosts = len({each.host for each in self._series})
        return Result(self._request, self._tier, hosts, len(self._series), self.samples, new, live, found, notes)


def _tier(history: History, request: Request, rules: Sequence[Rule], ids: Sequence[int]) -> tuple[Tier, list[str]]:
    """The samples to read, and what is to be said about them."""
    right = all(map(right_on_minutes, rules))
    notes = [
        "every sample counts as if it had come in time: what came late was perhaps not paged; what did is known for 16 "
        "days, and `rules explain` tells it of one host"
    ]
    if request.tier is not None:
        if request.tier != "raw" and not right:
            notes.append("the rule reads windows: by the last value of each minute it is only about right")
        return request.tier, notes
    oldest = history.oldest_ms(ids)
    covered = oldest is not None and oldest <= request.start_ms + HOUR_MS
    if right and (not covered or history.count(ids, request.start_ms, request.end_ms) > MOST_RAW):
        minutes = history.oldest_ms(ids, "1m")
        # A minute begins before its first sample: that is no longer history.
        if minutes is not None and (oldest is None or minutes < oldest - HOUR_MS or covered):
            notes.append("read from one-minute rollups: the last value of each minute, evaluated once a minute")
            return "1m", notes
    if not covered and oldest is not None:
        notes.append(f"raw samples reach back only to {to_rfc3339(oldest)}, and the rule's windows need them")
    return "raw", notes


def right_on_minutes(rule: Rule) -> bool:
    """Whether the last value of each minute is what the rule reads at that time, if it is evaluated once a minute."""
    silent_ms = DEFAULT_SILENT_MS if rule.no_data_ms is None else rule.no_data_ms
    leaves = selections(parse(rule.expr))
    return silent_ms >= 150_000 and all(
        isinstance(leaf, Instant) or (isinstance(leaf, OverRange) and leaf.function == "last_over_time")
        for leaf in leaves
    )
