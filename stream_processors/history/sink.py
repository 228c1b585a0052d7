"""Rows into ClickHouse, on a thread of its own, tried for ever. A row that comes twice is visible once.

The table folds rows of one (episode, transition), so that a redelivered event needs no other care.
"""

import logging
import threading
from collections.abc import Sequence

from clickhouse_driver import Client

from fleetpulse.errors import RetryableError
from fleetpulse.logs import log_fields
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.storage import tables
from fleetpulse.storage.client import CLICKHOUSE_ERRORS, connect, unavailable
from stream_processors.history.rows import Row

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
_INSERT = f"INSERT INTO {tables.ALERT_EVENTS} ({', '.join(tables.ALERT_EVENTS_COLUMNS)}) VALUES"


class StoppedError(RetryableError):
    """The process stops while ClickHouse is away; nothing of the batch is acknowledged."""


class Sink:
    """Owns the ClickHouse connection; for one thread."""

    def __init__(self, url: str, metrics: SelfMetrics) -> None:
        self._url = url
        self._metrics = metrics
        self._client: Client | None = None
        self._stop = threading.Event()
        self.failing: str | None = None  # why ClickHouse does not take what we have; read by other threads

    def stop(self) -> None:
        """Give up retrying; called from another thread."""
        self._stop.set()

    def store(self, rows: Sequence[Row]) -> None:
        """Insert the rows; returns once they are stored, or raises StoppedError."""
        pause = FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                self._client = self._client or connect(self._url)
                self._client.execute(_INSERT, rows)
            except CLICKHOUSE_ERRORS as error:
                self._failed(error, pause)
                self._stop.wait(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            else:
                self.failing = None
                self._metrics.add("fleetpulse_history_events_total", len(rows))
                return
        raise StoppedError("stopped while ClickHouse is away; what is not stored is delivered again")

    def _failed(self, error: Exception, pause: float) -> None:
        self.failing = str(unavailable(self._url, error))
        self._metrics.add("fleetpulse_history_insert_errors_total")
        log.warning("will try again", extra=log_fields(cause=self.failing, retry_seconds=pause))
        if self._client is not None:
            self._client.disconnect()
            self._client = None
