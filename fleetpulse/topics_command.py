"""`fleetpulse topics`: create every topic of the enum, or check those that exist."""

import argparse
import sys

from fleetpulse import logs, settings
from fleetpulse.publish.topic_admin import delete_topics, ensure_topics
from fleetpulse.settings import ClickHouseSettings, KafkaSettings
from fleetpulse.topics import Topic
from fleetpulse.unfinished import unfinished


def main(argv: list[str]) -> int:
    """Create or check the topics; `--recreate` deletes those that are split by host first."""
    parser = argparse.ArgumentParser(prog="fleetpulse topics", description=__doc__, allow_abbrev=False)
    parser.add_argument("--recreate", action="store_true", help="delete the topics split by host, with all they hold")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--lose", action="store_true", help="delete also what is not stored or finished yet")
    arguments = parser.parse_args(argv)
    kafka = settings.load(KafkaSettings)
    log_settings = settings.load(settings.LogSettings)
    logs.set_up("topics", log_settings.level, log_settings.format)
    if arguments.recreate and not _deleted(kafka, arguments.yes, arguments.lose):
        return 1
    ensure_topics(kafka)
    for topic in Topic:
        print(topic.named(kafka.topic_prefix))
    return 0


def _deleted(kafka: KafkaSettings, yes: bool, lose: bool) -> bool:
    doomed = [topic.named(kafka.topic_prefix) for topic in Topic if topic.value.per_host]
    problems = [] if lose else unfinished(kafka, settings.load(ClickHouseSettings).url)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(
            "nothing was changed: stop the producers, let the workers run until this says nothing, stop them too, and "
            "run it again; `--lose` deletes all the same",
            file=sys.stderr,
        )
        return False
    if not yes and input(f"Delete {', '.join(doomed)} on {kafka.bootstrap_servers}? [y/N] ") != "y":
        print("nothing was changed", file=sys.stderr)
        return False
    delete_topics(kafka, doomed)
    return True
