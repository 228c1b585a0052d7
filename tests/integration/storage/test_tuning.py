"""What makes the tables cheaper leaves every bit as it was, can be repeated and taken back, and is never a must."""

import math
import random
import struct
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from clickhouse_driver import Client

from fleetpulse.settings import IngestSettings
from fleetpulse.storage import tables, tuning
from fleetpulse.storage.client import connect
from fleetpulse.storage.columns import SampleColumns
from fleetpulse.storage.migrate import migrate
from fleetpulse.storage.tuning import Change, tune
from fleetpulse.storage.writer import insert_samples
from stream_processors.ingest.registration import NewSeries, register
from tests.support.databases import Database

pytestmark = pytest.mark.servers

DAY_MS = 86_400_000


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    client = connect(database.url)
    yield client
    client.disconnect()


def definition(client: Client, table: str) -> str:
    [(text,)] = client.execute(f"SHOW CREATE TABLE {table}")
    return str(text)


def nasty_bits() -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Of all kinds of Float64, in runs of a kind and mixed."""
    chance = random.Random(5)
    odd = [
        0x7FF0000000000002,
        0x7FF8000000000000,
        0xFFF8000000000001,
        0x7FF << 52,
        0xFFF << 52,
        1 << 63,
        1,
        (1 << 63) + 1,
    ]
    floats = [round(chance.gauss(0, 10 ** chance.randint(0, 12)), chance.randint(0, 12)) for _ in range(40_000)]
    floats += [float(chance.randint(-(1 << 60), 1 << 60)) for _ in range(10_000)]
    floats += [chance.randint(0, 9) / 10 + chance.randint(0, 9) / 100 for _ in range(10_000)]
    floats += [0.0] * 10_000 + [-0.0] * 10 + [math.nextafter(0.1, 1.0)] * 10
    bits = [struct.unpack("<Q", struct.pack("<d", one))[0] for one in floats] + odd * 50
    bits += [chance.getrandbits(64) for _ in range(20_000)]
    mixed = bits[:]
    chance.shuffle(mixed)
    return np.array(bits + mixed, dtype=np.uint64)


def test_numbers_come_back_bit_by_bit(database: Database, client: Client) -> None:
    bits = nasty_bits()
    today = 20_000 * DAY_MS
    rows = SampleColumns(np.repeat(np.uint64(7), len(bits)), today + np.arange(len(bits)), bits.view(np.float64))
    client.execute(f"ALTER TABLE {tables.SAMPLES} REMOVE TTL")
    tune(client, decimals=True)
    for part in np.array_split(np.arange(len(bits)), 3):
        insert_samples(client, rows.pick(part), f"token-{part[0]}")
    assert "ALP" in definition(client, tables.SAMPLES)

    def stored() -> list[int]:
        select = f"SELECT reinterpretAsUInt64(value) FROM {tables.SAMPLES} ORDER BY timestamp"
        return [one for (one,) in client.execute(select)]

    assert stored() == bits.tolist()
    client.execute(f"OPTIMIZE TABLE {tables.SAMPLES} FINAL")
    client.execute(f"DETACH TABLE {tables.SAMPLES}")
    client.execute(f"ATTACH TABLE {tables.SAMPLES}")
    assert stored() == bits.tolist()
    tune(client, decimals=False)
    assert "ALP" not in definition(client, tables.SAMPLES) + definition(client, tables.SAMPLES_1M)
    client.execute(f"OPTIMIZE TABLE {tables.SAMPLES} FINAL")
    assert stored() == bits.tolist()


def test_it_is_done_once_and_follows_the_setting(database: Database, client: Client) -> None:
    assert tune(client, decimals=False) == []
    assert "`value` Float64 CODEC(ZSTD(3))" in definition(client, tables.SAMPLES)
    migrate(database.url, replace(IngestSettings(), decimal_codec=True))
    assert "`value` Float64 CODEC(ALP, ZSTD(1))" in definition(client, tables.SAMPLES)
    assert tune(client, decimals=True) == []
    assert sorted(tune(client, decimals=False)) == [tables.SAMPLES] + [tables.SAMPLES_1M] * 4
    assert tune(client, decimals=False) == []


@pytest.mark.parametrize("decimals", [False, True])
def test_a_negative_zero_among_zeros_stays_one(client: Client, decimals: bool) -> None:
    # ClickHouse may leave out the zeros of a part that has hardly anything else.
    tune(client, decimals=decimals)
    client.execute(f"ALTER TABLE {tables.SAMPLES} REMOVE TTL")
    values = np.zeros(100_000)
    values[[70, 5000, 99_999]] = -0.0
    rows = SampleColumns(np.repeat(np.uint64(7), len(values)), 20_000 * DAY_MS + np.arange(len(values)), values)
    insert_samples(client, rows, "zeros")
    client.execute(f"OPTIMIZE TABLE {tables.SAMPLES} FINAL")
    select = f"SELECT countIf(reinterpretAsUInt64(value) != 0) FROM {tables.SAMPLES}"
    assert client.execute(select) == [(3,)]


def test_a_server_that_does_not_know_it_goes_without(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = [
        Change(tables.SAMPLES, "MODIFY SETTING of_tomorrow = 1", "of_tomorrow"),
        Change(tables.SAMPLES, "MODIFY COLUMN value Float64 CODEC(Tomorrow)", "Tomorrow"),
        Change(tables.SAMPLES, "MODIFY COLUMN value Float64 CODEC(ZSTD(3))", r"value` Float64 CODEC\(ZSTD", {"to": 1}),
        Change(tables.SAMPLES, "MODIFY SETTING merge_selector_base = 11", "merge_selector_base = 11"),
    ]
    monkeypatch.setattr(tuning, "_changes", lambda decimals: unknown)
    assert tune(client, decimals=True) == [tables.SAMPLES]
    assert "merge_selector_base = 11" in definition(client, tables.SAMPLES)


def test_series_of_before_keep_their_tags(database: Database, client: Client) -> None:
    before = "SimpleAggregateFunction(any, Map(String, String)) CODEC(ZSTD(3))"
    client.execute(f"ALTER TABLE {tables.SERIES} MODIFY COLUMN tags {before}")

    def put(numbers: range) -> None:
        new = [NewSeries(f'a{{n="{n}"}}', n, "a", "h", {"n": str(n)}, 1000 + n) for n in numbers]
        register(client, new)

    put(range(50))
    assert tables.SERIES in tune(client, decimals=True)
    put(range(40, 90))
    client.execute(f"OPTIMIZE TABLE {tables.SERIES} FINAL")
    found = client.execute(f"SELECT id, tags FROM {tables.SERIES} ORDER BY id")
    assert found == [(n, {"__name__": "a", "n": str(n)}) for n in range(90)]
