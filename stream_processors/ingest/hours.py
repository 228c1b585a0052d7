"""The job that keeps the one-hour rollups: it reads the ledger, rebuilds dirty hours, and marks them.

An hour of a partition is dirty when the ledger says that it was touched at an offset above the one it is marked built
through. It is built once it is over and nothing has touched it for a while; late data open it again, and only it. A
crash anywhere repeats work: the mark is written last. It also tells readers how far the tiers are complete. It has a
thread and a connection of its own and never stands in the way of ingest.
"""

import logging
import threading
import time
from collections.abc import Iterable

from clickhouse_driver import Client

from fleetpulse.clock import Clock, SystemClock
from fleetpulse.logs import log_fields
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.storage import hours
from fleetpulse.storage.client import CLICKHOUSE_ERRORS, connect, unavailable
from stream_processors.ingest.hour_progress import PartitionProgress, read

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400
STATEMENT_SECONDS = 600.0


class HourJob:
    """One worker's job, for the partitions that it owns."""

    def __init__(
        self,
        url: str,
        topic: str,
        partitions: int,
        settings: IngestSettings,
        metrics: SelfMetrics,
        clock: Clock | None = None,
    ) -> None:
        self._url, self._topic, self._count = url, topic, partitions
        self._settings, self._metrics = settings, metrics
        self._clock = clock or SystemClock()
        self._owned: frozenset[int] = frozenset()
        self._partitions: dict[int, PartitionProgress] = {}
        self._client: Client | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin, on a thread that does not hold up the process's end."""
        threading.Thread(target=self._run, name="hours", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing more."""
        self._stop.set()

    def keep_only(self, partitions: Iterable[int]) -> None:
        """After a rebalance; from any thread."""
        self._owned = frozenset(partitions)

    def check(self) -> int:
        """One round: read the ledger, build what is due, tell the readers; how many hours were built."""
        client = self._connected()
        self._take_over(client, self._owned)
        now = self._clock.now_ms() / 1000
        read(client, self._topic, self._partitions.values(), self._clock.monotonic())
        built = 0
        for hour, through in self._due(now).items():
            if self._stop.is_set():
                break
            self._build(client, hour, through)
            built += 1
        complete = [row for progress in self._partitions.values() for row in progress.complete(now, self._oldest(now))]
        if complete:
            hours.insert_complete(client, self._topic, complete)
        dirty = sum(len(progress.dirty_hours) for progress in self._partitions.values())
        self._metrics.set("fleetpulse_ingest_dirty_hours", dirty)
        return built

    def close(self) -> None:
        """Disconnect; what was read is read again."""
        if self._client is not None:
            self._client.disconnect()
            self._client = None

    def _take_over(self, client: Client, owned: frozenset[int]) -> None:
        for lost in self._partitions.keys() - owned:
            del self._partitions[lost]
        for new in owned - self._partitions.keys():
            lateness = self._settings.lateness_seconds
            self._partitions[new] = PartitionProgress(client, self._topic, new, lateness)

    def _due(self, now: float) -> dict[int, dict[int, int]]:
        """Hour → partition → the offset through which it was touched; the oldest hour first."""
        settle, monotonic = self._settings.hour_settle_seconds, self._clock.monotonic()
        due: dict[int, dict[int, int]] = {}
        for progress in self._partitions.values():
            for hour, through in progress.due(now, monotonic, settle).items():
                if hour >= self._oldest(now):
                    due.setdefault(hour, {})[progress.number] = through
        return dict(sorted(due.items()))

    def _oldest(self, now: float) -> float:
        """Raw samples before it may have expired, and their hours are not built any more."""
        return now - self._settings.raw_retention_days * DAY_SECONDS

    def _build(self, client: Client, hour: int, through: dict[int, int]) -> None:
        begun = time.perf_counter()
        clean = [partition for partition in through if self._partitions[partition].clean(hour)]
        if hour < self._clock.now_ms() / 1000 - self._settings.minute_retention_days * DAY_SECONDS:
            clean = []  # its minutes may have expired
        rows = hours.build(client, hour, through, self._count, clean)
        hours.insert_hour_marks(client, self._topic, hour, through)
        for partition, offset in through.items():
            self._partitions[partition].built(hour, offset)
        seconds = time.perf_counter() - begun
        self._metrics.add("fleetpulse_ingest_hour_rows_total", rows)
        self._metrics.add("fleetpulse_ingest_hour_seconds_total", seconds)
        log.info(
            "hour built",
            extra=log_fields(hour=hour, partitions=len(through), clean=len(clean), rows=rows, seconds=seconds),
        )

    def _connected(self) -> Client:
        if self._client is None:
            self._client = connect(self._url, answer_timeout_seconds=STATEMENT_SECONDS)
            self._partitions.clear()
            hours.forget_partitions(self._client, self._topic, self._count)
        return self._client

    def _run(self) -> None:
        while not self._stop.wait(self._settings.hour_check_seconds):
            try:
                self.check()
            except CLICKHOUSE_ERRORS as error:
                log.warning("hours wait for ClickHouse", extra=log_fields(cause=str(unavailable(self._url, error))))
                self.close()
            except Exception:  # ingest goes on; the hours stay dirty and are tried again
                log.exception("the hour job failed and tries again")
                self.close()
