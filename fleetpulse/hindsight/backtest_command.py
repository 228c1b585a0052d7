"""`fleetpulse rules backtest RULE --since 30d`: what a rule would have done, beside the one that is in force."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fleetpulse.api_client import api_url
from fleetpulse.arguments import Parser
from fleetpulse.errors import FleetpulseError, RejectedError, UnavailableError

TIMEOUT_SECONDS = 300.0  # without any line
_WIDTH = 30
_SHOWN = 20


def main(argv: Sequence[str]) -> int:
    """Ask the API, show a progress bar on a terminal and then the result; 0 whatever the rule would have done."""
    parser = Parser(
        prog="fleetpulse rules backtest",
        description=(__doc__ or "").partition(": ")[2],
        example="fleetpulse rules backtest HostCpuHigh --since 7d",
    )
    parser.add_argument("rule", help="an alerting rule's name")
    parser.add_argument("--file", type=Path, help="a rule file with the new version (default: the rule in force)")
    parser.add_argument("--since", default="30d", help="how far back, or a time (default: 30d)")
    parser.add_argument("--until", help="RFC 3339 or Unix seconds (default: now)")
    parser.add_argument("--host", action="append", default=[], help="only this host; may be repeated")
    parser.add_argument("--tier", choices=["raw", "1m"], help="which samples (default: whichever is right)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args(argv)
    asked = {"rule": arguments.rule, "since": arguments.since, "until": arguments.until, "hosts": arguments.host}
    asked["tier"] = arguments.tier
    if arguments.file:
        try:
            asked["text"] = arguments.file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RejectedError("file", f"the rule file {arguments.file} cannot be read: {error}") from error
    for line in _answered(asked):
        if line["type"] == "error":
            raise FleetpulseError(line["detail"])
        if line["type"] == "progress":
            _progress(line)
        else:
            _progress(None)
            print(json.dumps(line, indent=2) if arguments.json else shown(line))
            return 0
    raise UnavailableError("the API ended its answer before the result: see its log")


def _answered(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    base = api_url()
    headers = {"Accept": "application/x-ndjson", "Content-Type": "application/json"}
    request = urllib.request.Request(
        f"{base}/api/fleet/v1/rules/backtest", json.dumps(asked).encode(), headers, method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # our own API: no proxy
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            for line in answer:
                yield json.loads(line)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read()
        try:
            detail = str(json.loads(text)["detail"])
        except (ValueError, KeyError, TypeError):
            detail = f"HTTP {error.code}"
        raise RejectedError("api", detail) from error
    except OSError as error:
        cause = getattr(error, "reason", None) or error
        raise UnavailableError(
            f"the API does not answer at {base}: {cause}; start it with `fleetpulse up`, or set FLEETPULSE_API_URL"
        ) from error


def _progress(line: dict[str, Any] | None) -> None:
    """A bar on a terminal, nothing elsewhere; None: it is done."""
    if not sys.stderr.isatty():
        return
    if line is None:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
        return
    filled = int(line["share"] * _WIDTH)
    bar = "#" * filled + "." * (_WIDTH - filled)
    text = f"{bar} {100 * line['share']:3.0f} %  {line['at'][:16]}  {line['samples']:,} samples"
    print(f"\r\033[K{text}, {line['episodes']} episodes", end="", file=sys.stderr, flush=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def shown(result: dict[str, Any]) -> str:
    """The result for a terminal."""
    new, live, difference = result["new"], result["live"], result["difference"]
    lines = [
        f"{result['rule']} from {result['since']} to {result['until']}: {_count(result['hosts'], 'host')}, "
        f"{result['series']} series, {result['samples']:,} {result['tier']} samples",
        *(f"note: {note}" for note in result["notes"]),
        "",
        _version("new" if live else "in force", new),
    ]
    if live:
        lines += [_version("live", live), ""]
        lines.append(
            f"new against live: {difference['same']} the same, {difference['added']} added, "
            f"{difference['removed']} removed, {difference['changed']} changed"
        )
        for sign, name in (("+", "addedList"), ("-", "removedList")):
            lines += [f"  {sign} {_episode(each)}" for each in difference[name][:_SHOWN]]
        for each in difference["changedList"][:_SHOWN]:
            lines += [f"  ~ {_episode(each['before'])}", f"    now {_episode(each['after'])}"]
    if new["hosts"]:
        lines += ["", "by host:"]
        lines += [
            f"  {each['host']}: {each['episodes']} episodes, {each['firingMinutes']:g} minutes, "
            f"{each['notifications']} notifications"
            for each in new["hosts"][:_SHOWN]
        ]
        if len(new["hosts"]) > _SHOWN:
            lines.append(f"  and {len(new['hosts']) - _SHOWN} more hosts: --json has all")
        lines += ["", "episodes:", *(f"  {_episode(each)}" for each in new["shown"][:_SHOWN])]
        if new["episodes"] > _SHOWN:
            lines.append(f"  and {new['episodes'] - _SHOWN} more")
    return "\n".join(lines)


def _version(name: str, version: dict[str, Any]) -> str:
    return (
        f"{name:<9} {version['episodes']} episodes ({version['firing']} fire at the end), "
        f"{version['firingMinutes']:g} minutes firing, {version['notifications']} notifications"
    )


def _episode(episode: dict[str, Any]) -> str:
    severity = f" {episode['severity']}" if episode["severity"] else ""
    until = episode["endsAt"] or "still firing"
    stale = ", stale" if episode["stale"] else ""
    return f"{episode['host']}{severity}: {episode['startsAt']} to {until}, {episode['firingMinutes']:g} minutes{stale}"
