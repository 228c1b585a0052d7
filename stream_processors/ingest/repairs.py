"""Recomputing dirty minutes, on a thread and a connection of its own: what is inserted never waits for it.

The sink's thread says what is due (`begin`) and takes what is done (`done`); one round at a time, of all partitions. A
round's statements are tried until they are through. What comes late while a round runs makes its bucket dirty again, in
memory and in the ledger: a mark says only that a bucket is clean through the offset at which its round began.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from clickhouse_driver import Client

from fleetpulse.logs import log_fields
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.storage import tables
from fleetpulse.storage.client import CLICKHOUSE_ERRORS, connect, unavailable
from fleetpulse.storage.repair import repair
from stream_processors.ingest.partition import Partition, Work

log = logging.getLogger(__name__)

SETTLE_SECONDS = 3.0  # late samples come in bunches: recompute their buckets together
PUT_OFF_SECONDS = 300.0  # at most so long behind what has not been stored yet
# Of the server's time; a round that took less than AT_ONCE_SECONDS is followed by the next as soon as that is due.
SHARE = 0.3
AT_ONCE_SECONDS = 1.0
STATEMENT_SECONDS = 600.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0


class Order(NamedTuple):
    """What to recompute of one partition."""

    partition: Partition
    work: Work


class Repairs:
    """One round after the other; `begin` and `done` are for one thread."""

    def __init__(self, url: str, partitions: int, metrics: SelfMetrics) -> None:
        self._url, self._count, self._metrics = url, partitions, metrics
        self._client: Client | None = None
        self._orders: list[Order] = []
        self._running: threading.Thread | None = None
        self._stop = threading.Event()
        self._finished = threading.Event()
        self._begun = 0.0
        self._wait_until = 0.0

    @property
    def running(self) -> bool:
        """Whether a round is under way or waits to be taken by `done`."""
        return self._running is not None

    @property
    def buckets(self) -> int:
        """How many are being recomputed."""
        return sum(len(order.work.minutes) for order in self._orders)

    def stop(self) -> None:
        """Begin nothing more, and give up what cannot be done; from any thread."""
        self._stop.set()

    def close(self) -> None:
        """Stop, and disconnect."""
        self.stop()
        if self._running is not None:
            self._running.join()
        self._disconnect()

    def due(self, dirty_since: Sequence[float], *, behind: bool) -> bool:
        """Whether to begin now; `dirty_since`: monotonic times. While `behind` the inserts have the server."""
        if self.running or not dirty_since or self._stop.is_set():
            return False
        now, oldest = time.monotonic(), min(dirty_since)
        return now >= self._wait_until and now - oldest >= (PUT_OFF_SECONDS if behind else SETTLE_SECONDS)

    def begin(self, orders: Sequence[Order]) -> None:
        """Start a round; all raw rows below the orders' places are in the table."""
        self._orders = list(orders)
        self._begun = time.monotonic()
        self._finished.clear()
        self._running = threading.Thread(target=self._run, name="repairs", daemon=True)
        self._running.start()

    def done(self) -> list[Order]:
        """The orders of the round that has ended; empty while it runs."""
        if self._running is None or not self._finished.is_set():
            return []
        spent = time.monotonic() - self._begun
        self._wait_until = self._begun + (spent / SHARE if spent >= AT_ONCE_SECONDS else 0.0)
        orders, self._orders, self._running = self._orders, [], None
        return orders

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                self._recompute()
            except CLICKHOUSE_ERRORS as error:
                cause = str(unavailable(self._url, error))
                log.warning("repairs wait for ClickHouse", extra=log_fields(cause=cause, retry_seconds=pause))
            except Exception:  # ingest goes on; the buckets stay dirty and are tried again
                log.exception("recomputing failed and is tried again")
            else:
                self._finished.set()
                return
            self._disconnect()
            self._stop.wait(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
        self._disconnect()

    def _recompute(self) -> None:
        if self._client is None:
            self._client = connect(self._url, answer_timeout_seconds=STATEMENT_SECONDS)
        for minutes, orders in _together(self._orders):
            begun = time.perf_counter()
            named: dict[int, list[int]] = {}
            for _, work in orders:
                if work.ids is not None:
                    named.setdefault(work.place, []).extend(work.ids)
            whole = {order.partition.number: order.work.place for order in orders if order.work.ids is None}
            rows = repair(self._client, minutes, whole, named, self._count)
            seconds = time.perf_counter() - begun
            self._metrics.add("fleetpulse_ingest_insert_seconds_total", seconds, table=tables.SAMPLES_1M)
            log.info(
                "recomputed from raw",
                extra=log_fields(
                    minutes=len(minutes), partitions=len(orders), whole=len(whole), rows=rows, seconds=round(seconds, 3)
                ),
            )

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client = None


def _together(orders: Sequence[Order]) -> list[tuple[list[int], list[Order]]]:
    """Minutes that are to be recomputed for the same partitions. A bucket that is not to be recomputed may be open."""
    of_minutes: dict[int, list[int]] = {}
    for place, order in enumerate(orders):
        for minute in order.work.minutes:
            of_minutes.setdefault(minute, []).append(place)
    minutes_of: dict[tuple[int, ...], list[int]] = {}
    for minute, places in of_minutes.items():
        minutes_of.setdefault(tuple(places), []).append(minute)
    return [(sorted(minutes), [orders[place] for place in places]) for places, minutes in minutes_of.items()]
