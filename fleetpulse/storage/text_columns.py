"""Columns of text in ClickHouse's native format, made from Python strings with as little as possible for each of them.

Names, hosts and sets of labels come again and again: each distinct one is encoded once.
https://clickhouse.com/docs/interfaces/formats/Native, and for LowCardinality the server's
SerializationLowCardinality.cpp.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

_SHARED_DICTIONARIES = 1
_OWN_KEYS = 1 << 9 | 1 << 10  # the block brings its dictionary, which is a new one
_INDEX_TYPES = ("<u1", "<u2", "<u4")
_MORE = 0x80  # another byte of the length follows


class Encoded(NamedTuple):
    """A column as it is sent; `kind`: the server's type of it, or how that begins."""

    kind: str
    data: bytes
    rows: int

    def __len__(self) -> int:
        return self.rows


def strings(values: Sequence[str]) -> Encoded:
    """A column of type String."""
    raw = [value.encode() for value in values]
    lengths = [len(one) for one in raw]
    heads = _HEADS if max(lengths, default=0) < len(_HEADS) else {one: _head(one) for one in set(lengths)}
    return Encoded("String", _rows([[heads[one] for one in lengths], raw]), len(values))


def low_cardinality(values: Sequence[str]) -> Encoded:
    """A column of type LowCardinality(String)."""
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    kind = next(kind for kind in range(len(_INDEX_TYPES)) if len(places) <= 1 << (8 << kind))
    indexes = np.array([places[value] for value in values], dtype=_INDEX_TYPES[kind])
    data = [
        _int64(_SHARED_DICTIONARIES, _OWN_KEYS | kind, len(places)),
        strings(list(places)).data,
        _int64(len(values)),
        indexes.tobytes(),
    ]
    return Encoded("LowCardinality(String)", b"".join(data), len(values))


def tags(names: Sequence[str], *labels: Sequence[Mapping[str, str]]) -> Encoded:
    """A column of type Map(String, String): ``__name__`` and the labels of one or more mappings, none twice.

    A mapping that is in many rows as one and the same object is encoded once.
    """
    head, value_of = _text("__name__"), {name: _text(name) for name in set(names)}
    encoded = {id(one): _mapping(one) for column in labels for one in _distinct(column)}
    of_rows = [[encoded[id(one)] for one in column] for column in labels]
    sizes = np.ones(len(names), dtype=np.uint64)
    for column in of_rows:
        sizes += np.array([size for size, _, _ in column], dtype=np.uint64)
    keys = [[head] * len(names), *([label for _, label, _ in column] for column in of_rows)]
    values = [[value_of[name] for name in names], *([value for _, _, value in column] for column in of_rows)]
    data = [np.cumsum(sizes).astype("<u8").tobytes(), _rows(keys), _rows(values)]
    return Encoded("Map(String, String)", b"".join(data), len(names))


def _rows(columns: Iterable[Sequence[bytes]]) -> bytes:
    """Pieces of each row side by side, row after row."""
    return b"".join(chain.from_iterable(zip(*columns, strict=True)))


def _distinct(mappings: Iterable[Mapping[str, str]]) -> Iterable[Mapping[str, str]]:
    return {id(one): one for one in mappings}.values()


def _mapping(labels: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """How many labels, their names, their values."""
    return len(labels), b"".join(map(_text, labels)), b"".join(map(_text, labels.values()))


def _text(value: str) -> bytes:
    raw = value.encode()
    return _head(len(raw)) + raw


def _head(number: int) -> bytes:
    """The length before a text, as LEB128."""
    out = bytearray()
    while number >= _MORE:
        out.append(number & (_MORE - 1) | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


def _int64(*numbers: int) -> bytes:
    return np.array(numbers, dtype="<u8").tobytes()


_HEADS = [_head(number) for number in range(1024)]
