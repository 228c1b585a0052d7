"""Dead letters that are too large for their topic: the beginning is kept, and the partition moves on."""

import asyncio
import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import xxhash
from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, TopicPartition

from fleetpulse.publish.topic_admin import admin_client
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from fleetpulse.topics import Topic
from stream_processors.dead import CUT_BYTES, DeadLetters, Letter
from stream_processors.dead_command import newest
from stream_processors.inbox import Message
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.ingested import ingest_env
from tests.support.running import running
from tests.support.servers import KafkaServer

pytestmark = pytest.mark.servers

ZEROS = bytes(20_000_000)


def letter(offset: int, value: bytes, headers: tuple[tuple[str, bytes], ...] = (), detail: str = "why") -> Letter:
    return Letter(Message("t", 0, offset, 0, None, value, headers), "undecodable", detail)


def write(kafka: KafkaSettings, *letters: Letter) -> list[Any]:
    """Send them, and read the topic."""

    async def send() -> None:
        dead = DeadLetters(kafka, SelfMetrics())
        try:
            await asyncio.wait_for(dead.send(letters), 30)
        finally:
            await dead.close()

    asyncio.run(send())
    return letters_of(kafka, len(letters))


def letters_of(kafka: KafkaSettings, count: int) -> list[Any]:
    place = TopicPartition(Topic.METRICS_DEAD.named(kafka.topic_prefix), 0)
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, max_partition_fetch_bytes=64 * 1024 * 1024)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    found: list[Any] = []
    while len(found) < count:
        found += consumer.poll(timeout_ms=5000).get(place, [])
    consumer.close()
    return found


def test_a_value_that_compresses_well_is_whole_and_another_is_cut(topics: KafkaSettings) -> None:
    noise = os.urandom(10_000_000)
    whole, cut, last = write(topics, letter(1, ZEROS), letter(2, noise), letter(3, b"x"))
    assert (whole.value, cut.value, last.value) == (ZEROS, noise[:CUT_BYTES], b"x")
    assert "fp-dead-size" not in dict(whole.headers)
    headers = dict(cut.headers)
    assert headers["fp-dead-size"] == b"10000000"
    assert headers["fp-dead-xxh3"].decode() == xxhash.xxh3_64_hexdigest(noise)
    assert "cut to 524288 of 10000000 bytes" in newest(topics, 3)[1]


def test_headers_and_details_that_are_too_large_are_cut(topics: KafkaSettings) -> None:
    large = letter(1, b"x", (("a", b"1"), ("huge", bytes(9_000_000)), ("b", b"2")), "d" * 9_000_000)
    [found] = write(topics, large)
    headers = dict(found.headers)
    assert (headers["a"], "huge" in headers, len(headers["fp-dead-detail"])) == (b"1", False, 1000)


def test_a_broker_with_a_lower_limit(kafka: KafkaServer) -> None:
    # Set when the topic is created: a broker takes an altered limit only some time after it has confirmed it.
    topics = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, topic_prefix=f"test-{uuid.uuid4().hex[:12]}")
    limited = {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "1000000"}}
    with admin_client(topics) as admin:
        admin.create_topics({Topic.METRICS_DEAD.named(topics.topic_prefix): limited})
    noise = os.urandom(3_000_000)
    first, cut, last = write(topics, letter(0, b"a"), letter(1, noise), letter(2, b"b"))
    assert (first.value, cut.value, last.value) == (b"a", noise[:CUT_BYTES], b"b")


def test_a_worker_moves_on_after_large_messages_and_null_headers(
    topics: KafkaSettings, database: Database, tmp_path: Path
) -> None:
    sender, client = FrameSender(topics), connect(database.url)
    partition = sender.partition_of("h1")
    name = Topic.METRICS.named(topics.topic_prefix)

    async def send() -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=topics.bootstrap_servers, compression_type="zstd", max_request_size=64 * 1024 * 1024
        )
        await producer.start()
        await producer.send_and_wait(name, ZEROS, partition=partition)
        await producer.send_and_wait(name, b"x", partition=partition, headers=[("fp-producer", None)])
        await producer.stop()

    asyncio.run(send())
    with running("ingest", ingest_env(topics, database.url), tmp_path):
        sender.send(sender.block("h1", time.time_ns() // 1_000_000, {"m": 1.0}))
        sender.flush()
        eventually(lambda: client.execute("SELECT value FROM metrics") == [(1.0,)], 30)
        assert len(newest(topics, 9)) == 2
    sender.close()
    client.disconnect()
