"""Every public view, and what the API asks, with merges stopped and every row there in several parts."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from clickhouse_driver import Client

from fleetpulse.storage import tables
from fleetpulse.storage.client import connect
from fleetpulse.storage.pool import ClientPool
from fleetpulse.storage.reader import Reader
from fleetpulse.storage.recompute import ROLLUPS, between, recompute, version
from fleetpulse.storage.tiers import complete
from tests.support.databases import Database
from tests.support.stored import Stored, event_at, store, store_events

pytestmark = pytest.mark.servers

HOUR = 3600
START = int(time.time()) // HOUR * HOUR - 3 * HOUR
MS = START * 1000
EARLIER: list[Stored] = [
    ("load", {"instance": f"web-{n}"}, [(MS + s * 1000, 1.0) for s in range(0, 90, 10)]) for n in (1, 2)
]
# Delivered again, with one more sample and with a larger value for a time that is there.
LATER: list[Stored] = [
    (name, labels, [*samples[:3], (MS + 30_000, 7.0), *samples[4:], (MS + 100_000, 3.0)])
    for name, labels, samples in EARLIER
]
COPIED = (tables.SERIES, tables.HOST_SEEN, tables.ALERT_EVENTS, tables.SAMPLES, *(rollup.table for rollup in ROLLUPS))


@pytest.fixture(scope="module")
def unmerged(clickhouse: Any) -> Iterator[Database]:
    from tests.support.databases import drop_database, fresh_database

    fresh = fresh_database(clickhouse.url)
    client = connect(fresh.url)
    for table in tables.TABLES:
        client.execute(f"SYSTEM STOP MERGES {table}")
    for number, rows in enumerate((EARLIER, LATER)):
        store(fresh.url, rows)
        for rollup in ROLLUPS:
            select = recompute(rollup, between(START, START + HOUR), f"{version(number)} AS version")
            client.execute(f"INSERT INTO {rollup.table} ({', '.join(rollup.columns)}) {select}")
    store_events(
        fresh.url, [event_at("web-1", MS), event_at("web-1", MS, 2, MS + 60_000, resolved=True), event_at("web-2", MS)]
    )
    for table in COPIED:  # everything once more; the copy of an older rollup row comes last
        client.execute(f"INSERT INTO {table} SELECT * FROM {table} SETTINGS insert_deduplicate = 0")
    for rollup in ROLLUPS:
        lowest = f"(SELECT min(version) FROM {rollup.table})"
        client.execute(f"INSERT INTO {rollup.table} SELECT * FROM {rollup.table} WHERE version = {lowest}")
    yield fresh
    for table in tables.TABLES:
        client.execute(f"SYSTEM START MERGES {table}")
    client.disconnect()
    drop_database(clickhouse.url("fleetpulse", "system"), fresh.name)


@pytest.fixture(params=["grafana", "api", "fleetpulse"])
def reader(request: pytest.FixtureRequest, unmerged: Database) -> Iterator[Client]:
    """A plain client without our settings: of `fleetpulse` the profile does not set final either."""
    client = Client.from_url(unmerged.url_for(request.param))
    yield client
    client.disconnect()


def test_nothing_is_there_twice_or_older_than_it_is(reader: Client) -> None:
    assert reader.execute("SELECT count(), uniqExact(id) FROM series") == [(2, 2)]
    assert reader.execute("SELECT count(), uniqExact(host) FROM hosts") == [(2, 2)]
    assert reader.execute("SELECT count() FROM alert_history") == [(3,)]
    assert reader.execute("SELECT host FROM alerts") == [("web-2",)]
    for view, arguments in (("metrics", ""), ("metrics_of", "(metric='load', hosts=['web-1', 'web-2'])")):
        found = reader.execute(
            f"SELECT host, count(), uniqExact(timestamp), sum(value) FROM {view}{arguments} GROUP BY host ORDER BY host"
        )
        assert found == [("web-1", 10, 10, 18.0), ("web-2", 10, 10, 18.0)], view
    for view in ("metrics_1m", "metrics_1h"):
        for arguments in ("", "_of(metric='load', hosts=[])"):
            [row] = reader.execute(
                f"SELECT sum(count), sum(sum), max(max), argMin(first, timestamp), argMax(last, timestamp) "
                f"FROM {view}{arguments} WHERE host = 'web-1'"
            )
            assert row == (10, 18.0, 7.0, 1.0, 3.0), view
    assert reader.execute("SELECT count(), sum(arraySum(mapValues(histogram))) FROM metrics_1h") == [(2, 20)]


def test_the_reader_sees_the_same(unmerged: Database) -> None:
    pool = ClientPool(unmerged.url_for("api"))
    try:
        reader = Reader(pool)
        assert [row.host for row in reader.hosts()[0]] == ["web-1", "web-2"]
        assert reader.alert_counts() == {("web-2", "warning"): 1}
        assert len(reader.matching("load", [], [], 10)) == 2
        assert reader.series("web-1")[1] == 1
        assert reader.summaries([("load", "most"), ("load", "total")], MS - 1000) == {
            "web-1": [3.0, 3.0],
            "web-2": [3.0, 3.0],
        }
        assert complete(pool)[:2] == (None, None)
    finally:
        pool.close()
