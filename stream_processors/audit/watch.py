"""`fleetpulse audit --every 1h`: audit again and again, and say the result as own metrics."""

import logging
import threading
from collections.abc import Callable

from fleetpulse import logs, settings
from fleetpulse.clock import Clock, SystemClock
from fleetpulse.errors import RetryableError
from fleetpulse.logs import log_fields
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.selfserver import own_metrics
from fleetpulse.settings import KafkaSettings, LogSettings, SelfSettings
from fleetpulse.shutdown import stop_on_signals
from stream_processors.audit.run import Audit
from stream_processors.audit.show import as_lines

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0


def watch(run: Callable[[], Audit], every_seconds: float, clock: Clock | None = None) -> int:
    """Until SIGTERM or SIGINT. `run` is one audit; a server that does not answer is asked again."""
    log_settings = settings.load(LogSettings)
    logs.set_up("audit", log_settings.level, log_settings.format)
    metrics = SelfMetrics()
    watcher = Watcher(run, metrics, clock or SystemClock())
    kafka, own = settings.load(KafkaSettings), settings.load(SelfSettings)
    with stop_on_signals() as stop, own_metrics("audit", metrics, lambda: watcher.not_ready, own, kafka=kafka):
        watcher.work(every_seconds, stop)
    return 0


class Watcher:
    """Runs audits and keeps the metrics of the newest one."""

    def __init__(self, run: Callable[[], Audit], metrics: SelfMetrics, clock: Clock) -> None:
        self._run, self._metrics, self._clock = run, metrics, clock
        self.not_ready: str | None = "no audit has ended yet"

    def work(self, every_seconds: float, stop: threading.Event) -> None:
        """Audit every so often, the first time at once, until `stop`."""
        while not stop.is_set():
            begun = self._clock.monotonic()
            pause = every_seconds if self.once() else min(every_seconds, RETRY_SECONDS)
            stop.wait(max(0.0, begun + pause - self._clock.monotonic()))

    def once(self) -> bool:
        """One audit; False when a server did not answer."""
        try:
            audit = self._run()
        except RetryableError as error:
            self.not_ready = str(error)
            log.warning("no audit", extra=log_fields(cause=str(error)))
            return False
        report = audit.report
        messages = sum(hole.next - hole.first for hole in report.holes)
        self._metrics.set("fleetpulse_audit_unexplained_samples", report.unexplained)
        self._metrics.set("fleetpulse_audit_unexplained_messages", messages)
        self._metrics.set("fleetpulse_audit_time_seconds", self._clock.now_ms() / 1000)
        self.not_ready = None
        if report.balanced and audit.lossless:
            log.info("everything is explained", extra=log_fields(rows=len(report.rows)))
        else:
            for line in as_lines(audit, everything=False):
                log.error(line)
        return True
