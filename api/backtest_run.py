"""A back-test on a thread of its own, line after line, for as long as somebody listens. One runs at a time."""

import logging
import queue
import threading
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool

from api.backtest_models import BacktestFailure, progress_of, result_of
from api.bounded import BusyError
from fleetpulse.errors import FleetpulseError
from fleetpulse.hindsight.backtested import Progress, Request, backtest
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.storage.history import History

NDJSON = "application/x-ndjson"

log = logging.getLogger(__name__)

_one = threading.Lock()
_LINES_AHEAD = 16
_LOOK_SECONDS = 0.5  # how often a thread that waits looks whether anybody listens
_BEGIN_SECONDS = 30.0  # who does not listen by then has gone before the first line


class Running:
    """One back-test; its thread ends soon after `lines` is left."""

    def __init__(self, url: str, request: Request, metrics: SelfMetrics) -> None:
        """Raises BusyError while another runs."""
        if not _one.acquire(blocking=False):
            raise BusyError("another back-test runs, one does at a time: try again when it is done")
        self._request = request
        self._metrics = metrics
        self._history = History(url)
        self._lines: queue.Queue[bytes | None] = queue.Queue(_LINES_AHEAD)
        self._left = threading.Event()
        self._begun = threading.Event()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="backtest", daemon=True).start()

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines as they come."""
        self._begun.set()
        try:
            while True:
                line = await run_in_threadpool(self._next)
                if line is None:
                    return
                yield line
        finally:
            self._left.set()

    def _next(self) -> bytes | None:
        while not self._left.is_set():
            try:
                return self._lines.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
        return None

    def _run(self) -> None:
        outcome = "failed"
        try:
            for found in backtest(self._history, self._request, self._left.is_set):
                line = progress_of(found) if isinstance(found, Progress) else result_of(found)
                self._put(line.model_dump_json().encode() + b"\n")
            outcome = "left" if self._left.is_set() else "done"
        except FleetpulseError as error:
            self._fail(str(error))
        except Exception:
            log.exception("a back-test failed")
            self._put(
                BacktestFailure(detail="the back-test failed; the log says why").model_dump_json().encode() + b"\n"
            )
        finally:
            self._history.close()
            self._metrics.add("fleetpulse_api_backtests_total", outcome=outcome)
            _one.release()
            self._put(None)

    def _fail(self, detail: str) -> None:
        self._put(BacktestFailure(detail=detail).model_dump_json().encode() + b"\n")

    def _put(self, line: bytes | None) -> None:
        while not self._left.is_set():
            try:
                self._lines.put(line, timeout=_LOOK_SECONDS)
            except queue.Full:
                if not self._begun.wait(_BEGIN_SECONDS):
                    self._left.set()
                continue
            return
