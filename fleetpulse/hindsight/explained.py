"""*Explain*: everything that is known of a rule, a host and a time, put together."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleetpulse.clock import from_rfc3339
from fleetpulse.errors import RejectedError
from fleetpulse.events import AlertEvent
from fleetpulse.hindsight.arrivals import LATE_MS, arrivals
from fleetpulse.notify.alert import Alert, alert_of
from fleetpulse.notify.config import Config
from fleetpulse.notify.load import load, shipped
from fleetpulse.notify.stages import mutes_of
from fleetpulse.promql.parse import parse
from fleetpulse.promql.syntax import NAME, Matcher, Selector, selections
from fleetpulse.rules.alerts import PLAIN
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.explain import TimeLine, needed_from_ms, time_line
from fleetpulse.rules.model import Rule, RuleSet, Waiting
from fleetpulse.rules.verdict import Known, Mute, Verdict, verdict
from fleetpulse.silences import Silence
from fleetpulse.storage.history import History
from fleetpulse.storage.tiers import DAY_MS, Tier

UP = Selector((Matcher(NAME, "=", "up"),))  # every host's sign of life
LONGEST_MS = DAY_MS


@dataclass(frozen=True, slots=True)
class Question:
    """Which rule (`key`: `RuleSet.key_of`), host and time; `before_ms` is how much of the time line is shown."""

    rule: Rule
    key: str
    host: str
    at_ms: int
    before_ms: int


@dataclass(frozen=True, slots=True)
class Around:
    """What else is known: events of this host and of those that may inhibit it, silences, and how they are told.

    `events` None: nobody knows what was sent. `conduct` is the worker's.
    """

    events: Sequence[AlertEvent] | None = None
    silences: Sequence[Silence] = ()
    config: Config | None = None
    conduct: Conduct = PLAIN


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer; `paged` are the events of this rule and host that were sent."""

    question: Question
    tier: Tier
    line: TimeLine
    paged: Sequence[AlertEvent] | None
    verdict: Verdict


def rule_named(rules: RuleSet, name: str) -> Rule | Waiting:
    """The alerting rule of a name, or with its labels as identity; also one that waits for the ruler.

    Raises RejectedError, reason ``recording`` or ``unknown_rule``.
    """
    for rule in rules.alerts:
        if name in (rules.key_of(rule), rule.name):
            return rule
    waiting = next((each for each in rules.waiting if each.rule.name == name), None)
    if waiting is not None:
        return waiting
    if any(rule.name == name for rule in rules.recordings):
        raise RejectedError("recording", f"{name!r} is a recording rule: an alerting rule has states to explain")
    raise RejectedError("unknown_rule", f"there is no alerting rule {name!r} among the rules in force")


def waiting_verdict(waiting: Waiting) -> Verdict:
    """Nothing evaluates the rule."""
    return Verdict("waiting_for_ruler", f"rule {waiting.rule.name!r} waits for the ruler: {waiting.why}")


def explain(history: History, question: Question, around: Around) -> Explanation:
    """Read and replay. Raises UnavailableError when ClickHouse cannot be reached."""
    rule, at_ms = question.rule, question.at_ms
    from_ms = at_ms - min(question.before_ms, LONGEST_MS)
    needed_ms = needed_from_ms(rule, from_ms, around.conduct)
    selectors = [leaf.selector for leaf in selections(parse(rule.expr))]
    series = history.series([*selectors, UP], [question.host])
    ids = [each.id for each in series]
    tier = _tier(history, ids, from_ms)
    samples = history.samples(ids, needed_ms, at_ms + 1, tier)
    late = {} if tier != "raw" else history.late_minutes(question.host, needed_ms, at_ms + 1, LATE_MS)
    times = (needed_ms, from_ms, at_ms, around.conduct)
    line = time_line(rule, arrivals(series, samples, late), *times)
    timely = time_line(rule, arrivals(series, samples, {}), *times) if late else None
    paged = None if around.events is None else [event for event in around.events if _is_of(event, question)]
    known = Known(timely, paged, _mutes(line, around), line.heard_ms)
    return Explanation(question, tier, line, paged, verdict(line, known))


def _tier(history: History, ids: Sequence[int], from_ms: int) -> Tier:
    """Raw samples, where they reach back far enough or minutes do not reach farther."""
    oldest = history.oldest_ms(ids)
    if oldest is not None and oldest <= from_ms:
        return "raw"
    minutes = history.oldest_ms(ids, "1m")
    return "1m" if minutes is not None and (oldest is None or minutes < oldest - DAY_MS) else "raw"


def _is_of(event: AlertEvent, question: Question) -> bool:
    data = event.data
    named = data.rule.name in (question.key, question.rule.name)
    return named and data.host == question.host and from_rfc3339(event.time) <= question.at_ms


def _mutes(line: TimeLine, around: Around) -> dict[str, list[Mute]]:
    """By fingerprint, what keeps its notifications back at the end of the time line."""
    own: dict[str, AlertEvent] = {event.data.fingerprint: event for event in line.events}
    others = [event for event in around.events or () if from_rfc3339(event.time) <= line.at_ms]
    latest: dict[str, Alert] = {}
    for event in sorted(others, key=lambda each: (each.time, each.data.transition)):
        latest[event.data.fingerprint] = alert_of(event, line.at_ms)
    found: dict[str, list[Mute]] = {}
    mutes = mutes_of(around.config or load(shipped()), latest.values(), around.silences)
    for fingerprint, event in own.items():
        if event.data.status == "firing":
            alert = latest.get(fingerprint) or alert_of(event, line.at_ms)
            muted = mutes.muted(alert, line.at_ms)
            found[fingerprint] = [_mute(stage, by) for stage, named in muted.by.items() for by in named]
    return found


_WORDS = {"silence": "silenced", "inhibit": "inhibited", "maintenance": "maintenance"}


def _mute(stage: str, by: str) -> Mute:
    reason = _WORDS.get(stage, stage)
    words = {"silenced": f"silence {by} keeps it quiet", "inhibited": f"it is inhibited by alert {by}"}
    return Mute(reason, by, words.get(reason, f"maintenance {by} keeps it quiet"))
