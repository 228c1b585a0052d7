"""What librdkafka's own client sees of our frames, and that its murmur2 partitioner agrees with ours."""

import subprocess

import pytest

from fleetpulse.partition import partition_of
from fleetpulse.publish.publisher import Publisher
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.topics import Topic
from fleetpulse.wire import decode_frame, join_keys, make_block
from tests.support.patience import patient

pytestmark = [pytest.mark.servers, pytest.mark.debian("kcat")]

HOSTS = ("a", "web-01.example", "db-1", "::1", "knoten-ä", "0123456789abcdef")


def kcat(kafka: KafkaSettings, *arguments: str, send: bytes = b"") -> bytes:
    command = ["kcat", "-b", kafka.bootstrap_servers, "-t", Topic.METRICS.named(kafka.topic_prefix), *arguments]
    return subprocess.run(command, input=send, capture_output=True, check=True, timeout=patient(60)).stdout


def test_kcat_reads_key_headers_and_frame(topics: KafkaSettings) -> None:
    publisher = Publisher(topics, PublishSettings(), SelfMetrics())
    publisher.send([make_block("web-01.example", {"job": "node"}, join_keys(["up"]), 1_000, [1.0], sent=1)])
    assert publisher.flush(20.0)
    publisher.close(5.0)
    partition = str(partition_of("web-01.example", topics.partitions))
    read = ("-C", "-p", partition, "-o", "beginning", "-c", "1", "-e", "-q")
    key, headers = kcat(topics, *read, "-f", "%k\n%h").decode().split("\n")
    assert key == "web-01.example"
    assert dict(pair.split("=", 1) for pair in headers.split(","))["fp-samples"] == "1"
    assert decode_frame(kcat(topics, *read, "-f", "%s", "-D", "")).blocks[0].host == "web-01.example"


def test_librdkafka_puts_a_host_where_we_do(topics: KafkaSettings) -> None:
    for host in HOSTS:
        kcat(topics, "-P", "-X", "topic.partitioner=murmur2", "-K", "\t", send=f"{host}\tx\n".encode())
    where = kcat(topics, "-C", "-o", "beginning", "-e", "-q", "-f", "%k %p\n").decode().splitlines()
    assert dict(line.rsplit(" ", 1) for line in where) == {
        host: str(partition_of(host, topics.partitions)) for host in HOSTS
    }
