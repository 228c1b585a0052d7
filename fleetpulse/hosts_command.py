"""`fleetpulse hosts forget HOST…`: say that hosts are gone for good.

It goes through `fleetpulse.metrics`, in the host's own partition: so every reader of the topic sees it in its place
among the host's samples, also one that reads again. A host that sends after that is a new one.
"""

import argparse
import secrets
import time
from collections.abc import Sequence

from kafka import KafkaProducer
from kafka.errors import KafkaError

from fleetpulse import settings
from fleetpulse.errors import UnavailableError
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.partition import partition_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import VERSION, Control, Frame, Header, encode_frame

TIMEOUT_SECONDS = 30.0


def main(argv: list[str]) -> int:
    """Run a sub-command."""
    parser = argparse.ArgumentParser(prog="fleetpulse hosts", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    forget = commands.add_parser("forget", help="end the alerts of hosts that are gone for good", allow_abbrev=False)
    forget.add_argument("hosts", nargs="+", metavar="HOST", help="the host's name, as alerts have it in `host`")
    arguments = parser.parse_args(argv)
    forget_hosts(settings.load(KafkaSettings), arguments.hosts)
    for host in arguments.hosts:
        print(f"{host}: its alerts end now; should it send again, it is a new host")
    return 0


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
