"""The one way to open a ClickHouse client: native protocol, with the settings that the delivery rules need.

One client is one query at a time: a thread that talks to ClickHouse has a client of its own.
"""

from typing import Any
from urllib.parse import urlsplit

from clickhouse_driver import Client
from clickhouse_driver.errors import Error
from clickhouse_driver.util.helpers import parse_url

from fleetpulse.errors import SettingsError, UnavailableError

# Why each: async inserts acknowledge before they are durable; deduplicating on insert costs CPU that merges spend
# anyway; tokens guard a retry; FINAL never needs to look across partitions, because one key is in one partition.
INSERT_SETTINGS: dict[str, Any] = {"async_insert": 0, "optimize_on_insert": 0, "deduplicate_insert": "enable"}
QUERY_SETTINGS: dict[str, Any] = {"do_not_merge_across_partitions_select_final": 1}

CONNECT_TIMEOUT_SECONDS = 5
ANSWER_TIMEOUT_SECONDS = 60


def connect(
    url: str, *, answer_timeout_seconds: float = ANSWER_TIMEOUT_SECONDS, use_numpy: bool = False, **settings: Any
) -> Client:
    """A client for a URL ``clickhouse://user:password@host:port/database``; connects with its first query.

    `use_numpy` makes columns numpy arrays both ways. `settings` are ClickHouse settings on top of ours. Raises
    SettingsError for a URL of another form.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("clickhouse", "clickhouses") or not parts.hostname:
        raise SettingsError(
            "FLEETPULSE_CLICKHOUSE_URL must be of the form clickhouse://user:password@host:9000/database"
        )
    host, arguments = parse_url(url)
    given = {**INSERT_SETTINGS, **QUERY_SETTINGS, **arguments.pop("settings", {}), **settings}
    arguments.setdefault("connect_timeout", CONNECT_TIMEOUT_SECONDS)
    arguments.setdefault("send_receive_timeout", answer_timeout_seconds)
    return Client(
        host,
        **arguments,
        client_name="fleetpulse",
        settings_is_important=True,
        settings={**given, "server_side_params": True, "use_numpy": use_numpy},
    )


def database_of(url: str) -> str:
    """The database that a URL names; ``default`` when it names none."""
    return urlsplit(url).path.strip("/") or "default"


def address_of(url: str) -> str:
    """Host and port of a URL, without user and password: for messages."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 9000}"


def unavailable(url: str, error: Exception) -> UnavailableError:
    """The error for a server that cannot be reached, naming its address and the setting."""
    text = str(getattr(error, "message", "") or error).partition("Stack trace")[0].strip()
    detail = text.splitlines()[0] if text else type(error).__name__
    return UnavailableError(
        f"ClickHouse at {address_of(url)} (FLEETPULSE_CLICKHOUSE_URL) cannot be reached or refuses: {detail}"
    )


# What clickhouse-driver raises when the server or the way to it is the cause.
CLICKHOUSE_ERRORS: tuple[type[Exception], ...] = (Error, OSError, EOFError)
