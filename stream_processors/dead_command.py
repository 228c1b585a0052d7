"""`fleetpulse dead`: look at dead letters, send them again, and let paused partitions go on."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from fleetpulse import settings
from fleetpulse.errors import FatalError, UnavailableError
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from stream_processors import dead_show, dead_topic
from stream_processors.dead import RESUME_KEY
from stream_processors.dead_replay import Outcome, replay
from stream_processors.dead_topic import DeadLetter

WHICH = "PARTITION/OFFSET of the message, or NUMBER of the letter, as `dead list` shows them"


def main(argv: list[str]) -> int:
    """Run a subcommand; 1 when a letter was not sent again."""
    arguments = _parser().parse_args(argv)
    kafka = settings.load(KafkaSettings)
    try:
        return int(arguments.run(kafka, arguments))
    except KafkaError as error:
        raise UnavailableError(
            f"Kafka does not answer at {kafka.bootstrap_servers} (FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS): {error}"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fleetpulse dead", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="print the newest dead letters, oldest first", allow_abbrev=False)
    listing.add_argument("-n", type=int, default=20, help="how many (default 20)")
    listing.set_defaults(run=_list)
    showing = commands.add_parser(
        "show", help="print one letter whole, decoded as far as it decodes", allow_abbrev=False
    )
    showing.add_argument("letter", metavar="LETTER", help=WHICH)
    showing.add_argument("--json", action="store_true", help="with every sample, and the value as base64")
    showing.set_defaults(run=_show)
    again = commands.add_parser(
        "replay", help="send letters again; what was stored already stays visible once", allow_abbrev=False
    )
    again.add_argument("letters", metavar="LETTER", nargs="*", help=WHICH)
    again.add_argument("--reason", help="all letters of this reason, e.g. wrong_partition")
    again.add_argument("--dry-run", action="store_true", help="only say what would be sent")
    again.add_argument("--json", action="store_true", help="one document for a program")
    again.set_defaults(run=_replay)
    going = commands.add_parser(
        "resume", help="let partitions go on that paused because too much in them is dead", allow_abbrev=False
    )
    going.set_defaults(run=_resume)
    return parser


def resume(kafka: KafkaSettings) -> None:
    """Tell every worker with a paused partition to go on."""
    producer = KafkaProducer(**kafka_python_config(kafka), acks="all")
    try:
        topic = Topic.METRICS_DEAD.named(kafka.topic_prefix)
        producer.send(topic, key=RESUME_KEY, value=b"", partition=0).get(timeout=dead_topic.TIMEOUT_SECONDS)
    finally:
        producer.close()


def newest(kafka: KafkaSettings, number: int) -> list[str]:
    """One line for each of the newest dead letters: number, time, place, reason, detail."""
    return list(map(dead_show.line, dead_topic.read(kafka, number)))


def chosen(kafka: KafkaSettings, names: Sequence[str], reason: str | None = None) -> list[DeadLetter]:
    """The letters that are named or died of `reason`, in their order; of a message with several, the newest.

    Raises FatalError for a name that nothing has.
    """
    wanted, by_message = set(names), {}
    for letter in dead_topic.read(kafka):
        called = {str(letter.number), f"{letter.partition}/{letter.offset}", letter.place} & set(names)
        if called or letter.reason == reason:
            by_message[letter.place if letter.offset != dead_topic.UNKNOWN else letter.number] = letter
            wanted -= called
    if wanted:
        raise FatalError(
            f"there is no dead letter {', '.join(sorted(wanted))}: `fleetpulse dead list -n 1000` shows more"
        )
    return list(by_message.values())


def _list(kafka: KafkaSettings, arguments: argparse.Namespace) -> int:
    lines = newest(kafka, arguments.n)
    print("\n".join(lines) or "there are no dead letters")
    return 0


def _show(kafka: KafkaSettings, arguments: argparse.Namespace) -> int:
    letter = chosen(kafka, [arguments.letter])[-1]
    if arguments.json:
        print(json.dumps(dead_show.as_json(letter, kafka.partitions), indent=2))
    else:
        print("\n".join(dead_show.as_text(letter, kafka.partitions)))
    return 0


def _resume(kafka: KafkaSettings, _: argparse.Namespace) -> int:
    resume(kafka)
    print("paused partitions go on")
    return 0


def _replay(kafka: KafkaSettings, arguments: argparse.Namespace) -> int:
    if not arguments.letters and not arguments.reason:
        raise FatalError("say which letters to send again: LETTER…, or --reason REASON for all of one reason")
    outcomes = replay(kafka, chosen(kafka, arguments.letters, arguments.reason), dry_run=arguments.dry_run)
    if arguments.json:
        print(json.dumps({"dry_run": arguments.dry_run, "letters": list(map(_outcome, outcomes))}, indent=2))
    else:
        for outcome in outcomes:
            print(dead_show.printable(_sentence(outcome, arguments.dry_run)))
        print(_summary(outcomes, arguments.dry_run))
    return 1 if any(outcome.refused for outcome in outcomes) else 0


def _sentence(outcome: Outcome, dry_run: bool) -> str:
    head = f"#{outcome.letter.number} {outcome.letter.place}"
    if outcome.refused is not None:
        return f"{head} not sent: {outcome.refused}"
    sent = iter(outcome.sent)
    parts = [
        f"{part.samples} samples of {len(set(part.hosts))} host{'s' * (len(set(part.hosts)) != 1)} to partition "
        f"{part.partition}" + ("" if dry_run else f", offset {next(sent)[1]}")
        for part in outcome.parts
    ]
    return f"{head} {'would be sent' if dry_run else 'sent'}: {'; '.join(parts)}"


def _summary(outcomes: Sequence[Outcome], dry_run: bool) -> str:
    fine = [outcome for outcome in outcomes if outcome.refused is None]
    samples = sum(part.samples for outcome in fine for part in outcome.parts)
    verb = "would be sent again" if dry_run else "sent again"
    return f"{len(fine)} of {len(outcomes)} letters {verb}, {samples} samples"


def _outcome(outcome: Outcome) -> dict[str, Any]:
    letter = outcome.letter
    offsets: list[int | None] = [offset for _, offset in outcome.sent] or [None] * len(outcome.parts)
    return {
        "number": letter.number,
        "message": letter.place,
        "reason": letter.reason,
        "refused": outcome.refused,
        "parts": [
            {"partition": part.partition, "hosts": part.hosts, "samples": part.samples, "offset": offset}
            for part, offset in zip(outcome.parts, offsets, strict=True)
        ],
    }
