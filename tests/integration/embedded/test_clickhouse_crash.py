"""kill -9 of the embedded ClickHouse loses nothing that was acknowledged."""

from pathlib import Path

import pytest
from clickhouse_driver import Client

from infra.embedded.guard import Guard
from tests.support.databases import NAMES
from tests.support.servers import start_clickhouse

pytestmark = pytest.mark.servers

BATCHES, ROWS = 40, 1000


def test_acknowledged_inserts_survive_a_kill(tmp_path: Path, guard: Guard) -> None:
    clickhouse = start_clickhouse(tmp_path, guard)
    try:
        url = clickhouse.url(database=NAMES[0])
        setup = Client.from_url(clickhouse.url(database="system"))
        setup.execute(f"CREATE DATABASE {NAMES[0]}")
        setup.disconnect()
        writer = Client.from_url(url)
        writer.execute("CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a")
        for batch in range(BATCHES):
            writer.execute("INSERT INTO kept VALUES", [(batch * ROWS + row,) for row in range(ROWS)])
        clickhouse.server.kill()
        writer.disconnect()
        clickhouse.server.start()
        reader = Client.from_url(url)
        assert reader.execute("SELECT count(), uniqExact(a) FROM kept") == [(BATCHES * ROWS, BATCHES * ROWS)]
        reader.disconnect()
    finally:
        clickhouse.server.stop()
