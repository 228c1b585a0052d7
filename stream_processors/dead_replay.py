"""Dead letters sent again to `fleetpulse.metrics`, once the reason for which they died has gone.

Each part goes to the partition of its hosts, with the headers that its producer gave it and `Header.REPLAYED`: samples
and accounts are those of the first time, so what is replayed twice, or was stored in part, is visible once.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from kafka import KafkaProducer

from fleetpulse.errors import FatalError, RejectedError, SettingsError
from fleetpulse.frames import columns_of
from fleetpulse.kafka_config import kafka_python_config
from fleetpulse.partition import partition_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import MAX_MESSAGE_BYTES, Topic
from fleetpulse.wire import Block, Frame, Header, decode_frame, encode_frame, samples_in
from stream_processors.dead_topic import UNKNOWN, DeadLetter

TIMEOUT_SECONDS = 30.0


class Part(NamedTuple):
    """One message to send; `hosts` in their order."""

    partition: int
    hosts: list[str]
    samples: int
    value: bytes
    headers: list[tuple[str, bytes]]


class Outcome(NamedTuple):
    """What happened to a letter: (partition, offset) of each part that was sent, or why it was refused."""

    letter: DeadLetter
    parts: list[Part]
    sent: list[tuple[int, int]]
    refused: str | None


def parts_of(letter: DeadLetter, topic: str, partitions: int) -> list[Part]:
    """What to send, one message a partition. Raises RejectedError when it would not help."""
    if letter.cut:
        size = f"{len(letter.value)} of its {letter.whole_bytes} bytes are kept"
        raise RejectedError("cut", f"only {size}: the samples are in its producer's hands")
    if letter.topic != topic:
        raise RejectedError("other_topic", f"its message was on {letter.topic}, not on {topic}")
    frame = decode_frame(letter.value)  # a frame that this version cannot read, ingest cannot read either
    for block in frame.blocks:
        columns_of(block)
    by_partition: dict[int, list[Block]] = {}
    for block in frame.blocks:
        by_partition.setdefault(partition_of(block.host, partitions), []).append(block)
    if not by_partition:
        if letter.partition == UNKNOWN:
            raise RejectedError("nowhere", "it has no samples, and nothing says which partition it was on")
        return [Part(letter.partition, [], 0, letter.value, _headers(letter, None))]
    if len(by_partition) == 1:
        [(partition, blocks)] = by_partition.items()
        return [_part(partition, blocks, letter.value, _headers(letter, None))]
    parts: list[Part] = []
    for partition, blocks in by_partition.items():
        control = None if parts else frame.control
        value = encode_frame(Frame(frame.v, frame.sent_ms, blocks, control))
        parts.append(_part(partition, blocks, value, _headers(letter, sum(map(samples_in, blocks)))))
    return parts


def replay(kafka: KafkaSettings, letters: Iterable[DeadLetter], *, dry_run: bool = False) -> list[Outcome]:
    """Send them, in order; with `dry_run` only say what would be sent. Returns when Kafka has everything."""
    topic = Topic.METRICS.named(kafka.topic_prefix)
    producer = KafkaProducer(
        **kafka_python_config(kafka),
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",
        max_request_size=2 * MAX_MESSAGE_BYTES,
    )
    try:
        _check_partitions(producer, topic, kafka.partitions)
        return [_replay_one(producer, topic, kafka.partitions, letter, dry_run) for letter in letters]
    finally:
        producer.close()


def _replay_one(producer: Any, topic: str, partitions: int, letter: DeadLetter, dry_run: bool) -> Outcome:
    try:
        parts = parts_of(letter, topic, partitions)
    except RejectedError as error:
        return Outcome(letter, [], [], str(error))
    futures = []
    for part in () if dry_run else parts:
        key = part.hosts[0].encode() if part.hosts else None
        futures.append(producer.send(topic, part.value, key, part.headers, part.partition))
    records = [future.get(timeout=TIMEOUT_SECONDS) for future in futures]
    return Outcome(letter, parts, [(record.partition, record.offset) for record in records], None)


def _check_partitions(producer: Any, topic: str, wanted: int) -> None:
    found = producer.partitions_for(topic)
    if not found:
        raise FatalError(f"there is no topic {topic}: `fleetpulse topics` creates it")
    if len(found) != wanted:
        raise SettingsError(
            f"topic {topic} has {len(found)} partitions, FLEETPULSE_KAFKA_PARTITIONS is {wanted}: "
            "a host's samples would go to a partition that is not its own"
        )


def _part(partition: int, blocks: list[Block], value: bytes, headers: list[tuple[str, bytes]]) -> Part:
    return Part(partition, [block.host for block in blocks], sum(map(samples_in, blocks)), value, headers)


def _headers(letter: DeadLetter, samples: int | None) -> list[tuple[str, bytes]]:
    """The producer's own, once REPLAYED; `samples`: of a part of the frame."""
    kept = [(name, value) for name, value in letter.headers if name != Header.REPLAYED]
    if samples is not None:
        kept = [(name, str(samples).encode() if name == Header.SAMPLES else value) for name, value in kept]
    return [*kept, (Header.REPLAYED.value, b"1")]
