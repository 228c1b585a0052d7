"""A bounded pool of ClickHouse clients for readers: a client is one query at a time, so a thread borrows one.

Errors leave grouped by what the caller does next: UnavailableError for the server or the way to it, QueryError for a
query that the server refuses because it asks too much.
"""

import queue
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from clickhouse_driver import Client
from clickhouse_driver.errors import ErrorCodes, ServerException

from fleetpulse.errors import FatalError, RejectedError, UnavailableError
from fleetpulse.storage.client import CLICKHOUSE_ERRORS, connect, unavailable

# The server's limits of the user's profile: the question is too large, not wrong.
_TOO_MUCH = frozenset(
    {
        ErrorCodes.TIMEOUT_EXCEEDED,
        ErrorCodes.TOO_SLOW,
        ErrorCodes.TOO_MANY_ROWS,
        ErrorCodes.TOO_MANY_ROWS_OR_BYTES,
        ErrorCodes.TOO_MANY_BYTES,
        ErrorCodes.MEMORY_LIMIT_EXCEEDED,
    }
)
_BAD_PATTERN = frozenset({427})  # CANNOT_COMPILE_REGEXP, which clickhouse-driver does not name
_LATER = frozenset({ErrorCodes.TOO_MANY_SIMULTANEOUS_QUERIES, ErrorCodes.QUERY_WAS_CANCELLED})
_NOT_MIGRATED = frozenset({ErrorCodes.UNKNOWN_TABLE, ErrorCodes.UNKNOWN_DATABASE})
_NOT_ALLOWED = frozenset({ErrorCodes.UNKNOWN_USER, 497, 516})  # ACCESS_DENIED, AUTHENTICATION_FAILED


class QueryError(RejectedError):
    """The server refuses this query; reason ``too_much`` or ``pattern``."""


class ClientPool:
    """At most `size` clients to one URL, opened when they are needed."""

    def __init__(
        self, url: str, size: int = 8, wait_seconds: float = 5.0, answer_timeout_seconds: float = 30.0
    ) -> None:
        self._url = url
        self._size = size
        self._wait_seconds = wait_seconds
        self._answer_timeout_seconds = answer_timeout_seconds
        self._free: queue.LifoQueue[Client | None] = queue.LifoQueue()
        for _ in range(size):
            self._free.put(None)

    @property
    def url(self) -> str:
        """Where the clients connect; with the password."""
        return self._url

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a SELECT; `parameters` are bound by the server as ``{name:Type}``."""
        with self._client() as client:
            rows: list[tuple[Any, ...]] = client.execute(sql, dict(parameters or {}))
            return rows

    def columns(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Sequence[Any]]:
        """The columns of a SELECT, each a sequence of its rows' values; an empty list when there is no row."""
        with self._client() as client:
            columns: list[Sequence[Any]] = client.execute(sql, dict(parameters or {}), columnar=True)
            return columns

    def close(self) -> None:
        """Close the clients that are not in use."""
        while not self._free.empty():
            client = self._free.get_nowait()
            if client is not None:
                client.disconnect()

    @contextmanager
    def _client(self) -> Iterator[Client]:
        try:
            client = self._free.get(timeout=self._wait_seconds)
        except queue.Empty:
            raise UnavailableError(
                f"all {self._size} connections to ClickHouse have been busy for {self._wait_seconds:g} s; try again"
            ) from None
        try:
            if client is None:
                client = connect(self._url, answer_timeout_seconds=self._answer_timeout_seconds)
            yield client
        except ServerException as error:
            raise _refused(self._url, error) from error
        except CLICKHOUSE_ERRORS as error:
            _drop(client)
            client = None
            raise unavailable(self._url, error) from error
        except BaseException:
            _drop(client)
            client = None
            raise
        finally:
            self._free.put(client)


def _drop(client: Client | None) -> None:
    if client is not None:
        client.disconnect()


def _refused(url: str, error: ServerException) -> Exception:
    sentence = error.message.partition(" Stack trace")[0].strip().splitlines()[0]
    if error.code in _TOO_MUCH:
        return QueryError("too_much", f"the query asks too much of ClickHouse; ask for less at once ({sentence})")
    if error.code in _BAD_PATTERN:
        return QueryError("pattern", sentence)
    if error.code in _NOT_MIGRATED:
        return UnavailableError(f"the database is not set up yet: run `fleetpulse migrate` ({sentence})")
    if error.code in _LATER or error.code in _NOT_ALLOWED:
        return unavailable(url, error)
    return FatalError(f"ClickHouse refuses a query of ours (code {error.code}): {sentence}")
