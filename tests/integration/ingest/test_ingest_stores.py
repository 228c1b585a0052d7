"""Samples from frame to view: bits, duplicates, late ones; dead letters; one worker on real servers."""

import math
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from fleetpulse.metric import STALE_NAN, STALE_NAN_BITS
from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from fleetpulse.topics import Topic
from fleetpulse.wire import Frame, encode_frame
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.ingested import ingest_env, past_minute, rollups, rollups_equal_raw
from tests.support.running import Running, running

pytestmark = pytest.mark.servers


@pytest.fixture
def sender(topics: KafkaSettings) -> Iterator[FrameSender]:
    frames = FrameSender(topics)
    yield frames
    frames.close()


def test_values_arrive_bit_exact_and_each_sample_is_visible_once(
    topics: KafkaSettings, database: Database, sender: FrameSender, tmp_path: Path
) -> None:
    odd_nan = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_1234))[0]
    values = {
        "stale": STALE_NAN, "odd": odd_nan, "up": math.inf, "down": -math.inf, "zero": 0.0, "minus": -0.0,
        "tiny": 5e-324, "third": 1 / 3,
    }  # fmt: skip
    minute = past_minute(8)
    client = connect(database.url)
    with running("ingest", ingest_env(topics, database.url, minute.lateness_seconds), tmp_path):
        ts = minute.start_ms + 10_000
        for _ in range(2):  # the second time, every sample is a duplicate
            sender.send(sender.block("h1", ts, values))
        sender.send(sender.block("h1", ts + 10_000, {"third": 4.0}))
        sender.send(sender.block("h1", ts + 5_000, {"third": 2.0}))  # late
        sender.send(sender.block("h1", ts, {"up": 1.0}))  # another value for a time that has one: the larger stays
        sender.send(sender.block("h1", ts, {"zero": 1.0}))
        sender.flush()
        eventually(lambda: len(rollups(client)) == 6, 40)
        stored = client.execute(
            "SELECT metric, reinterpretAsUInt64(value) FROM metrics "
            "WHERE timestamp = fromUnixTimestamp64Milli({ts:Int64})",
            {"ts": ts},
        )
        assert len(stored) == len(values)
        bits = {name: struct.unpack("<Q", struct.pack("<d", value))[0] for name, value in values.items()}
        bits["zero"] = struct.unpack("<Q", struct.pack("<d", 1.0))[0]
        assert dict(stored) == bits
        assert bits["stale"] == STALE_NAN_BITS

        def third(count: int) -> bool:
            return rollups_equal_raw(client) and rollups(client)["h1", "third", minute.start_ms][0] == count

        eventually(lambda: third(3), 30)
        nans = client.execute("SELECT count, nans FROM samples_1m FINAL WHERE count = 0")
        assert nans == [(0, 1), (0, 1)]
        # A sample that comes after its bucket was closed is seen in the rollup as well.
        sender.send(sender.block("h1", ts + 7_000, {"third": 9.0}))
        sender.flush()
        eventually(lambda: third(4), 30)
        [(host, status, simulated)] = client.execute("SELECT host, status, simulated FROM hosts")
        assert (host, status, simulated) == ("h1", "up", 0)
    client.disconnect()


def test_what_cannot_be_read_becomes_a_dead_letter_and_the_partition_moves_on(
    topics: KafkaSettings, database: Database, sender: FrameSender, tmp_path: Path
) -> None:
    now_ms = time.time_ns() // 1_000_000
    partition = sender.partition_of("h1")
    sender.send_raw(b"garbage", "k", partition, [("x", b"y")])
    unknown = encode_frame(Frame(99, 0, []))
    sender.send_raw(unknown, "k", partition)
    sender.send(sender.block("h1", now_ms, {"a": 1.0}), partition=(partition + 1) % 4)
    sender.send(sender.block("h1", now_ms, {"1bad": 1.0, "good": 2.0}, simulated="true"))
    client = connect(database.url)
    consumer = KafkaConsumer(
        Topic.METRICS_DEAD.named(topics.topic_prefix),
        bootstrap_servers=topics.bootstrap_servers,
        auto_offset_reset="earliest",
    )
    try:
        with running("ingest", ingest_env(topics, database.url), tmp_path) as ingest:
            eventually(lambda: client.execute("SELECT metric, value FROM metrics") == [("good", 2.0)], 30)
            letters: dict[bytes, Any] = {}
            while len(letters) < 4:
                for records in consumer.poll(timeout_ms=10_000).values():
                    for record in records:
                        headers = dict(record.headers)
                        letters[headers["fp-dead-reason"]] = (record, headers)
            assert set(letters) == {b"undecodable", b"unknown_version", b"wrong_partition", b"metric_name"}
            record, headers = letters[b"undecodable"]
            assert (record.value, headers["x"]) == (b"garbage", b"y")
            assert headers["fp-dead-topic"].decode() == Topic.METRICS.named(topics.topic_prefix)
            assert (headers["fp-dead-partition"], headers["fp-dead-offset"]) == (str(partition).encode(), b"0")
            assert "version 99" in letters[b"unknown_version"][1]["fp-dead-detail"].decode()
            assert letters[b"unknown_version"][0].value == unknown
            eventually(lambda: client.execute("SELECT simulated FROM hosts") == [(1,)], 10)
            assert ingest.stop() == 0
        assert client.execute("SELECT sum(dead), sum(refused), sum(stored) FROM ledger") == [(3, 1, 1)]
    finally:
        consumer.close()
        client.disconnect()


def test_two_workers_share_the_partitions_and_one_takes_over_from_a_killed_one(
    topics: KafkaSettings, database: Database, sender: FrameSender, tmp_path: Path
) -> None:
    minute = past_minute(18)
    env = ingest_env(topics, database.url, minute.lateness_seconds)
    client = connect(database.url)
    hosts = [f"h{number}" for number in range(16)]
    assert {sender.partition_of(host) for host in hosts} == {0, 1, 2, 3}

    def send(seconds: range) -> None:
        for second in seconds:
            for host in hosts:
                ts = minute.start_ms + second * 1000
                sender.send(sender.block(host, ts, {"a": float(second), "b": float(second % 7)}))
        sender.flush()

    def stored(number: int) -> bool:
        return bool(client.execute("SELECT count() FROM samples FINAL") == [(number,)])

    with running("ingest", env, tmp_path, log_name="one") as one:
        send(range(10))
        eventually(lambda: stored(10 * 16 * 2), 30)
        with running("ingest", env, tmp_path, log_name="two") as two:
            eventually(lambda: shared(one) and shared(two), 40)
            send(range(10, 20))
            eventually(lambda: stored(20 * 16 * 2), 30)
            send(range(20, 30))
            one.kill()
            send(range(30, 40))
            eventually(lambda: stored(40 * 16 * 2), 60)
            eventually(lambda: len(rollups(client)) == 32, 60)

            eventually(lambda: rollups_equal_raw(client), 30)
            eventually(lambda: committed(topics) == ends(topics), 20)
            assert all(row[0] == 40 for row in rollups(client).values())
    client.disconnect()


def shared(worker: Running) -> bool:
    """Whether the worker's newest assignment is a part of the four partitions."""
    lines = [line for line in worker.log().splitlines() if "msg=assigned" in line]
    return bool(lines) and len(lines[-1].rpartition("partitions=")[2].split(",")) == 2


def ends(topics: KafkaSettings) -> dict[int, int]:
    """End offset of each partition."""
    name = Topic.METRICS.named(topics.topic_prefix)
    consumer = KafkaConsumer(bootstrap_servers=topics.bootstrap_servers)
    try:
        found = consumer.end_offsets([TopicPartition(name, number) for number in range(4)])
        return {tp.partition: offset for tp, offset in found.items()}
    finally:
        consumer.close()


def committed(topics: KafkaSettings) -> dict[int, int]:
    """Offsets that the group has committed."""
    name = Topic.METRICS.named(topics.topic_prefix)
    consumer = KafkaConsumer(
        bootstrap_servers=topics.bootstrap_servers,
        group_id=f"{topics.topic_prefix}.ingest",
        enable_auto_commit=False,
    )
    try:
        return {number: consumer.committed(TopicPartition(name, number)) or 0 for number in range(4)}
    finally:
        consumer.close()
