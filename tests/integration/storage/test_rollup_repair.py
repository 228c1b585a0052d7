"""Two ways to the same row: the window engine in memory, and the recomputation from the raw table."""

import random
import struct
import time
from collections.abc import Iterator

import numpy as np
import pytest
from clickhouse_driver import Client

from fleetpulse.metric import STALE_NAN
from fleetpulse.partition import partition_of
from fleetpulse.settings import IngestSettings
from fleetpulse.storage import tables
from fleetpulse.storage.client import connect
from fleetpulse.storage.columns import SampleColumns
from fleetpulse.storage.repair import repair
from fleetpulse.storage.writer import days_of, insert_rollups, insert_samples
from fleetpulse.windows.arrange import arrange
from fleetpulse.windows.engine import MINUTE_MS
from stream_processors.ingest.intake import Chunk, Reader
from stream_processors.ingest.ledger import Touched
from stream_processors.ingest.partition import Gathered, Partition
from tests.support.databases import Database

pytestmark = pytest.mark.servers

SERIES, MINUTES = 50, 5
COLUMNS = "id, timestamp, count, nans, sum, min, max, first, last, increase"


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    client = connect(database.url)
    yield client
    client.disconnect()


def random_samples(start_ms: int) -> SampleColumns:
    chance = random.Random(11)
    rows = []
    for number in range(SERIES):
        ts = start_ms
        while ts < start_ms + MINUTES * MINUTE_MS:
            special = [np.nan, STALE_NAN, np.inf, -np.inf] if number % 5 == 0 else [0.0]
            value = chance.choice(special) if chance.random() < 0.2 else float(chance.randrange(1000)) / 8
            rows.append(((number * 7919 % SERIES) << 52, ts, value))
            ts += chance.choice([1, 7_000, 10_000, 90_000])
    ids, times, values = zip(*rows, strict=True)
    return SampleColumns(np.array(ids, np.uint64), np.array(times), np.array(values))


def windowed(samples: SampleColumns, append_ms: int) -> Partition:
    partition = Partition(0, 0)
    dense = [
        partition.registry.dense(str(one)) if partition.registry.dense(str(one)) is not None
        else partition.registry.add(str(one), int(one))
        for one in samples.id
    ]  # fmt: skip
    partition.restart(Touched(frozenset(), frozenset()), int(samples.ts.min()))
    chunk = Chunk(Reader(IngestSettings(), 4), 0, 0, 1, False, append_ms, append_ms)
    partition.apply(Gathered(np.array(dense, np.int32), samples.ts, samples.value), chunk)
    return partition


def rows_in(client: Client) -> dict[tuple[int, int], tuple[float, ...]]:
    found = client.execute(f"SELECT {COLUMNS} FROM {tables.SAMPLES_1M} FINAL")
    rows = {(row[0], int(row[1].timestamp())): row[2:] for row in found}
    assert len(rows) == len(found)
    return rows


def test_windows_and_recomputation_agree(client: Client) -> None:
    start_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS - 10 * MINUTE_MS
    samples = random_samples(start_ms)
    partition = windowed(samples, start_ms + 20 * MINUTE_MS)
    rows, clean = partition.close(start_ms + 20 * MINUTE_MS, 0.0)
    assert len(clean) == MINUTES
    for number, part in enumerate(rows):
        insert_rollups(client, part, f"w{number}")
    from_windows = rows_in(client)
    client.execute(f"TRUNCATE TABLE {tables.SAMPLES_1M}")
    for number, day in enumerate(days_of(samples)):
        insert_samples(client, day, f"s{number}")
        insert_samples(client, day, f"again{number}")  # delivered twice
    minutes = [start_ms // MINUTE_MS + number for number in range(MINUTES)]
    repair(client, minutes, {}, {0: sorted({int(one) for one in samples.id})}, 1)
    from_raw = rows_in(client)
    assert from_raw.keys() == from_windows.keys()
    for key, row in from_raw.items():
        assert row == pytest.approx(from_windows[key], nan_ok=True), key


def test_a_repaired_row_wins_over_the_window_and_a_fuller_repair_over_both(client: Client) -> None:
    minute = time.time_ns() // 1_000_000 // MINUTE_MS - 3

    def put(*values: float, offset: int = 0) -> None:
        ts = minute * MINUTE_MS + offset + np.arange(len(values))
        samples = SampleColumns(np.full(len(values), 9, np.uint64), ts, np.array(values))
        insert_samples(client, samples, f"{values}")

    put(1.0, 2.0)
    repair(client, [minute], {}, {0: [9]}, 1)
    put(5.0, offset=100)
    repair(client, [minute], {}, {0: [9]}, 1)
    [row] = rows_in(client).values()
    assert (row[0], row[2]) == (3, 8.0)
    repair(client, [minute], {}, {0: [9]}, 1)  # again, with the same rows
    [row] = rows_in(client).values()
    assert row[0] == 3


def test_a_whole_partition_is_found_by_its_hosts(client: Client) -> None:
    hosts, now_ms = [f"host-{number}" for number in range(40)], time.time_ns() // 1_000_000
    client.execute(
        f"INSERT INTO {tables.SERIES} ({', '.join(tables.SERIES_COLUMNS)}) VALUES",
        [(number, f"m{number}", "m", host, {}, now_ms, now_ms) for number, host in enumerate(hosts)],
    )
    ids = np.arange(40, dtype=np.uint64)
    insert_samples(client, SampleColumns(ids, np.full(40, now_ms), np.ones(40)), "t")
    repair(client, [now_ms // MINUTE_MS], {2: 0}, {}, 4)
    assert {key[0] for key in rows_in(client)} == {n for n, host in enumerate(hosts) if partition_of(host, 4) == 2}


def test_of_two_values_for_one_time_the_larger_stays_whatever_the_order(client: Client) -> None:
    now_ms = time.time_ns() // 1_000_000
    values = [3.0, float("inf"), -1.0, STALE_NAN, 7.0]
    for number, value in enumerate(values):
        for order, one in ((1, value), (2, values[-1 - number])):
            samples = SampleColumns(np.array([order], np.uint64), np.array([now_ms]), np.array([one]))
            insert_samples(client, samples, f"{number}-{order}")
    found = client.execute("SELECT reinterpretAsUInt64(value) FROM samples FINAL")
    assert found == [(struct.unpack("<Q", struct.pack("<d", STALE_NAN))[0],)] * 2


def test_a_token_makes_a_retried_insert_a_single_one(client: Client) -> None:
    samples = SampleColumns(np.array([1], np.uint64), np.array([time.time_ns() // 1_000_000]), np.array([1.0]))
    for token in ("a", "a", "b"):
        insert_samples(client, samples, token)
    assert client.execute("SELECT count() FROM samples") == [(2,)]


def test_a_batch_is_split_by_day_and_sorted() -> None:
    day = 86_400_000
    samples = SampleColumns(np.array([5, 5, 1, 1], np.uint64), np.array([1, day + 1, 2, day + 2]), np.arange(4.0))
    assert [(part.id.tolist(), part.ts.tolist()) for part in days_of(samples)] == [
        ([1, 5], [2, 1]),
        ([1, 5], [day + 2, day + 1]),
    ]


def test_arranged_samples_are_in_the_order_of_the_table() -> None:
    rank = np.array([1, 0])
    batch = arrange(np.array([0, 1], np.int32), np.array([1, 2]), np.array([1.0, 2.0]), rank)
    assert batch.dense.tolist() == [1, 0]


def test_many_partitions_in_slices_each_with_its_offset(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetpulse.storage.slices.SAMPLES_AT_ONCE", 10)
    hosts, minute = [f"host-{number}" for number in range(40)], time.time_ns() // 1_000_000 // MINUTE_MS - 5
    client.execute(
        f"INSERT INTO {tables.SERIES} ({', '.join(tables.SERIES_COLUMNS)}) VALUES",
        [(number, f"m{number}", "m", host, {}, 0, 0) for number, host in enumerate(hosts)],
    )
    ts = np.tile((minute + np.arange(3)) * MINUTE_MS, 40)
    insert_samples(client, SampleColumns(np.repeat(np.arange(40, dtype=np.uint64), 3), ts, np.ones(120)), "t")
    of = {number: [n for n, host in enumerate(hosts) if partition_of(host, 4) == number] for number in range(4)}
    repair(client, [minute, minute + 2], {0: 7, 2: 9}, {5: of[1][:2], 6: of[1][2:3]}, 4)
    wanted = dict.fromkeys(of[0], 7) | dict.fromkeys(of[2], 9) | dict.fromkeys(of[1][:2], 5) | {of[1][2]: 6}
    found = client.execute(f"SELECT id, toUnixTimestamp(timestamp), count, version FROM {tables.SAMPLES_1M}")
    assert sorted(found) == sorted(
        (number, at * 60, 1, tables.REPAIR_GENERATION + offset)
        for number, offset in wanted.items()
        for at in (minute, minute + 2)
    )
