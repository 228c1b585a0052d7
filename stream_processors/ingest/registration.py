"""Registration of series: the table is asked, written and asked again before a sample of a new series is stored.

An id belongs to the key that has it in the table; of two keys that come at once the smaller keeps it. The other is
refused as ``id_collision``: its samples are counted, not stored under a wrong name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from clickhouse_driver import Client

from fleetpulse.errors import MetricError
from fleetpulse.identity import KEY_BITS, series_id
from fleetpulse.metric import canonical_key, check_labels, host_of, parse_key
from fleetpulse.storage import tables
from fleetpulse.storage.native import Column, insert_arrays, query_with_arrays
from fleetpulse.storage.text_columns import low_cardinality, strings, tags
from fleetpulse.wire import Block

COLLISION = "id_collision"


class NewSeries(NamedTuple):
    """A series that this worker has not seen yet.

    Its labels are those in `common`, which it shares with other series of its host, and its `own`; none is in both.
    """

    key: str
    id: int
    name: str
    host: str
    common: Mapping[str, str]
    seen_ms: int
    own: Mapping[str, str] = MappingProxyType({})


def read_series(block: Block, line: bytes, seen_ms: int, key_bits: int = KEY_BITS) -> NewSeries:
    """The series of one line of a block. Raises MetricError when its name, labels or host break the rules."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise MetricError("series_key", f"a series key of host {block.host!r} is not UTF-8: {line[:80]!r}") from error
    name, own = parse_key(text)
    labels = {label: value for label, value in {**block.common, **own}.items() if value}
    check_labels(name, labels)
    host = host_of(labels)
    if host != block.host:
        raise MetricError("host", f"series {text[:200]!r} belongs to host {host!r}, its block says {block.host!r}")
    key = canonical_key(name, labels)
    return NewSeries(key, series_id(key, key_bits), name, host, labels, seen_ms)


class Registered(NamedTuple):
    """What became of new series: keys that may not be stored with the reason, and those that the table knew."""

    refused: dict[str, str]
    known: set[str]


def _admit_all(series: list[NewSeries]) -> dict[str, str]:
    return {}


def _always(series: NewSeries) -> int:
    return 0


def register(
    client: Client,
    series: Iterable[NewSeries],
    refuse: Callable[[list[NewSeries]], dict[str, str]] = _admit_all,
    active_since_ms: Callable[[NewSeries], int] = _always,
) -> Registered:
    """Register the series, unless another one has their id, or `refuse` gives a reason why not.

    `refuse` is asked about those that the table does not know as seen since `active_since_ms` (of the series); it may
    be asked again.
    """
    by_id, clashing = _by_id(list(series))
    owners = _owners(client, list(by_id.values()))
    known = {
        by_id[number].key
        for number, owner in owners.items()
        if owner.other is None and owner.seen_ms >= active_since_ms(by_id[number])
    }
    limited = refuse([one for one in by_id.values() if one.key not in known] if known else list(by_id.values()))
    admitted = [one for one in by_id.values() if one.key not in limited] if limited else list(by_id.values())
    missing = [one for one in admitted if one.id not in owners] if owners else admitted
    if missing:
        insert_series(client, missing)
        owners |= _owners(client, missing)
    refused = clashing | {one.key: COLLISION for one in admitted if owners[one.id].other is not None}
    lost = [one.key for one in missing if one.key in refused] if refused else []
    if lost:  # another worker registered the same id at the same moment: only the owner stays in the table
        client.execute(f"DELETE FROM {tables.SERIES} WHERE has({{keys:Array(String)}}, key)", {"keys": lost})
    return Registered({**limited, **refused}, known)


def _by_id(series: Sequence[NewSeries]) -> tuple[dict[int, NewSeries], dict[str, str]]:
    """The series by id, of two with one id that with the smaller key; the keys of the others, each with the reason."""
    by_id = {one.id: one for one in series}
    if len(by_id) == len(series):
        return by_id, {}
    by_id = {}
    for one in sorted(series, key=attrgetter("key")):
        by_id.setdefault(one.id, one)
    return by_id, {one.key: COLLISION for one in series if by_id[one.id].key != one.key}


def insert_series(client: Client, series: Sequence[NewSeries]) -> None:
    """Write the rows of new series."""
    keys, ids, names, hosts, commons, seen_ms, owns = zip(*series, strict=True)
    seen = np.array(seen_ms, dtype=np.int64)
    columns: list[Column] = [
        np.array(ids, dtype=np.uint64),
        strings(keys),
        low_cardinality(names),
        low_cardinality(hosts),
        tags(names, commons, owns),
        seen,
        seen,
    ]
    insert_arrays(client, tables.SERIES, dict(zip(tables.SERIES_COLUMNS, columns, strict=True)), {})


def refresh_series(client: Client, partition: int, partitions: int, seconds: float) -> None:
    """Move `last_seen` of the partition's series on to their newest one-minute bucket of the last `seconds`."""
    client.execute(
        f"""
        INSERT INTO {tables.SERIES} ({", ".join(tables.SERIES_COLUMNS)})
        SELECT known.id, known.key, known.metric_name, known.host, known.tags, known.first_seen, newest.seen
        FROM (SELECT * FROM {tables.SERIES} FINAL WHERE kafkaMurmurHash(host) % {partitions} = {partition}) AS known
        INNER JOIN
        (
            SELECT id, max(timestamp) + INTERVAL 1 MINUTE AS seen FROM {tables.SAMPLES_1M}
            WHERE timestamp >= now() - INTERVAL {int(seconds) + 3600} SECOND GROUP BY id
        ) AS newest ON newest.id = known.id
        WHERE newest.seen > known.last_seen
        """
    )


class _Owner(NamedTuple):
    """Who has an id in the table: the series that was asked about, or the `other` with this key."""

    other: str | None
    seen_ms: int


# By id alone: two names of one 12-bit prefix can clash. The skip index by_id finds a few ids; for many, the id column
# is read from end to end. Ids written into the statement cost the server ten times as much, and keys that are sent
# cost less here than keys that come back.
_OWNERS = f"""
SELECT id, if(owner = key, '', owner) AS other, seen_ms FROM asked
INNER JOIN
(
    SELECT id, min(key) AS owner, toUnixTimestamp64Milli(max(last_seen)) AS seen_ms FROM {tables.SERIES}
    WHERE id IN (SELECT id FROM asked) GROUP BY id
) AS found USING (id)
"""
_TYPES = {"id": "UInt64", "key": "String"}


def _owners(client: Client, series: Sequence[NewSeries]) -> dict[int, _Owner]:
    """By id, of those that the table has."""
    if not series:
        return {}
    ids = np.array([one.id for one in series], dtype=np.uint64)
    found = query_with_arrays(client, _OWNERS, "asked", _TYPES, [ids, strings([one.key for one in series])])
    if not found:
        return {}
    return {number: _Owner(other or None, seen_ms) for number, other, seen_ms in zip(*found, strict=True)}
