"""How far a simulation is: one line on standard error, in place on a terminal, every ten seconds elsewhere."""

import sys
import time
from typing import TextIO

from fleetpulse.selfmetrics import SelfMetrics

PLAIN_SECONDS = 10.0
TERMINAL_SECONDS = 1.0


class Progress:
    """Reads the publisher's counters; `show` may be called as often as one likes."""

    def __init__(self, metrics: SelfMetrics, hosts: int, stream: TextIO | None = None) -> None:
        self._metrics = metrics
        self._hosts = hosts
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._start = self._shown = time.monotonic()

    def show(self, simulated_s: int, last: bool = False) -> None:
        """Print the line when it is time, or when it is the last."""
        now = time.monotonic()
        if not last and now - self._shown < (TERMINAL_SECONDS if self._terminal else PLAIN_SECONDS):
            return
        self._shown = now
        text = self._line(now - self._start, simulated_s)
        self._stream.write(f"\r{text}\x1b[K" if self._terminal else f"{text}\n")
        if last and self._terminal:
            self._stream.write("\n")
        self._stream.flush()

    def _line(self, elapsed: float, simulated_s: int) -> str:
        sent = self._count("samples_total")
        lost = self._count("dropped_samples_total") + self._count("failed_samples_total")
        waiting = self._count("buffered_bytes") + self._count("spool_bytes")
        return (
            f"{self._hosts} hosts, {simulated_s} s of their time: {sent:,} samples, {sent / max(elapsed, 1e-9):,.0f} a "
            f"second; {self._count('delivered_samples_total'):,} delivered, {lost:,} lost, "
            f"{waiting / 2**20:.1f} MiB wait for Kafka"
        )

    def _count(self, suffix: str) -> int:
        return int(self._metrics.get(f"fleetpulse_publish_{suffix}"))
