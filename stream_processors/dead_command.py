"""`fleetpulse dead`: look at the newest dead letters, and let paused partitions go on."""

import argparse
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from fleetpulse import settings
from fleetpulse.clock import to_rfc3339
from fleetpulse.errors import UnavailableError
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from stream_processors.dead import RESUME_KEY, DeadHeader

TIMEOUT_SECONDS = 10.0


def main(argv: list[str]) -> int:
    """Run `list` or `resume`."""
    parser = argparse.ArgumentParser(prog="fleetpulse dead", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="print the newest dead letters, oldest first")
    listing.add_argument("-n", type=int, default=20, help="how many (default 20)")
    commands.add_parser("resume", help="let partitions go on that paused because too much in them is dead")
    arguments = parser.parse_args(argv)
    kafka = settings.load(KafkaSettings)
    try:
        if arguments.command == "resume":
            resume(kafka)
            print("paused partitions go on")
        else:
            for line in newest(kafka, arguments.n):
                print(line)
    except KafkaError as error:
        raise UnavailableError(
            f"Kafka does not answer at {kafka.bootstrap_servers} (FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS): {error}"
        ) from error
    return 0


def resume(kafka: KafkaSettings) -> None:
    """Tell every worker with a paused partition to go on."""
    producer = KafkaProducer(**kafka_python_config(kafka), acks="all")
    try:
        topic = Topic.METRICS_DEAD.named(kafka.topic_prefix)
        producer.send(topic, key=RESUME_KEY, value=b"", partition=0).get(timeout=TIMEOUT_SECONDS)
    finally:
        producer.close()


def newest(kafka: KafkaSettings, number: int) -> list[str]:
    """One line for each of the newest dead letters: time, place, reason, detail."""
    place = TopicPartition(Topic.METRICS_DEAD.named(kafka.topic_prefix), 0)
    consumer = KafkaConsumer(**kafka_python_config(kafka), enable_auto_commit=False)
    try:
        end = consumer.end_offsets([place])[place]
        begin = max(consumer.beginning_offsets([place])[place], end - number)
        consumer.assign([place])
        consumer.seek(place, begin)
        lines: list[str] = []
        while begin < end:
            records = consumer.poll(timeout_ms=int(TIMEOUT_SECONDS * 1000)).get(place, [])
            if not records:
                break
            lines += [_line(record) for record in records if record.key != RESUME_KEY]
            begin = records[-1].offset + 1
        return lines
    finally:
        consumer.close()


def _line(record: Any) -> str:
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    where = "/".join(headers.get(name, "?") for name in (DeadHeader.TOPIC, DeadHeader.PARTITION, DeadHeader.OFFSET))
    reason, detail = headers.get(DeadHeader.REASON, "?"), headers.get(DeadHeader.DETAIL, "")
    size = headers.get(DeadHeader.SIZE)
    cut = f" (cut to {len(record.value)} of {size} bytes)" if size else ""
    return f"{to_rfc3339(record.timestamp)} {where} {reason}: {detail}{cut}"
