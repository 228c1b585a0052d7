"""Which partition a host lives in: murmur2 of the host, as Kafka's own default partitioner does it.

Source: org.apache.kafka.common.utils.Utils.murmur2, so that producers in any language agree.
"""

from functools import lru_cache

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C


def murmur2(data: bytes) -> int:
    """The unsigned 32-bit murmur2 hash of `data` with Kafka's seed."""
    length = len(data)
    h = (_SEED ^ length) & _MASK
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = ((k ^ (k >> 24)) * _M) & _MASK
        h = (h * _M & _MASK) ^ k
    tail = data[whole:]
    if tail:
        h = ((h ^ int.from_bytes(tail, "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=1 << 17)
def partition_of(host: str, partitions: int) -> int:
    """The partition of `fleetpulse.metrics` that holds every frame of this host."""
    return (murmur2(host.encode()) & 0x7FFFFFFF) % partitions
