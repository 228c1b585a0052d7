"""The oracle finds what it is there for: a row less, a row more, another value, a rollup that does not fit."""

from collections.abc import Iterator

import pytest
from clickhouse_driver import Client

from fleetpulse.identity import series_id
from fleetpulse.metric import canonical_key
from fleetpulse.storage.client import connect
from tests.faults.expected import MINUTE_MS, Expected
from tests.faults.generator import Hosts, Step
from tests.faults.oracle import Oracle
from tests.faults.verdict import Verdict
from tests.support.databases import Database
from tests.support.stored import roll_up, store

pytestmark = [pytest.mark.servers, pytest.mark.faults]

MINUTE = 1_795_440_000_000
STEPS = [Step(MINUTE + 5_000 * number) for number in range(24)]


@pytest.fixture
def hosts() -> Hosts:
    return Hosts("tested", 2, 6, seed=7)


@pytest.fixture
def client(database: Database, hosts: Hosts) -> Iterator[Client]:
    """Everything that was sent is stored and rolled up."""
    expected = Expected(hosts)
    expected.add(STEPS)
    rows = []
    for host, name in enumerate(hosts.names):
        for number, (metric, labels) in enumerate(hosts.keys):
            rows.append((metric, {"instance": name, "job": "faults", **labels}, expected.series(host, number)))
    store(database.url, rows)
    roll_up(database.url, MINUTE + 2 * MINUTE_MS)
    client = connect(database.url)
    yield client
    client.disconnect()


@pytest.fixture
def oracle(client: Client, hosts: Hosts) -> Oracle:
    expected = Expected(hosts)
    expected.add(STEPS)
    return Oracle(client, expected)


def first_id(hosts: Hosts) -> int:
    return series_id(canonical_key("faults_requests_total", {"instance": hosts.names[0], "job": "faults"}))


def found(verdict: Verdict) -> tuple[int, int, int, int]:
    return verdict.missing, verdict.twice, verdict.wrong, verdict.rollups


def test_it_is_content_with_what_was_sent(oracle: Oracle) -> None:
    verdict = oracle.look()
    assert verdict.passed, verdict.notes
    assert (verdict.sent, verdict.stored) == (2 * 6 * 24, 2 * 6 * 24)
    assert len(oracle.expected.rollups()) == 2 * 6 * 2


def test_it_finds_a_sample_that_is_not_there(oracle: Oracle, client: Client, hosts: Hosts) -> None:
    client.execute(
        f"DELETE FROM samples WHERE id = {first_id(hosts)} AND timestamp = toDateTime64({MINUTE // 1000}, 3)"
    )
    verdict = oracle.look()
    assert found(verdict) == (1, 0, 0, 0)
    assert verdict.notes == [f"missing: {hosts.names[0]} series 0 at {MINUTE}"]
    assert not verdict.passed


def test_it_finds_a_row_that_is_visible_twice(oracle: Oracle, client: Client, hosts: Hosts) -> None:
    client.execute("SYSTEM STOP MERGES samples")
    client.execute(f"INSERT INTO samples SELECT id, timestamp, value FROM samples FINAL WHERE id = {first_id(hosts)}")
    assert oracle.look().passed, "FINAL shows one of two copies"
    assert oracle.rows() == 2 * 6 * 24 + 24
    client.execute(  # a reader who forgets FINAL
        "CREATE OR REPLACE VIEW metrics AS SELECT raw.id AS id, timestamp, metric, host, labels, value "
        "FROM samples AS raw INNER JOIN series AS named ON named.id = raw.id"
    )
    verdict = oracle.look()
    assert found(verdict) == (0, 24, 0, 0)
    assert not verdict.passed


def test_it_finds_a_value_that_is_another(oracle: Oracle, client: Client, hosts: Hosts) -> None:
    client.execute(f"INSERT INTO samples VALUES ({first_id(hosts)}, fromUnixTimestamp64Milli(toInt64({MINUTE})), 1e9)")
    verdict = oracle.look()
    assert found(verdict) == (0, 0, 1, 0)
    assert not verdict.passed


def test_it_finds_a_sample_and_a_series_that_nobody_sent(oracle: Oracle, client: Client, database: Database) -> None:
    store(database.url, [("stranger", {"instance": "tested-0000"}, [(MINUTE, 1.0)])])
    verdict = oracle.look()
    assert found(verdict) == (0, 0, 1, 0)
    assert any("stranger" in note for note in verdict.notes)
    client.execute("TRUNCATE TABLE samples")
    assert oracle.look().missing == 2 * 6 * 24


@pytest.mark.parametrize(
    "change", ["count + 1", "sum + 1", "min - 1", "max + 1", "first + 1", "last + 1", "increase + 1"]
)
def test_it_finds_a_rollup_that_is_wrong(oracle: Oracle, client: Client, hosts: Hosts, change: str) -> None:
    column = change.partition(" ")[0]
    client.execute(
        f"INSERT INTO samples_1m SELECT * REPLACE ({change} AS {column}, version + 1 AS version) "
        f"FROM samples_1m FINAL WHERE id = {first_id(hosts)} ORDER BY timestamp LIMIT 1"
    )
    verdict = oracle.look()
    assert found(verdict) == (0, 0, 0, 1)
    assert not verdict.passed


def test_it_finds_a_rollup_that_is_not_there_and_one_of_nothing(oracle: Oracle, client: Client, hosts: Hosts) -> None:
    client.execute(f"DELETE FROM samples_1m WHERE id = {first_id(hosts)}")
    assert found(oracle.look()) == (0, 0, 0, 2)
    client.execute(
        "INSERT INTO samples_1m SELECT * REPLACE (timestamp + INTERVAL 1 HOUR AS timestamp) "
        "FROM samples_1m FINAL LIMIT 1"
    )
    assert found(oracle.look()) == (0, 0, 0, 3)
