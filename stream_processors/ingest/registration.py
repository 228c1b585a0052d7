"""Registration of series: the table is asked, written and asked again before a sample of a new series is stored.

An id belongs to the key that has it in the table; of two keys that come at once the smaller keeps it. The other is
refused as ``id_collision``: its samples are counted, not stored under a wrong name.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from clickhouse_driver import Client

from fleetpulse.errors import MetricError
from fleetpulse.identity import KEY_BITS, series_id
from fleetpulse.metric import canonical_key, check_labels, host_of, parse_key
from fleetpulse.storage import tables
from fleetpulse.wire import Block

COLLISION = "id_collision"


class NewSeries(NamedTuple):
    """A series that this worker has not seen yet."""

    key: str
    id: int
    name: str
    host: str
    labels: dict[str, str]
    seen_ms: int


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
    by_id: dict[int, NewSeries] = {}
    refused: dict[str, str] = {}
    for new in sorted(series, key=lambda one: one.key):
        if by_id.setdefault(new.id, new).key != new.key:
            refused[new.key] = COLLISION
    owners = _owners(client, by_id.values())
    known = {
        new.key
        for new in by_id.values()
        if new.id in owners and owners[new.id].key == new.key and owners[new.id].seen_ms >= active_since_ms(new)
    }
    limited = refuse([new for new in by_id.values() if new.key not in known])
    admitted = [new for new in by_id.values() if new.key not in limited]
    missing = [new for new in admitted if new.id not in owners]
    if missing:
        client.execute(
            f"INSERT INTO {tables.SERIES} ({', '.join(tables.SERIES_COLUMNS)}) VALUES",
            [
                (new.id, new.key, new.name, new.host, {"__name__": new.name, **new.labels}, new.seen_ms, new.seen_ms)
                for new in missing
            ],
        )
        owners |= _owners(client, missing)
    refused |= {new.key: COLLISION for new in admitted if owners[new.id].key != new.key}
    lost = [new for new in missing if new.key in refused]
    if lost:  # another worker registered the same id at the same moment: only the owner stays in the table
        keys = [new.key for new in lost]
        client.execute(f"DELETE FROM {tables.SERIES} WHERE has({{keys:Array(String)}}, key)", {"keys": keys})
    return Registered({**limited, **refused}, known)


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
    key: str
    seen_ms: int


def _owners(client: Client, series: Iterable[NewSeries]) -> dict[int, _Owner]:
    # By id alone: two names of one 12-bit prefix can clash. The skip index by_id finds a few ids; for many, the id
    # column is read from end to end. Ids written into the statement cost the server ten times as much.
    ids = [{"id": new.id} for new in series]
    if not ids:
        return {}
    rows = client.execute(
        f"SELECT id, min(key), toUnixTimestamp64Milli(max(last_seen)) FROM {tables.SERIES} "
        "WHERE id IN (SELECT id FROM asked) GROUP BY id",
        external_tables=[{"name": "asked", "structure": [("id", "UInt64")], "data": ids}],
    )
    return {number: _Owner(key, seen_ms) for number, key, seen_ms in rows}
