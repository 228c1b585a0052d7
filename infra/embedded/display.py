"""What a person sees of `up` while it runs."""

import time
from collections.abc import Callable, Mapping

from infra.embedded.observe import Reading
from infra.embedded.progress import Progress

REFRESH_SECONDS = 2.0
INCIDENT = "simulate --hosts 20 --incident cpu_spike"


def welcome(addresses: Mapping[str, str], call: Callable[[str], str], seconds: float) -> str:
    """The text when everything is ready."""
    http = f"   HTTP: {addresses['clickhouse_http']}" if addresses["clickhouse_http"] else ""
    # An external ClickHouse has users that only its owner knows.
    grafana = (f"  Values for Grafana's data source:       {call('grafana')}",) if http else ()
    return "\n".join(
        (
            "",
            f"Fleetpulse is ready after {seconds:.0f} s.",
            "",
            f"  Page and API   {addresses['page']}",
            f"  ClickHouse     {addresses['clickhouse']}{http}",
            f"  Kafka          {addresses['kafka']}",
            f"  Receivers      {addresses.get('notify') or 'none: alerts stay on the page (FLEETPULSE_NOTIFY_CONFIG)'}",
            "",
            f"  An alert on the page within a minute:   {call(INCIDENT)}",
            *grafana,
            f"  A process's log:                        {call('logs ingest -f')}",
            "",
            "Ctrl-C stops everything.",
            "",
        )
    )


def line(reading: Reading, rate: float | None, processes: int, resident_bytes: int, now: float | None = None) -> str:
    """The system in one line."""
    clock = time.strftime("%H:%M:%S", time.localtime(now))
    samples = "counting" if rate is None else f"{rate:,.0f}/s"
    lag = "not known" if reading.lag_messages is None else f"{reading.lag_messages:,.0f} messages"
    if reading.oldest_seconds:
        lag += f" ({reading.oldest_seconds:.1f} s)"
    return (
        f"{clock}  samples {samples}   lag {lag}   active alerts {reading.alerts_text()}   "
        f"{processes} processes, {resident_bytes / 1e6:,.0f} MB"
    )


class Screen:
    """Lines that stay, and below them, on a terminal, one status line that is rewritten."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._status = ""

    def status(self, text: str) -> None:
        """Show the status line anew; an empty one shows nothing."""
        self._status = text
        if text:
            self.progress.update(text)

    def tell(self, text: str) -> None:
        """A line that stays."""
        self.progress.done(text)
        if self._status and self.progress.terminal:
            self.progress.update(self._status)
