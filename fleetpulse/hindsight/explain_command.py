"""`fleetpulse rules explain RULE --host HOST`: why a rule fired for a host at a time, or what held it back."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from fleetpulse.api_client import call_api
from fleetpulse.arguments import Parser

_MARKS = {"inactive": ".", "pending": "p", "held": "h", "firing": "F", "stale": "S"}
_ROWS = 40


def main(argv: Sequence[str]) -> int:
    """Ask the API and print the time line, the events and the verdict; 0 also when nothing fires."""
    parser = Parser(
        prog="fleetpulse rules explain",
        description=(__doc__ or "").partition(": ")[2],
        example="fleetpulse rules explain HostCpuHigh --host web-017",
    )
    parser.add_argument("rule", help="an alerting rule's name")
    parser.add_argument("--host", required=True, help="the host")
    parser.add_argument("--at", help="the time: RFC 3339 or Unix seconds (default: now)")
    parser.add_argument("--before", default="1h", help="how much of the time line is shown (default: 1h)")
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    arguments = parser.parse_args(argv)
    asked = {"host": arguments.host, "before": arguments.before}
    if arguments.at:
        asked["at"] = arguments.at
    path = f"/api/fleet/v1/rules/{quote(arguments.rule, safe='')}/explain?{urlencode(asked)}"
    answer = call_api("GET", path)
    print(json.dumps(answer, indent=2) if arguments.json else shown(answer))
    return 0


def shown(answer: dict[str, Any]) -> str:
    """The answer for a terminal."""
    rule = answer["rule"]
    levels = ", ".join(f"{level['severity'] or 'fires'} at {level['threshold']}" for level in answer["levels"])
    lines = [f"{rule['name']} for {answer['host']} at {answer['at']} ({answer['tier']} samples)", f"  {rule['expr']}"]
    if levels.strip(" ,"):
        lines.append(f"  {levels}; for {rule['forSeconds']:g} s")
    for series in answer["series"]:
        lines += ["", _labels(series["labels"]), *(_point(point) for point in _some(series["points"]))]
        lines += [f"  {span['since']} to {span['until']}: {_state(span)}" for span in series["spans"]]
    if answer["events"]:
        lines += ["", "events by what is stored:"]
        lines += [_event(event) for event in answer["events"]]
    verdict = answer["verdict"]
    return "\n".join([*lines, "", f"{verdict['reason']}: {verdict['sentence']}"])


def _labels(labels: dict[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"


def _some(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Some of the points: the newest, the changes of state and a few between."""
    every = max(1, -(-len(points) // _ROWS))
    changes = [i for i in range(1, len(points)) if points[i]["state"] != points[i - 1]["state"]]
    kept = sorted({*range(len(points) - 1, -1, -every), *changes})
    return [points[i] for i in kept]


def _point(point: dict[str, Any]) -> str:
    value = "NaN" if point["value"] is None else f"{point['value']:g}"
    return f"  {point['time']}  {_MARKS[point['state']]}  {value:>12}  {_state(point)}"


def _state(of: dict[str, Any]) -> str:
    return f"{of['state']} {of['severity']}".strip()


def _event(event: dict[str, Any]) -> str:
    paged = {True: "sent", False: "not sent", None: "not known whether sent"}[event["paged"]]
    stale = ", stale" if event["stale"] else ""
    return f"  {event['time']}  {event['status']} {event['severity']} ({event['reason']}{stale}), {paged}"
