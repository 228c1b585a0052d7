"""`fleetpulse migrate`: create or migrate the ClickHouse tables and views.

Migrations are the files ``migrations/NNNN_name.sql``, applied in order and recorded in `schema_migrations`. The
database is the one in the URL. ClickHouse has neither transactions nor locks over its schema, so **every statement
must be safe to run twice and at once from two processes**; a failed run is continued by the next one.
"""

import argparse
import hashlib
import logging
import re
import time
from dataclasses import dataclass
from importlib.resources import files

from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from fleetpulse import logs
from fleetpulse.errors import FatalError
from fleetpulse.settings import ClickHouseSettings, IngestSettings, LogSettings, load
from fleetpulse.storage import tables
from fleetpulse.storage.client import CLICKHOUSE_ERRORS, address_of, connect, database_of, unavailable
from fleetpulse.storage.tuning import tune

log = logging.getLogger(__name__)

MINIMUM_VERSION = (26, 2)  # the setting deduplicate_insert
_UNKNOWN_DATABASE = 81
# What two processes that create the same thing at once may meet; the next attempt finds it made.
_RACES = frozenset({57, 82, 253, 341, 342, 517, 371, 60, 16})
_ATTEMPTS = 5
_ENGINE = "ENGINE = ReplacingMergeTree ORDER BY version"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, name, statements and the hash of its text."""

    version: int
    name: str
    statements: tuple[str, ...]
    checksum: str


def migrate(url: str, retention: IngestSettings | None = None) -> list[str]:
    """Bring the database to this build's schema; the names of the migrations that were applied.

    `retention` sets the tables' TTLs and codecs (default: what the settings say). Raises UnavailableError when the
    server cannot be reached, FatalError when it is too old or the schema is newer or other than this build's.
    """
    client = connect(url)
    try:
        _ensure_database(client, url)
        _check_version(client, url)
        applied = _apply_all(client)
        settings = retention or load(IngestSettings)
        _set_retention(client, settings)
        tune(client, decimals=settings.decimal_codec)
        return applied
    except CLICKHOUSE_ERRORS as error:
        raise unavailable(url, error) from error
    finally:
        client.disconnect()


def read_migrations() -> list[Migration]:
    """The migrations of this build, in order."""
    found = []
    for file in files("fleetpulse.storage").joinpath("migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name):
            text = file.read_text()
            checksum = hashlib.sha256(text.encode()).hexdigest()[:16]
            found.append(Migration(int(match[1]), match[2], tuple(_statements(text)), checksum))
    return sorted(found, key=lambda migration: migration.version)


def _statements(text: str) -> list[str]:
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in code.split(";\n") if statement.strip().rstrip(";")]


def _ensure_database(client: Client, url: str) -> None:
    try:
        client.execute("SELECT 1")
    except ServerException as error:
        if error.code != _UNKNOWN_DATABASE:
            raise
        database = database_of(url)
        if not re.fullmatch(r"\w+", database):
            raise FatalError(
                f"database name {database!r} in FLEETPULSE_CLICKHOUSE_URL: use letters, digits and _"
            ) from error
        client.disconnect()
        other = connect(re.sub(r"(://[^/]+)/[^?]*", r"\1/default", url))
        try:
            other.execute(f"CREATE DATABASE IF NOT EXISTS {database}")
        finally:
            other.disconnect()


def _check_version(client: Client, url: str) -> None:
    [(text,)] = client.execute("SELECT version()")
    version = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    if version < MINIMUM_VERSION:
        wanted = ".".join(map(str, MINIMUM_VERSION))
        raise FatalError(f"ClickHouse at {address_of(url)} is version {text}: {wanted} or newer is needed")


def _apply_all(client: Client) -> list[str]:
    _execute(
        client,
        f"CREATE TABLE IF NOT EXISTS {tables.MIGRATIONS} "
        f"(version UInt32, name String, checksum String, applied DateTime64(3, 'UTC')) {_ENGINE}",
    )
    recorded = dict(client.execute(f"SELECT version, checksum FROM {tables.MIGRATIONS} FINAL"))
    known = read_migrations()
    newer = recorded.keys() - {migration.version for migration in known}
    if newer:
        raise FatalError(f"the ClickHouse schema has migration {max(newer):04d}, which this build lacks: upgrade it")
    applied = []
    for migration in known:
        if migration.version in recorded:
            if recorded[migration.version] != migration.checksum:
                raise FatalError(
                    f"migration {migration.version:04d}_{migration.name} was applied from another text: "
                    "this build does not fit the database"
                )
            continue
        for statement in migration.statements:
            _execute(client, statement)
        row = (migration.version, migration.name, migration.checksum)
        _execute(client, f"INSERT INTO {tables.MIGRATIONS} SELECT {row[0]}, '{row[1]}', '{row[2]}', now64(3)")
        applied.append(f"{migration.version:04d}_{migration.name}")
    return applied


def _set_retention(client: Client, retention: IngestSettings) -> None:
    wanted = {
        tables.SAMPLES: ("toDateTime(timestamp)", retention.raw_retention_days),
        tables.SAMPLES_1M: ("timestamp", retention.minute_retention_days),
        tables.SAMPLES_1H: ("timestamp", retention.hour_retention_days),
        # A sample may come when it is almost as old as samples are kept: its accounts and marks are needed until then.
        tables.LEDGER: ("toDateTime(appended)", retention.raw_retention_days + 1),
        tables.CLEAN_MARKS: ("minute", retention.raw_retention_days + 1),
        tables.HOUR_MARKS: ("hour", retention.raw_retention_days + 1),
    }
    for table, (column, days) in wanted.items():
        [(definition,)] = client.execute(f"SHOW CREATE TABLE {table}")
        if not re.search(rf"toIntervalDay\({days}\)", definition):
            _execute(
                client,
                f"ALTER TABLE {table} MODIFY TTL {column} + INTERVAL {days} DAY "
                "SETTINGS materialize_ttl_after_modify = 0",
            )


def _execute(client: Client, statement: str) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            client.execute(statement)
            return
        except ServerException as error:
            if error.code not in _RACES or attempt == _ATTEMPTS - 1:
                raise FatalError(f"migration failed: {_first_line(error)}\n{statement}") from error
            time.sleep(0.1 * 2**attempt)


def _first_line(error: ServerException) -> str:
    return f"code {error.code}: {str(error.message).partition('Stack trace')[0].strip()}"


def main(argv: list[str]) -> int:
    """Migrate, and say what was done."""
    argparse.ArgumentParser(
        prog="fleetpulse migrate", description=__doc__.partition("\n")[0], allow_abbrev=False
    ).parse_args(argv)
    settings = load(LogSettings)
    logs.set_up("migrate", settings.level, settings.format)
    url = load(ClickHouseSettings).url
    applied = migrate(url)
    print(f"{address_of(url)}/{database_of(url)}: {', '.join(applied) if applied else 'nothing to do'}")
    return 0
