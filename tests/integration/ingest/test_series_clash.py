"""Two series with one id: the ids are shortened until they clash."""

import time
from collections.abc import Iterator, Sequence

import pytest
from clickhouse_driver import Client

from fleetpulse.identity import series_id
from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.storage import tables
from fleetpulse.storage.client import connect
from fleetpulse.wire import Frame, encode_frame, join_keys, make_block
from stream_processors.dead import Letter
from stream_processors.inbox import Message
from stream_processors.ingest import registration
from stream_processors.ingest.intake import Intake
from stream_processors.ingest.registration import NewSeries, insert_series, refresh_series, register
from stream_processors.ingest.sink import Sink
from tests.support.databases import Database

pytestmark = pytest.mark.servers

BITS, HOST = 1, "h1"
KEYS = [f'm{{x="{number}"}}' for number in range(6)]  # of one metric: more series than ids


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    client = connect(database.url)
    yield client
    client.disconnect()


def store(database: Database, metrics: SelfMetrics, keys: list[str], offset: int = 0) -> list[Letter]:
    """What a worker does with one frame, ids shortened; every call is a new worker."""
    intake = Intake(IngestSettings(), 4, metrics)
    sink = Sink(database.url, "t", 4, IngestSettings(), metrics, key_bits=BITS)
    now_ms = time.time_ns() // 1_000_000
    block = make_block(HOST, {"instance": HOST}, join_keys(keys), now_ms, [float(key[5]) for key in keys])
    value = encode_frame(Frame(1, 0, [block]))
    intake.take(Message("t", partition_of(HOST, 4), offset, now_ms, None, value, ()))
    try:
        return sink.store(intake.cut())
    finally:
        sink.close()


def full(key: str) -> str:
    return f'm{{instance="{HOST}",{key[2:]}'


def test_the_smaller_key_keeps_the_id_and_the_other_is_refused(database: Database, client: Client) -> None:
    metrics = SelfMetrics()
    letters = store(database, metrics, KEYS)
    owners: dict[int, str] = {}
    for key in sorted(map(full, KEYS)):
        owners.setdefault(series_id(key, BITS), key)
    assert len(owners) < len(KEYS)
    assert dict(client.execute(f"SELECT id, key FROM {tables.SERIES} FINAL")) == owners
    values = {value for (value,) in client.execute("SELECT value FROM metrics")}
    assert values == {float(key[-3]) for key in owners.values()}
    assert metrics.get("fleetpulse_ingest_refused_samples_total", reason="id_collision") == len(KEYS) - len(owners)
    assert [letter.reason for letter in letters] == ["id_collision"]


def test_a_series_that_has_its_id_keeps_it_against_a_smaller_key(database: Database, client: Client) -> None:
    metrics = SelfMetrics()
    by_id: dict[int, list[str]] = {}
    for key in KEYS:
        by_id.setdefault(series_id(full(key), BITS), []).append(key)
    small, large = sorted(next(keys for keys in by_id.values() if len(keys) > 1))[:2]
    assert store(database, metrics, [large]) == []
    assert [letter.reason for letter in store(database, metrics, [small], offset=1)] == ["id_collision"]
    assert client.execute("SELECT value FROM metrics") == [(float(large[5]),)]


def test_two_names_with_one_id(client: Client) -> None:
    def new(name: str, number: int) -> NewSeries:
        return NewSeries(f'{name}{{instance="{HOST}"}}', number, name, HOST, {"instance": HOST}, 1)

    assert not register(client, [new("n", 7), new("other", 8)]).refused
    assert set(register(client, [new("m", 7)]).refused) == {new("m", 7).key}  # the smaller key, but later
    assert set(register(client, [new("x", 9), new("w", 9)]).refused) == {new("x", 9).key}
    assert client.execute(f"SELECT id, metric_name FROM {tables.SERIES} FINAL ORDER BY id") == [
        (7, "n"),
        (8, "other"),
        (9, "w"),
    ]


def test_owners_are_found_by_the_skip_index(client: Client) -> None:
    client.execute(
        f"INSERT INTO {tables.SERIES} (id, key, metric_name, host, tags, first_seen, last_seen) "
        "SELECT cityHash64(number), toString(number), 'm', toString(number), map('a', 'b'), 0, 0 FROM numbers(200000)"
    )
    client.execute(f"OPTIMIZE TABLE {tables.SERIES} FINAL")
    plan = client.execute(
        f"EXPLAIN indexes = 1 SELECT id, min(key) FROM {tables.SERIES} WHERE id IN (SELECT id FROM asked) GROUP BY id",
        external_tables=[{"name": "asked", "structure": [("id", "UInt64")], "data": [{"id": 1}, {"id": 2}]}],
    )
    granules = [line.split()[1].split("/") for (line,) in plan if line.strip().startswith("Granules:")]
    assert int(granules[-1][0]) * 4 <= int(granules[-1][1])


def test_many_series_at_once(client: Client) -> None:
    series = [NewSeries(f"m{number}", 2**63 + number, f"m{number}", HOST, {}, 1) for number in range(25_000)]
    assert not register(client, series).refused
    assert not register(client, series).refused
    assert client.execute(f"SELECT count() FROM {tables.SERIES} FINAL") == [(25_000,)]


def test_of_two_workers_at_once_only_the_owner_stays_in_the_table(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def new(key: str) -> NewSeries:
        return NewSeries(key, 7, "m", HOST, {}, 1)

    def late(client: Client, series: Sequence[NewSeries]) -> None:
        """Another worker registers the smaller key just before our insert."""
        monkeypatch.setattr(registration, "insert_series", insert_series)
        register(client, [new("m_small")])
        insert_series(client, series)

    monkeypatch.setattr(registration, "insert_series", late)
    assert register(client, [new("n_large")]).refused == {"n_large": "id_collision"}
    assert client.execute(f"SELECT key FROM {tables.SERIES} FINAL") == [("m_small",)]


def test_last_seen_of_living_series_moves_on(database: Database, client: Client) -> None:
    store(database, SelfMetrics(), KEYS[:1])
    client.execute(
        f"INSERT INTO {tables.SAMPLES_1M} (id, timestamp, count) SELECT id, toStartOfMinute(now()) + 60, 1 FROM series"
    )
    [(before,)] = client.execute("SELECT last_seen FROM series")
    for partition in range(4):
        refresh_series(client, partition, 4, 1800)
    [(after, first)] = client.execute("SELECT last_seen, first_seen FROM series")
    assert after > before >= first
