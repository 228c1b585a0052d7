"""Rules over stored history: `rules/{name}/explain` for one host and time, `rules/backtest` over weeks."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from api.backtest_models import BacktestRequest
from api.backtest_run import NDJSON, Running
from api.bounded import Bounded
from api.deps import Context, ContextDep
from api.errors import InvalidRulesError, NotFoundError, ParameterError
from api.explain_models import RuleExplanation, explanation_of, unexplained
from api.times import parse_duration, parse_time
from fleetpulse.clock import SystemClock
from fleetpulse.errors import RejectedError
from fleetpulse.events import AlertEvent
from fleetpulse.hindsight.backtested import MOST_OTHERS, Request
from fleetpulse.hindsight.explained import Around, Question, explain, rule_named, waiting_verdict
from fleetpulse.rules.load import read_text
from fleetpulse.rules.model import Rule, RuleSet, Waiting
from fleetpulse.storage.history import History

router = APIRouter(prefix="/api/fleet/v1/rules", tags=["rules"])

_EVENTS_BACK_MS = 7 * 86_400_000
_MOST_EVENTS = 10_000
_LONGEST_MS = 86_400_000
_explaining = Bounded("explanations", at_once=3, waiting=16, seconds=20.0)
RANGE = re.compile(r"(?:\d+(?:ms|[smhdwy]))+", re.ASCII)
_LINES: dict[int | str, dict[str, Any]] = {
    200: {"content": {NDJSON: {"schema": {"$ref": "#/components/schemas/BacktestLine"}}}}
}


@router.post("/backtest", response_class=StreamingResponse, responses=_LINES)
def backtest_rule(context: ContextDep, asked: BacktestRequest) -> StreamingResponse:
    """Run a rule over stored history. The answer is lines of JSON: progress, at last the result or what failed.

    It ends when the client goes away. One runs at a time: 503 while another does.
    """
    request = _request(context, asked)
    running = Running(context.fleet.reader.pool.url, request, context.metrics)
    running.start()
    return StreamingResponse(running.lines(), media_type=NDJSON, headers={"Content-Encoding": "identity"})


def _request(context: Context, asked: BacktestRequest) -> Request:
    now_ms = SystemClock().now_ms()
    until_ms = now_ms if asked.until is None else parse_time("until", asked.until)
    back = RANGE.fullmatch(asked.since)
    since_ms = until_ms - parse_duration("since", asked.since) if back else parse_time("since", asked.since)
    if since_ms < 0:
        raise ParameterError("since", f"{asked.since[:100]!r} reaches back beyond 1970")
    rules = context.rules.rule_set()
    rule, live = (
        (_in_force(rules, asked.rule), None) if asked.text is None else (_given(asked), _live(rules, asked.rule))
    )
    context.fleet.check_known(asked.hosts)
    return Request(
        rule,
        live,
        since_ms,
        until_ms,
        asked.hosts,
        asked.tier,
        context.silences.listed(),
        context.notify,
        context.conduct,
        lambda since, until: context.fleet.reader.alert_history("", since, until, MOST_OTHERS, None),
    )


def _in_force(rules: RuleSet, name: str) -> Rule:
    try:
        found = rule_named(rules, name)
    except RejectedError as error:
        raise NotFoundError(f"{error}: name one, or send its text") from error
    return _on_the_stream(found)


def _on_the_stream(found: Rule | Waiting) -> Rule:
    if not isinstance(found, Rule):
        raise RejectedError("waiting_for_ruler", waiting_verdict(found).sentence)
    return found


def _live(rules: RuleSet, name: str) -> Rule | None:
    try:
        found = rule_named(rules, name)
    except RejectedError:
        return None
    return found if isinstance(found, Rule) else None


def _given(asked: BacktestRequest) -> Rule:
    """The rule of the text; InvalidRulesError with every complaint."""
    groups, errors = read_text("text", asked.text or "")
    if errors:
        raise InvalidRulesError(errors)
    return _on_the_stream(rule_named(RuleSet(tuple(groups)), asked.rule))


@router.get("/{name:path}/explain")
async def explain_rule(
    context: ContextDep,
    name: Annotated[str, Path(description="An alerting rule's name.", max_length=4096)],
    host: Annotated[str, Query(description="The host.", examples=["web-017"])],
    at: Annotated[str | None, Query(description="RFC 3339 or Unix seconds; now by default.")] = None,
    before: Annotated[str, Query(description="How much of the time line is shown, at most a day.")] = "1h",
) -> RuleExplanation:
    """The time line of value, threshold and state of a rule and host, and the one thing that held the alert back.

    An unknown host is 404 and names the nearest ones.
    503 while as many are made as the API makes at once, and others wait.
    """
    return await _explaining.run(lambda: _explained(context, name, host, at, before))


def _explained(context: Context, name: str, host: str, at: str | None, before: str) -> RuleExplanation:
    before_ms = parse_duration("before", before)
    if not 60_000 <= before_ms <= _LONGEST_MS:
        raise ParameterError("before", f"{before!r} is not between a minute and a day")
    rules = context.rules.rule_set()
    try:
        found = rule_named(rules, name)
    except RejectedError as error:
        raise NotFoundError(str(error)) from error
    at_ms = SystemClock().now_ms() if at is None else parse_time("at", at)
    if not isinstance(found, Rule):
        return unexplained(Question(found.rule, name, host, at_ms, before_ms), waiting_verdict(found))
    context.fleet.check_known([host])
    question = Question(found, rules.key_of(found), host, at_ms, before_ms)
    around = Around(_events(context, at_ms), context.silences.listed(), context.notify, context.conduct)
    history = History(context.fleet.reader.pool.url)
    try:
        return explanation_of(explain(history, question, around))
    finally:
        history.close()


def _events(context: Context, at_ms: int) -> list[AlertEvent]:
    """What was sent in the week before a time, of every host: an alert of another one may inhibit."""
    return context.fleet.reader.alert_history("", at_ms - _EVENTS_BACK_MS, at_ms + 1, _MOST_EVENTS, None)
