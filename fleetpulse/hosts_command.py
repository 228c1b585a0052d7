"""`fleetpulse hosts forget HOST…`: say that hosts are gone for good.

It goes through `fleetpulse.metrics`, in the host's own partition: so every reader of the topic sees it in its place
among the host's samples, also one that reads again. A host that sends after that is a new one.
"""

import secrets
import sys
import time
from collections.abc import Sequence
from urllib.parse import quote

from kafka import KafkaProducer
from kafka.errors import KafkaError

from fleetpulse import settings
from fleetpulse.api_client import call_api
from fleetpulse.arguments import Parser
from fleetpulse.errors import FleetpulseError, RejectedError, UnavailableError
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.partition import partition_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import VERSION, Control, Frame, Header, encode_frame

TIMEOUT_SECONDS = 30.0


def main(argv: list[str]) -> int:
    """Run a sub-command."""
    example = "fleetpulse hosts forget web-017"
    parser = Parser(prog="fleetpulse hosts", description="Say that hosts are gone for good.", example=example)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    forget = commands.add_parser("forget", help="end the alerts of hosts that are gone for good", example=example)
    forget.add_argument("hosts", nargs="+", metavar="HOST", help="the host's name, as alerts have it in `host`")
    forget.add_argument("--unchecked", action="store_true", help="also hosts of which nothing is stored")
    arguments = parser.parse_args(argv)
    unknown = [] if arguments.unchecked else unknown_hosts(arguments.hosts)
    for why in unknown:
        print(f"fleetpulse hosts: {why}", file=sys.stderr)
    if unknown:
        print("fleetpulse hosts: nothing was done; --unchecked forgets them all the same", file=sys.stderr)
        return 1
    forget_hosts(settings.load(KafkaSettings), arguments.hosts)
    for host in arguments.hosts:
        print(f"{host}: its alerts end now; should it send again, it is a new host")
    return 0


def unknown_hosts(hosts: Sequence[str]) -> list[str]:
    """A sentence, with the nearest names, for each host that the API does not know; none where it cannot be asked.

    It must be possible to end alerts while the API or ClickHouse is down.
    """
    found: list[str] = []
    for host in hosts:
        try:
            call_api("GET", f"/api/fleet/v1/hosts/{quote(host, safe='')}")
        except RejectedError as error:
            found.append(str(error))
        except FleetpulseError as error:
            print(f"note: whether the names are right was not checked: {error}", file=sys.stderr)
            return []
    return found


def forget_hosts(kafka: KafkaSettings, hosts: Sequence[str]) -> None:
    """Publish that these hosts are gone; returns when Kafka has it. Raises UnavailableError."""
    topic = Topic.METRICS.named(kafka.topic_prefix)
    try:
        producer = KafkaProducer(**kafka_python_config(kafka), acks="all", enable_idempotence=True)
        try:
            # Each frame is all that a producer of its own ever sends: so the audit expects nothing else of it.
            frame = encode_frame(Frame(VERSION, time.time_ns() // 1_000_000, [], Control(closed=True)))
            sent = [
                producer.send(topic, frame, host.encode(), _headers(host), partition_of(host, kafka.partitions))
                for host in hosts
            ]
            for one in sent:
                one.get(TIMEOUT_SECONDS)
        finally:
            producer.close(TIMEOUT_SECONDS)
    except (KafkaError, OSError) as error:
        raise UnavailableError(
            f"Kafka at {kafka.bootstrap_servers} did not take it: {error!r}; see `fleetpulse status`, then try again"
        ) from error


def _headers(host: str) -> list[tuple[str, bytes]]:
    return [
        (str(Header.PRODUCER), secrets.token_hex(8).encode()),
        (str(Header.SEQ), b"1"),
        (str(Header.SAMPLES), b"0"),
        (str(Header.DEPARTED), host.encode()),
    ]
