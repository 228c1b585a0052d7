"""The 64-bit series id: 12 bits of the metric name's hash, then 52 bits of the canonical key's hash.

The name's bits come first so that the series of one metric lie together in ClickHouse's primary key. Both
hashes are xxh3 (https://github.com/Cyan4973/xxHash). Two keys with one id are told apart at registration:
see `stream_processors/ingest`.
"""

import xxhash

KEY_BITS = 52
_KEY_MASK = (1 << KEY_BITS) - 1
_NAME_BITS = 12


def name_prefix(name: str) -> int:
    """The 12 bits that all series of a metric share."""
    return xxhash.xxh3_64_intdigest(name.encode()) >> (64 - _NAME_BITS)


def series_id(key: str, key_bits: int = KEY_BITS) -> int:
    """The id of a series by its full canonical key. Tests shorten `key_bits` to force a clash."""
    name = key.partition("{")[0]
    mask = _KEY_MASK if key_bits == KEY_BITS else (1 << key_bits) - 1
    return (name_prefix(name) << KEY_BITS) | (xxhash.xxh3_64_intdigest(key.encode()) & mask)
