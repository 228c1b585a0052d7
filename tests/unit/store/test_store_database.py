"""The API's database, on SQLite or PostgreSQL: its tables, its transactions, and what a broken setting says."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, select, text
from sqlalchemy.exc import IntegrityError

from api.store import outbox, rules
from api.store.engine import Database
from api.store.rules import Change
from api.store.schema import METADATA, MIGRATION, MIGRATIONS, migrate
from fleetpulse.errors import SettingsError, UnavailableError
from fleetpulse.rules.published import decode
from fleetpulse.topics import Topic
from tests.support.store_database import fresh_store_url


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(fresh_store_url(tmp_path))
    yield database
    database.close()


def test_the_tables_are_those_of_the_migrations(database: Database) -> None:
    with database.read() as connection:
        found = inspect(connection)
        made = {name: {column["name"] for column in found.get_columns(name)} for name in found.get_table_names()}
    assert made == {table.name: {column.name for column in table.columns} for table in METADATA.sorted_tables}


def test_a_second_start_applies_nothing_and_a_newer_database_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/api.sqlite"
    Database(url).close()
    database = Database(url)
    with database.read() as connection:
        assert list(connection.scalars(select(MIGRATION.c.number))) == list(range(1, len(MIGRATIONS) + 1))
    database.close()
    engine = create_engine(url)
    with pytest.raises(SettingsError, match="start the newer version"):
        migrate(engine, MIGRATIONS[:-1])
    engine.dispose()


def test_a_failed_change_leaves_neither_rule_nor_message(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            rules.save(connection, Change("g", "api", "", "groups: []"), "ada", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as connection:
        assert (rules.in_force(connection), outbox.count(connection)) == ([], 0)
    assert not database.committed.is_set()


def test_every_version_is_kept_and_counts_on_after_a_deletion(database: Database) -> None:
    for now_ms, text_ in enumerate(["one", "two", None, "three"]):
        with database.write() as connection:
            rules.save(connection, Change("g", "api", "", text_), f"author {now_ms}", now_ms)
    assert database.committed.is_set()
    with database.read() as connection:
        kept = [(v.version, v.action, v.text, v.author, v.changed_ms) for v in rules.versions(connection, "g")]
        owed = outbox.waiting(connection, 10)
        (current,) = rules.in_force(connection)
    assert kept == [
        (4, "create", "three", "author 3", 3),
        (3, "delete", "two", "author 2", 2),
        (2, "update", "two", "author 1", 1),
        (1, "create", "one", "author 0", 0),
    ]
    assert current.version == 4
    values = [None if row.value is None else decode(row.key, row.value) for row in owed]
    assert [getattr(value, "text", None) for value in values] == ["one", "two", None, "three"]
    assert {row.topic for row in owed} == {Topic.RULES}


def test_outbox_numbers_are_never_given_twice(database: Database) -> None:
    with database.write() as connection:
        outbox.add(connection, Topic.RULES, "a", b"1", 0)
        (first,) = outbox.waiting(connection, 10)
        outbox.done(connection, [first.id])
    with database.write() as connection:
        outbox.add(connection, Topic.RULES, "a", b"2", 0)
        (second,) = outbox.waiting(connection, 10)
    assert second.id > first.id


def test_writers_wait_for_each_other(database: Database) -> None:
    def count_up() -> None:
        for _ in range(25):
            with database.write() as connection:
                before = rules.group(connection, "g")
                number = int(before.text) if before else 0
                rules.save(connection, Change("g", "api", "", str(number + 1)), "ada", 0)

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        found = rules.group(connection, "g")
    assert found is not None
    assert (found.text, found.version) == ("100", 100)


def test_foreign_keys_and_the_log_of_sqlite_are_on(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/api.sqlite")
    with database.read() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA synchronous")) == 2
    with pytest.raises((IntegrityError, UnavailableError)), database.write() as connection:
        connection.execute(text("INSERT INTO rule_group VALUES ('nobody', 1)"))
    database.close()


def test_the_database_has_one_id(database: Database) -> None:
    with database.write() as connection:
        first = rules.store_id(connection, 1)
    with database.write() as connection:
        assert rules.store_id(connection, 2) == first


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "not a SQLAlchemy URL"),
        ("sqlite://", "in memory"),
        ("postgresql+nodriver://localhost/x", "no driver"),
        ("sqlite:////proc/nowhere/x.sqlite", "cannot be made"),
    ],
)
def test_a_wrong_url_is_named(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as error:
        Database(url)
    assert "FLEETPULSE_API_DATABASE_URL" in str(error.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "api.sqlite").write_text("a text of more than sixteen bytes")
    with pytest.raises(SettingsError, match="not a database"):
        Database(f"sqlite:///{tmp_path}/api.sqlite")
