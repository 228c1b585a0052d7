"""Recomputing dirty minutes, on a thread and a connection of its own: what is inserted never waits for it.

The sink's thread says what is due (`begin`) and takes what is done (`done`); one round at a time, of all partitions.
What ClickHouse refuses to recompute is tried again in a later round, in smaller pieces, and holds up nothing else. What
comes late while a round runs makes its bucket dirty again, in memory and in the ledger: a mark says only that a bucket
is clean through the offset at which its round began.
"""

import logging
import threading
import time
from collections.abc import Collection, Sequence

from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from fleetpulse.logs import log_fields
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.storage import tables
from fleetpulse.storage.client import CLICKHOUSE_ERRORS, connect, unavailable
from fleetpulse.storage.repair import repair
from stream_processors.ingest.partition import Partition
from stream_processors.ingest.repair_pieces import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Order, Piece, Pieces

log = logging.getLogger(__name__)

SETTLE_SECONDS = 3.0  # late samples come in bunches: recompute their buckets together
PUT_OFF_SECONDS = 300.0  # at most so long behind what has not been stored yet
# Of the server's time; a round that took less than AT_ONCE_SECONDS is followed by the next as soon as that is due.
SHARE = 0.3
AT_ONCE_SECONDS = 1.0
STATEMENT_SECONDS = 600.0
FAILURES_A_ROUND = 3  # one after the other: then it is hardly for what they ask


class Repairs:
    """One round after the other; `begin` and `done` are for one thread."""

    def __init__(self, url: str, partitions: int, metrics: SelfMetrics) -> None:
        self._url, self._count, self._metrics = url, partitions, metrics
        self._client: Client | None = None
        self._pieces = Pieces()  # the round's thread has them while it runs
        self._trying = 0  # buckets of the round
        self._done: list[Order] = []
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
        """How many are being recomputed, or failed and will be."""
        return self._trying if self.running else self._pieces.buckets

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
        now = time.monotonic()
        if self.running or self._stop.is_set() or now < self._wait_until:
            return False
        if dirty_since and now - min(dirty_since) >= (PUT_OFF_SECONDS if behind else SETTLE_SECONDS):
            return True
        return not behind and self._pieces.due(now)

    def begin(self, orders: Sequence[Order], owned: Collection[Partition]) -> None:
        """Start a round; all raw rows below the orders' places are in the table. `owned`: all that are still ours."""
        self._pieces.add(orders, owned)
        self._trying = self._pieces.buckets
        self._begun = time.monotonic()
        self._finished.clear()
        self._running = threading.Thread(target=self._run, name="repairs", daemon=True)
        self._running.start()

    def done(self) -> list[Order]:
        """What the round has recomputed, once it has ended; empty while it runs."""
        if self._running is None or not self._finished.is_set():
            return []
        spent = time.monotonic() - self._begun
        self._wait_until = self._begun + (spent / SHARE if spent >= AT_ONCE_SECONDS else 0.0)
        orders, self._done, self._running = self._done, [], None
        return orders

    def _run(self) -> None:
        failures, begun, pause = 0, self._begun, FIRST_PAUSE_SECONDS
        while not self._stop.is_set() and failures < FAILURES_A_ROUND:
            piece = self._pieces.take(begun)
            if piece is None:
                break
            try:
                self._recompute(piece)
            except ServerException as error:
                failures += 1
                self._refused(piece, str(unavailable(self._url, error)))
            except CLICKHOUSE_ERRORS as error:
                cause = str(unavailable(self._url, error))
                log.warning("repairs wait for ClickHouse", extra=log_fields(cause=cause, retry_seconds=pause))
                self._pieces.waiting.insert(0, piece)
                self._disconnect()
                self._stop.wait(pause)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            except Exception as error:  # ingest goes on; the buckets stay dirty and are tried again
                failures += 1
                log.exception("recomputing failed")
                self._refused(piece, repr(error))
            else:
                failures, pause = 0, FIRST_PAUSE_SECONDS
                self._done += piece.orders
        if self._stop.is_set():
            self._disconnect()
        else:
            self._finished.set()

    def _refused(self, piece: Piece, cause: str) -> None:
        self._disconnect()
        self._metrics.add("fleetpulse_ingest_repair_failures_total")
        facts = {"partitions": [order.partition.number for order in piece.orders], "failures": piece.failures + 1}
        minutes = {"first_minute": piece.minutes[0] * 60, "minutes": len(piece.minutes)}
        log.warning(
            "buckets could not be recomputed and stay dirty; they are tried again in smaller pieces",
            extra=log_fields(cause=cause, **facts, **minutes),
        )
        self._pieces.put_back(piece, time.monotonic())

    def _recompute(self, piece: Piece) -> None:
        if self._client is None:
            self._client = connect(self._url, answer_timeout_seconds=STATEMENT_SECONDS)
        begun = time.perf_counter()
        named: dict[int, list[int]] = {}
        for _, work in piece.orders:
            if work.ids is not None:
                named.setdefault(work.place, []).extend(work.ids)
        whole = {order.partition.number: order.work.place for order in piece.orders if order.work.ids is None}
        rows = repair(self._client, piece.minutes, whole, named, self._count)
        seconds = time.perf_counter() - begun
        self._metrics.add("fleetpulse_ingest_insert_seconds_total", seconds, table=tables.SAMPLES_1M)
        counts = {"minutes": len(piece.minutes), "partitions": len(piece.orders), "whole": len(whole), "rows": rows}
        log.info("recomputed from raw", extra=log_fields(**counts, seconds=round(seconds, 3)))

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client = None
