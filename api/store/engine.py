"""The database of the API: SQLite in the data folder by default, another by SQLAlchemy URL.

A change is one transaction that also writes rows of the outbox (`outbox.py`); whoever waits for those is woken when
it is committed.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from api.store.schema import migrate
from fleetpulse.errors import SettingsError, UnavailableError
from fleetpulse.settings import data_dir

FILE_NAME = "api/api.sqlite"  # in the data folder; beside it SQLite's log
_SETTING = "FLEETPULSE_API_DATABASE_URL"
_BUSY_SECONDS = 10.0
_WRITES = "fleetpulse_writes"
_WRITERS_LOCK = 0x666C656574  # a number that nobody else takes in this database


class Database:
    """One database, migrated; safe to use from several threads."""

    def __init__(self, url: str) -> None:
        """Open and migrate it; empty `url`: SQLite in the data folder. Raises SettingsError when it cannot be used."""
        self.committed = threading.Event()  # set after each write; who waits for it clears it
        self._engine = _opened(_url_of(url))
        try:
            migrate(self._engine)
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise SettingsError(f"{_SETTING}: the database cannot be opened: {_cause(error)}") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        with _named_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is alone: what it reads nobody changes until it ends. Committed unless it raises."""
        with (
            _named_errors(),
            self._engine.connect().execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection
        self.committed.set()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _url_of(text: str) -> URL:
    if not text:
        return URL.create("sqlite", database=str(data_dir().absolute() / FILE_NAME))
    try:
        return make_url(text)
    except ArgumentError as error:
        raise SettingsError(
            f"{_SETTING} is not a SQLAlchemy URL: write dialect://user:password@host/database, or sqlite:////folder/file"
        ) from error


def _opened(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        try:
            engine = create_engine(url, isolation_level="REPEATABLE READ", pool_pre_ping=True)
        except (ImportError, NoSuchModuleError) as error:
            raise SettingsError(f"{_SETTING}: no driver for {url.drivername!r} is installed: {error}") from error
        if engine.dialect.name == "postgresql":
            event.listen(engine, "begin", _begin_alone)
        return engine
    if not url.database or url.database == ":memory:":
        raise SettingsError(f"{_SETTING}: a database in memory would forget the rules: name a file")
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{_SETTING}: {url.database} cannot be made: {error.strerror}") from error
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # sqlite3 would begin by itself, and only at the first write
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_alone(connection: Connection) -> None:
    """Writers of PostgreSQL wait for each other, as SQLite's do: under SERIALIZABLE most of them failed when they met.

    Each statement after the lock sees what the writer before has committed; readers see one state and wait for nobody.
    """
    if connection.get_execution_options().get(_WRITES):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_BUSY_SECONDS:g}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise UnavailableError(f"the database of the API ({_SETTING}) does not answer: {_cause(error)}") from error


def _cause(error: SQLAlchemyError) -> str:
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)
