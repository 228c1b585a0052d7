"""Databases for tests: a pool of names, because the embedded ClickHouse knows users and rights only from its start."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle

from clickhouse_driver import Client

NAMES = tuple(f"fleetpulse_test_{number}" for number in range(24))
_next_name = cycle(NAMES)


@dataclass(frozen=True)
class Database:
    """A fresh, migrated database."""

    name: str
    url_for: Callable[[str], str]

    @property
    def url(self) -> str:
        """The URL of user `fleetpulse`, as the services use it."""
        return self.url_for("fleetpulse")


def fresh_database(url: Callable[[str, str], str]) -> Database:
    """Empty the next name of the pool and migrate it; ``url(user, database)`` of the server."""
    from fleetpulse.storage.migrate import migrate

    name = next(_next_name)
    drop_database(url("fleetpulse", "system"), name)
    database = Database(name, lambda user: url(user, name))
    migrate(database.url)
    return database


def drop_database(url: str, name: str) -> None:
    """Drop it with all it holds, at once."""
    client = Client.from_url(url)
    try:
        client.execute(f"DROP DATABASE IF EXISTS {name} SYNC")
    finally:
        client.disconnect()
