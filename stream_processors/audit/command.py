"""`fleetpulse audit`: for every host and hour, show that what was sent is stored or accounted for."""

import argparse
import json
import logging
import re

from fleetpulse import settings
from fleetpulse.clock import SystemClock
from fleetpulse.settings import ClickHouseSettings, IngestSettings, KafkaSettings, PublishSettings
from stream_processors.audit.run import Audit, Question, audit
from stream_processors.audit.show import as_json, as_lines
from stream_processors.audit.watch import watch

_UNITS = {"m": 60, "h": 3600, "d": 86400}


def main(argv: list[str]) -> int:
    """0: everything is explained; 1: something is not, or was lost; 2: not everything could be looked at."""
    parser = argparse.ArgumentParser(
        prog="fleetpulse audit",
        description="Compare, for every host and hour (UTC) of the samples, what producers sent with what is stored: "
        "sent = stored + duplicate + refused + dead + dropped + lost + pending.",
        epilog="Exit code: 0 everything is explained, 1 something is not or was lost, 2 not everything could be "
        "looked at.",
        allow_abbrev=False,
    )
    parser.add_argument("--since", type=_seconds, default=86400, metavar="AGE", help="age like 90m, 24h, 7d (24h)")
    parser.add_argument("--host", help="only this host")
    parser.add_argument("--all", action="store_true", help="show every host and hour, not only the unexplained ones")
    parser.add_argument("--json", action="store_true", help="print one JSON document (docs/audit.md)")
    parser.add_argument(
        "--allow-lost", action="store_true", help="messages that Kafka deleted unread do not count as a failure"
    )
    parser.add_argument(
        "--read-seconds", type=float, default=60.0, help="how long to read what waits in Kafka (default 60)"
    )
    parser.add_argument(
        "--every",
        type=_seconds,
        metavar="AGE",
        help="go on: audit so often, serve and publish the result as own metrics",
    )
    arguments = parser.parse_args(argv)
    url, kafka = settings.load(ClickHouseSettings).url, settings.load(KafkaSettings)
    ingest, publish = settings.load(IngestSettings), settings.load(PublishSettings)

    def run() -> Audit:
        now_ms = SystemClock().now_ms()
        since_ms = now_ms - arguments.since * 1000
        question = Question(since_ms, now_ms, arguments.host, arguments.read_seconds, arguments.allow_lost)
        return audit(question, url, kafka, ingest, publish)

    if arguments.every:
        return watch(run, arguments.every)
    logging.getLogger().addHandler(logging.NullHandler())  # the result is what this command says
    found = run()
    if arguments.json:
        print(json.dumps(as_json(found, everything=arguments.all), indent=2))
    else:
        print("\n".join(as_lines(found, everything=arguments.all)))
    return found.exit_code


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([1-9]\d*)([mhd])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: write 90m, 24h or 7d")
    return int(match[1]) * _UNITS[match[2]]
