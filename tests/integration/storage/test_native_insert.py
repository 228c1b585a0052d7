"""Numpy columns through the native protocol: ClickHouse has the bytes, copied into a buffer or sent as they are."""

import time

import numpy as np
import pytest

from fleetpulse.storage import native
from fleetpulse.storage.client import connect
from fleetpulse.storage.columns import SampleColumns
from fleetpulse.storage.writer import insert_samples
from tests.support.databases import Database

pytestmark = pytest.mark.servers

DAY_MS = 86_400_000
YESTERDAY_MS = int(time.time() * 1000) // DAY_MS * DAY_MS - DAY_MS
ROWS = 1000  # of eight bytes make a piece here


def samples(rows: int) -> SampleColumns:
    chance = np.random.default_rng(rows)
    values = chance.integers(0, 1 << 62, 2 * rows).view(np.float64)[::2]  # not contiguous, as a column of a matrix
    return SampleColumns(np.arange(rows, dtype=np.uint64), YESTERDAY_MS + chance.integers(0, DAY_MS, rows), values)


@pytest.mark.parametrize("rows", [1, ROWS - 1, ROWS, 2 * ROWS, 5 * ROWS + 7])
def test_every_value_arrives(database: Database, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_PIECE", 8 * ROWS)
    client, sent = connect(database.url), samples(rows)
    insert_samples(client, sent, f"all-{rows}")
    found = client.execute(
        "SELECT id, toUnixTimestamp64Milli(timestamp), reinterpretAsUInt64(value) FROM samples ORDER BY id",
        columnar=True,
    )
    values = np.ascontiguousarray(sent.value).view(np.uint64)
    assert [list(column) for column in found] == [column.tolist() for column in (sent.id, sent.ts, values)]
    again = native.query_with_arrays(client, "SELECT max(id), count() FROM given", "given", {"id": "UInt64"}, [sent.id])
    assert again == [(rows - 1,), (rows,)]
    client.disconnect()
