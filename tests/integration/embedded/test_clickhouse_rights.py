"""What each user of the embedded ClickHouse may and may not do, tried on the real server."""

import json
import stat
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from fleetpulse.settings import EmbeddedSettings
from infra.embedded.clickhouse_users import READER_TABLES
from tests.support.databases import Database, drop_database, fresh_database
from tests.support.eventually import eventually
from tests.support.servers import ClickHouseServer

pytestmark = pytest.mark.servers

ACCESS_DENIED, READONLY, SETTING_VIOLATION, TOO_SLOW, TOO_MANY_ROWS = 497, 164, 452, 159, 396

ELSEWHERE = [
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')",
    "SELECT * FROM remote('127.0.0.1', 'system', 'one')",
    "SELECT * FROM remoteSecure('127.0.0.1', 'system', 'one')",
    "SELECT * FROM s3('http://127.0.0.1:9/bucket/key.csv', 'a', 'b', 'LineAsString')",
    "SELECT * FROM mysql('127.0.0.1:9', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('127.0.0.1:9', 'd', 't', 'u', 'p')",
    "SELECT * FROM sqlite('/tmp/x', 't')",
    "SELECT * FROM executable('x', 'LineAsString', 'a String')",
]
SYSTEM = ["query_log", "processes", "parts", "users", "grants", "settings_profiles", "metrics", "numbers"]


def refusal(client: Client, query: str) -> int:
    """The error code with which the server refuses; fails when it does not."""
    with pytest.raises(ServerException) as raised:
        client.execute(query)
    return int(raised.value.code)


@pytest.fixture(scope="module")
def shared_database(clickhouse: ClickHouseServer) -> Iterator[Database]:
    """One for all: nothing here writes."""
    fresh = fresh_database(clickhouse.url)
    yield fresh
    drop_database(clickhouse.url("fleetpulse", "system"), fresh.name)


@pytest.fixture
def client_of(shared_database: Database) -> Iterator[Callable[[str], Client]]:
    clients: list[Client] = []

    def open_client(user: str) -> Client:
        clients.append(Client.from_url(shared_database.url_for(user)))
        return clients[-1]

    yield open_client
    for client in clients:
        client.disconnect()


@pytest.mark.parametrize("query", ELSEWHERE)
@pytest.mark.parametrize("user", ["fleetpulse", "api", "grafana"])
def test_nobody_reaches_outside(client_of: Callable[[str], Client], user: str, query: str) -> None:
    assert refusal(client_of(user), query) == ACCESS_DENIED


@pytest.mark.parametrize("user", ["api", "grafana"])
def test_grafana_reads_only_public_views_and_the_api_what_its_reader_needs(
    client_of: Callable[[str], Client], user: str
) -> None:
    service, reader = client_of("fleetpulse"), client_of(user)
    tables = service.execute("SELECT name, engine FROM system.tables WHERE database = currentDatabase()")
    private = {name for name, engine in tables if "View" not in engine} - (
        set(READER_TABLES) if user == "api" else set()
    )
    assert {"clean_marks", "schema_migrations"} <= private
    for table in private:
        assert refusal(reader, f"SELECT count() FROM {table}") == ACCESS_DENIED
    for view in ("series", "metrics", "metrics_1m", "hosts", "alerts", "alert_history"):
        assert reader.execute(f"SELECT count() FROM {view}") == [(0,)]
    assert reader.execute("SELECT count() FROM metrics_of(metric = 'up', hosts = [])") == [(0,)]


@pytest.mark.parametrize("user", ["api", "grafana"])
def test_readers_do_not_see_other_peoples_queries(client_of: Callable[[str], Client], user: str) -> None:
    reader = client_of(user)
    for table in SYSTEM:
        assert refusal(reader, f"SELECT * FROM system.{table} LIMIT 1") in (ACCESS_DENIED, 60)
    seen = {name for (name,) in reader.execute("SELECT name FROM system.databases")}
    assert "system" not in seen


@pytest.mark.parametrize("user", ["api", "grafana"])
@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO samples VALUES (1, now(), 1)",
        "CREATE TABLE t (a Int8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE t (a Int8)",
        "DROP VIEW metrics",
        "ALTER TABLE samples DELETE WHERE 1",
        "TRUNCATE TABLE samples",
        "CREATE USER mallory",
        "GRANT SELECT ON *.* TO grafana",
        "KILL QUERY WHERE 1",
        "SYSTEM STOP MERGES samples",
        "SYSTEM SHUTDOWN",
    ],
)
def test_readers_only_read(client_of: Callable[[str], Client], user: str, query: str) -> None:
    with pytest.raises(ServerException):
        client_of(user).execute(query)
    assert client_of("fleetpulse").execute("SELECT count() FROM samples") == [(0,)]


def test_a_reader_changes_its_time_limit_within_bounds_and_no_other_limit(
    client_of: Callable[[str], Client],
) -> None:
    reader = client_of("grafana")
    assert reader.execute("SELECT 1 SETTINGS max_execution_time = 10") == [(1,)]
    assert refusal(reader, "SELECT 1 SETTINGS max_execution_time = 3600") == SETTING_VIOLATION
    assert refusal(reader, "SELECT 1 SETTINGS max_execution_time = 0") == SETTING_VIOLATION
    for setting in ("max_memory_usage = 0", "max_result_rows = 0", "readonly = 0", "max_rows_to_read = 0"):
        assert refusal(reader, f"SELECT 1 SETTINGS {setting}") in (READONLY, SETTING_VIOLATION)


def test_limits_end_a_query_that_runs_or_returns_too_long(client_of: Callable[[str], Client]) -> None:
    reader = client_of("api")
    endless = "SELECT count() FROM numbers(100000) WHERE NOT ignore(sleepEachRow(0.1)) SETTINGS max_execution_time = 1"
    assert refusal(reader, endless) in (TOO_SLOW, 160)
    assert refusal(client_of("api"), "SELECT number FROM numbers(3000000)") == TOO_MANY_ROWS


def test_final_is_on_for_readers(client_of: Callable[[str], Client]) -> None:
    for user in ("api", "grafana"):
        values = client_of(user).execute(
            "SELECT name, value FROM system.settings"
            " WHERE name IN ('final', 'do_not_merge_across_partitions_select_final', 'readonly') ORDER BY name"
        )
        assert values == [("do_not_merge_across_partitions_select_final", "1"), ("final", "1"), ("readonly", "1")]


def test_other_peoples_queries_are_kept_for_days_only(
    client_of: Callable[[str], Client], clickhouse: ClickHouseServer
) -> None:
    """No user may read the log of queries, so its parts on the disk say when they end."""
    client_of("api").execute("SELECT 1")
    parts = "data/data/system/query_log/*/ttl.txt"

    def end() -> float:
        text = next((path.read_text() for path in clickhouse.folder.clickhouse.glob(parts)), "")
        return float(json.loads(text.splitlines()[1])["table"]["max"]) if text else 0.0

    days = (eventually(end, 30) - time.time()) / 86_400
    assert abs(days - EmbeddedSettings().clickhouse_log_days) <= 1


def test_the_service_keeps_to_its_own_databases(client_of: Callable[[str], Client]) -> None:
    service = client_of("fleetpulse")
    for query in (
        "CREATE DATABASE other",
        "SELECT * FROM system.query_log LIMIT 1",
        "CREATE USER mallory",
        "SYSTEM SHUTDOWN",
        "CREATE TABLE stolen (line String) ENGINE = File(LineAsString, '/etc/passwd')",
        "CREATE TABLE stolen (line String) ENGINE = URL('http://127.0.0.1:9/', LineAsString)",
    ):
        assert refusal(service, query) in (ACCESS_DENIED, 60), query


def test_the_passwordless_session_of_the_server_can_do_nothing(clickhouse: ClickHouseServer) -> None:
    client = Client(clickhouse.host, clickhouse.port, user="default", password="")
    for query in ("SELECT * FROM fleetpulse.samples", "CREATE DATABASE mine", *ELSEWHERE):
        assert refusal(client, query) in (ACCESS_DENIED, 60, 81), query
    client.disconnect()


def test_passwords_are_needed_random_and_private(clickhouse: ClickHouseServer) -> None:
    for user in ("fleetpulse", "api", "grafana"):
        client = Client(clickhouse.host, clickhouse.port, user=user, password="")
        assert refusal(client, "SELECT 1") == 516
        client.disconnect()
        assert len(clickhouse.password(user)) >= 32
    assert len({clickhouse.password(user) for user in ("fleetpulse", "api", "grafana")}) == 3
    files = [*clickhouse.folder.secrets.iterdir(), clickhouse.folder.clickhouse / "users.xml"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    users = (clickhouse.folder.clickhouse / "users.xml").read_text()
    assert clickhouse.password("grafana") not in users


def test_over_http_a_reader_cannot_write_a_file_or_raise_its_rights(
    clickhouse: ClickHouseServer, tmp_path: Path
) -> None:
    def post(query: str, **parameters: str) -> int:
        url = f"http://{clickhouse.host}:{clickhouse.http_port}/?{urllib.parse.urlencode(parameters)}"
        headers = {"X-ClickHouse-User": "grafana", "X-ClickHouse-Key": clickhouse.password("grafana")}
        request = urllib.request.Request(url, query.encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert post("SELECT 1") == 200
    assert post("SELECT 1", readonly="0") != 200
    target = tmp_path / "written"
    post(f"SELECT 1 INTO OUTFILE '{target}' FORMAT CSV")
    assert not target.exists()
