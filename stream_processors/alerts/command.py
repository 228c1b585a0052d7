"""`fleetpulse alerts tail`: follow every transition of every alert, a line each."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

from fleetpulse import settings
from fleetpulse.clock import Clock, SystemClock
from fleetpulse.errors import FrameError, RuleError
from fleetpulse.events import AlertEvent, decode_event
from fleetpulse.notify.matchers import Matchers, matches, parse_matchers
from fleetpulse.rules.fields import parse_duration
from fleetpulse.settings import KafkaSettings
from stream_processors.alerts.show import line
from stream_processors.alerts.tail import Message, follow


def main(argv: list[str]) -> int:
    """Run until SIGINT, or with --no-follow until everything is shown."""
    arguments = _parser().parse_args(argv)
    kafka = settings.load(KafkaSettings)
    logging.getLogger().addHandler(logging.NullHandler())  # the events are what this command says
    matchers = tuple(one for group in arguments.matchers for one in group)
    since_ms = _since(arguments.since, SystemClock(), arguments.no_follow)
    colour = wants_colour(arguments.color, sys.stdout, os.environ)
    show(follow(kafka, since_ms, arguments.no_follow), matchers, as_json=arguments.json, colour=colour)
    return 0


def show(messages: Iterable[Message], matchers: Matchers, *, as_json: bool, colour: bool) -> None:
    """Print the events that match; what is none is named on standard error."""
    for message in messages:
        try:
            event = decode_event(message.value)
        except FrameError as error:
            print(f"{message.place}: {error}", file=sys.stderr)
            continue
        if matches(matchers, labels_of(event)):
            whole = json.dumps(json.loads(message.value), ensure_ascii=False, separators=(",", ":"))
            print(whole if as_json else line(event, colour), flush=True)


def labels_of(event: AlertEvent) -> dict[str, str]:
    """What matchers are held against: the alert's labels, and `status`, `host` and `reason` beside them."""
    data = event.data
    return {"status": data.status, "host": data.host, "reason": data.reason, **data.labels}


def wants_colour(choice: str, out: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether to colour: on a terminal, unless NO_COLOR (https://no-color.org) or TERM says no."""
    if choice != "auto":
        return choice == "always"
    return not environment.get("NO_COLOR") and environment.get("TERM") != "dumb" and out.isatty()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fleetpulse alerts", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    tail = commands.add_parser(
        "tail",
        help="follow the topic fleetpulse.alerts",
        description="Time (UTC), severity, name, host, what changed, and the value with its limit.",
        epilog="Matchers are Alertmanager's, on the alert's labels and on status, host and reason: "
        "fleetpulse alerts tail severity=critical 'instance=~\"web-.*\"' status=firing",
        allow_abbrev=False,
    )
    tail.add_argument("matchers", metavar="MATCHER", nargs="*", type=_matcher, help="only alerts that match all")
    tail.add_argument("--since", type=_age, metavar="AGE", help="begin so long ago, like 30m, 6h or 2d (else: now)")
    tail.add_argument("--no-follow", action="store_true", help="end after what is there (everything without --since)")
    tail.add_argument("--json", action="store_true", help="each event as it is, a line each (docs/alerts.schema.json)")
    tail.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="auto: on a terminal")
    return parser


def _since(age_ms: int | None, clock: Clock, no_follow: bool) -> int | None:
    if age_ms is None:
        return 0 if no_follow else None
    return max(0, clock.now_ms() - age_ms)


def _matcher(text: str) -> Matchers:
    try:
        return parse_matchers(text)
    except RuleError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _age(text: str) -> int:
    milliseconds = parse_duration(text)
    if not milliseconds:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: write 90m, 24h or 7d")
    return milliseconds
