"""`fleetpulse silence`: keep alerts quiet, acknowledge one, plan maintenance; through the API, so that all see it."""

import argparse
import getpass
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from fleetpulse.api_client import call_api
from fleetpulse.arguments import Parser
from fleetpulse.errors import RuleError, SettingsError
from fleetpulse.notify.matchers import parse_matchers, shown
from fleetpulse.rules.fields import parse_duration
from fleetpulse.silences import LabelMatcher, listed, matchers_of

PATH = "/api/fleet/v1/silences"
ADD = "fleetpulse silence add --for 2h --comment 'new disk' instance=web-017"
PLAN = """fleetpulse silence maintenance --from 2026-12-01T22:00Z \\
      --until 2026-12-02T02:00Z --comment 'rack 4' 'host=~"r4-.*"'"""
ACKNOWLEDGE = "fleetpulse silence ack 0123456789abcdef --for 4h --comment 'looking at it'"
EXAMPLES = f"""examples:
  {ADD}
  {PLAN}
  {ACKNOWLEDGE}
  fleetpulse silence list
  fleetpulse silence expire ID
"""
LOOK = "`fleetpulse silence list`"


def main(argv: list[str]) -> int:
    """Do one of the actions; exit code 0. Raises FleetpulseError with what the API says against it."""
    arguments = _parser().parse_args(argv)
    action = {"list": _list, "expire": _expire, "history": _history}.get(arguments.action, _add)
    return action(arguments)


def _parser() -> Parser:
    parser = Parser(
        prog="fleetpulse silence",
        description="Keep alerts quiet, acknowledge one, plan maintenance, so that all see it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        example=ADD,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    planned = PLAN.replace("\\\n      ", "")
    for name, what, example in (
        ("add", "silence by matchers", ADD),
        ("maintenance", "plan maintenance, by matchers", planned),
    ):
        command = actions.add_parser(name, help=what, example=example)
        command.add_argument("matchers", nargs="+", metavar="MATCHER", help='as in alertname=Hot or instance=~"web-.*"')
        command.add_argument("--from", dest="starts", help="RFC 3339 time; default: now")
        _when_and_who(command)
    command = actions.add_parser("ack", help="acknowledge an alert that fires", example=ACKNOWLEDGE)
    command.add_argument("fingerprint", help="the alert's fingerprint, as a notification or the page has it")
    _when_and_who(command)
    command = actions.add_parser("list", help="what is in force or planned", example="fleetpulse silence list")
    command.add_argument("--expired", action="store_true", help="also what is over, for five days")
    command.add_argument("--json", action="store_true", help="print JSON")
    for name, what in (("expire", "end one now"), ("history", "who changed it and when")):
        command = actions.add_parser(name, help=what, example=f"fleetpulse silence {name} ID")
        command.add_argument("id")
        command.add_argument("--author", default=_user(), help="who does it (default: you, %(default)s)")
    return parser


def _when_and_who(command: argparse.ArgumentParser) -> None:
    until = command.add_mutually_exclusive_group(required=True)
    until.add_argument("--for", dest="duration", help="how long, as in 2h30m")
    until.add_argument("--until", help="RFC 3339 time")
    command.add_argument("--comment", required=True, help="why")
    command.add_argument("--author", default=_user(), help="who (default: you, %(default)s)")


def _add(arguments: argparse.Namespace) -> int:
    change: dict[str, Any] = {"comment": arguments.comment, "createdBy": arguments.author}
    change |= {"duration": arguments.duration} if arguments.duration else {"endsAt": _time("--until", arguments.until)}
    if arguments.action == "ack":
        change |= {"kind": "acknowledgement", "alert": {"fingerprint": arguments.fingerprint}}
    else:
        change["kind"] = "maintenance" if arguments.action == "maintenance" else "silence"
        change["matchers"] = _matchers(arguments.matchers)
        if arguments.starts:
            change["startsAt"] = _time("--from", arguments.starts)
    made = call_api("POST", PATH, change, LOOK)
    print(f"{made['id']}  {made['kind']} until {made['endsAt']}")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    found = call_api("GET", PATH)["silences"]
    found = [item for item in found if arguments.expired or item["state"] != "expired"]
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0
    for item in found:
        what = _what(item)
        print(f"{item['id']}  {item['state']:<8} {item['kind']:<15} {item['startsAt']} to {item['endsAt']}")
        print(f"    {what}  {item['createdBy']}: {item['comment']}")
    if not found:
        print("nothing is silenced")
    return 0


def _expire(arguments: argparse.Namespace) -> int:
    query = urlencode({"by": arguments.author})
    ended = call_api("DELETE", f"{PATH}/{quote(arguments.id, safe='')}?{query}", look=LOOK)
    print(f"{ended['id']}  ended at {ended['endsAt']}")
    return 0


def _history(arguments: argparse.Namespace) -> int:
    for change in call_api("GET", f"{PATH}/{quote(arguments.id, safe='')}/history")["changes"]:
        silence = change["silence"]
        until = f"until {silence['endsAt']}, {silence['comment']}"
        print(f"{change['at']}  {change['action']:<8} by {change['by']}: {until}")
    return 0


def _matchers(texts: list[str]) -> list[dict[str, Any]]:
    try:
        found = [matcher for text in texts for matcher in parse_matchers(text)]
    except RuleError as error:
        raise SettingsError(str(error)) from error
    return [
        {"name": item.name, "value": item.value, "isRegex": item.is_regex, "isEqual": item.is_equal}
        for item in listed(found)
    ]


def _what(item: Mapping[str, Any]) -> str:
    if item["alert"]:
        return f"alert {item['alert']['fingerprint']} {item['alert']['severity']}"
    matchers = [LabelMatcher(m["name"], m["value"], m["isRegex"], m["isEqual"]) for m in item["matchers"]]
    return shown(matchers_of(matchers))


def _time(option: str, text: str) -> str:
    milliseconds = parse_duration(text)
    if milliseconds is not None:  # also a time from now on
        return (datetime.now(UTC) + timedelta(milliseconds=milliseconds)).isoformat()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{option} is {text!r}: write a time as 2026-12-01T22:00Z, or 2h from now") from None
    return at.astimezone(UTC).isoformat() if at.tzinfo else at.replace(tzinfo=UTC).isoformat()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"
