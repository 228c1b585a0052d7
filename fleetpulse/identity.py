"""The 64-bit series id: 12 bits of the metric name's hash, then 52 bits of the canonical key's hash.

The name's bits come first so that the series of one metric lie together in ClickHouse's primary key. Both
hashes are xxh3 (https://github.com/Cyan4973/xxHash). Two keys with one id are told apart at registration:
see `stream_processors/ingest`.
"""

import xxhash

KEY_BITS = 52
_NAME_BITS = 12


def name_prefix(name: str) -> int:
    """The 12 bits that all series of a metric share."""
    return xxhash.xxh3_64_intdigest(name.encode()) >> (64 - _NAME_BITS)


def id_prefix(name: str) -> int:
    """The bits that the ids of a metric's series share, in their place."""
    return name_prefix(name) << KEY_BITS


def key_mask(key_bits: int = KEY_BITS) -> int:
    """Which bits of a key's hash are in its id."""
    return (1 << key_bits) - 1


def series_id(key: str, key_bits: int = KEY_BITS) -> int:
    """The id of a series by its full canonical key. Tests shorten `key_bits` to force a clash."""
    return id_prefix(key.partition("{")[0]) | (xxhash.xxh3_64_intdigest(key.encode()) & key_mask(key_bits))
