"""Kafka's default partitioner, computed by us: the same as kafka-python's and Java's."""

from random import Random

import pytest
from kafka.partitioner.default import murmur2 as kafka_python_murmur2

from fleetpulse.partition import murmur2, partition_of

# from org.apache.kafka.common.utils.UtilsTest.testMurmur2, as unsigned numbers
JAVA = {
    b"21": -973932308 & 0xFFFFFFFF,
    b"foobar": -790332482 & 0xFFFFFFFF,
    b"a-little-bit-long-string": -985981536 & 0xFFFFFFFF,
    b"a-little-bit-longer-string": -1486304829 & 0xFFFFFFFF,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971 & 0xFFFFFFFF,
    b"abc": 479470107,
}


@pytest.mark.parametrize("data", JAVA)
def test_the_hashes_of_javas_own_test(data: bytes) -> None:
    assert murmur2(data) == JAVA[data]


def test_random_keys_hash_as_in_kafka_python() -> None:
    random = Random(1)
    for _ in range(3000):
        data = random.randbytes(random.randrange(40))
        assert murmur2(data) == kafka_python_murmur2(data) & 0xFFFFFFFF


def test_hosts_spread_over_the_partitions() -> None:
    counts = [0] * 12
    for number in range(12_000):
        counts[partition_of(f"host-{number}", 12)] += 1
    assert min(counts) > 800
    assert max(counts) < 1200
    assert partition_of("ünïcode", 12) == (kafka_python_murmur2("ünïcode".encode()) & 0x7FFFFFFF) % 12
