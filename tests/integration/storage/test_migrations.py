"""Migrations: twice, at once from several processes, and refused where the database does not fit."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from clickhouse_driver import Client

from fleetpulse.errors import FatalError, UnavailableError
from fleetpulse.settings import IngestSettings
from fleetpulse.storage import migrate as module
from fleetpulse.storage import tables
from fleetpulse.storage.client import connect
from fleetpulse.storage.migrate import migrate, read_migrations
from tests.support.databases import Database, drop_database
from tests.support.patience import patient
from tests.support.servers import ClickHouseServer

pytestmark = pytest.mark.servers


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    client = connect(database.url)
    yield client
    client.disconnect()


def test_every_table_and_view_is_there_and_recorded(client: Client) -> None:
    names = {name for (name,) in client.execute("SHOW TABLES")}
    assert names == {*tables.TABLES, *tables.VIEWS, tables.MIGRATIONS}
    recorded = client.execute(f"SELECT version, name FROM {tables.MIGRATIONS} FINAL ORDER BY version")
    assert recorded == [(one.version, one.name) for one in read_migrations()]


def test_a_second_run_has_nothing_to_do(database: Database) -> None:
    assert migrate(database.url) == []


def test_several_processes_at_once(clickhouse: ClickHouseServer, database: Database) -> None:
    drop_database(clickhouse.url("fleetpulse", "system"), database.name)
    command = [sys.executable, "-P", "-m", "fleetpulse", "migrate"]
    env = {"FLEETPULSE_CLICKHOUSE_URL": database.url, "PATH": "/usr/bin:/bin"}
    children = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for child in children:
        _, errors = child.communicate(timeout=patient(60))
        assert child.returncode == 0, errors.decode()
    assert migrate(database.url) == []


def test_an_interrupted_run_is_continued(database: Database, client: Client) -> None:
    client.execute("DROP VIEW metrics")
    client.execute(f"TRUNCATE TABLE {tables.MIGRATIONS}")
    assert len(migrate(database.url)) == len(read_migrations())
    assert client.execute("SELECT count() FROM metrics") == [(0,)]


def test_a_newer_schema_is_refused(database: Database, client: Client) -> None:
    client.execute(f"INSERT INTO {tables.MIGRATIONS} SELECT 9999, 'future', 'x', now64(3)")
    with pytest.raises(FatalError, match=r"9999.*upgrade"):
        migrate(database.url)


def test_a_changed_migration_is_refused(database: Database, client: Client) -> None:
    client.execute(f"INSERT INTO {tables.MIGRATIONS} SELECT 1, 'samples', 'other', now64(3)")
    client.execute(f"OPTIMIZE TABLE {tables.MIGRATIONS} FINAL")
    with pytest.raises(FatalError, match="0001_samples was applied from another text"):
        migrate(database.url)


def test_an_old_server_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MINIMUM_VERSION", (99, 1))
    with pytest.raises(FatalError, match=r"99\.1 or newer is needed"):
        migrate(database.url)


def test_an_absent_server_is_named_with_its_setting() -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 \(FLEETPULSE_CLICKHOUSE_URL\)") as caught:
        migrate("clickhouse://someone:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)


def test_a_wrong_password_is_said_without_showing_it(clickhouse: ClickHouseServer) -> None:
    url = f"clickhouse://fleetpulse:wrong-one@{clickhouse.host}:{clickhouse.port}/fleetpulse"
    with pytest.raises(UnavailableError, match="Authentication failed") as caught:
        migrate(url)
    assert "wrong-one" not in str(caught.value)


def test_retention_follows_the_settings(database: Database, client: Client) -> None:
    kept = replace(IngestSettings(), raw_retention_days=3, minute_retention_days=33, hour_retention_days=333)
    wanted = {
        tables.SAMPLES: 3,
        tables.SAMPLES_1M: 33,
        tables.SAMPLES_1H: 333,
        tables.LEDGER: 4,
        tables.CLEAN_MARKS: 4,
        tables.HOUR_MARKS: 4,
    }
    migrate(database.url, kept)
    for table, days in wanted.items():
        assert f"toIntervalDay({days})" in client.execute(f"SHOW CREATE TABLE {table}")[0][0]


def test_grafana_reads_the_views_and_nothing_else(database: Database) -> None:
    reader = connect(database.url_for("grafana"))
    for view in tables.VIEWS:
        arguments = "(metric='up', hosts=[])" if view.endswith("_of") else ""
        assert reader.execute(f"SELECT count() FROM {view}{arguments}") == [(0,)]
    for table in (*tables.TABLES, tables.MIGRATIONS):
        with pytest.raises(Exception, match=r"Not enough privileges|ACCESS_DENIED"):
            reader.execute(f"SELECT count() FROM {table}")
    reader.disconnect()
