"""What the processes say of themselves, read from their own /metrics and added up."""

import time
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from fleetpulse.errors import MetricError
from fleetpulse.metric import parse_key
from infra.embedded.ready import get

WINDOW_SECONDS = 20.0  # two ticks of the agent, so that its rate does not flicker
SEVERITIES = ("critical", "warning")


@dataclass(frozen=True, slots=True)
class Reading:
    """The system at one moment; None where no process says."""

    at: float
    stored_samples: float | None = None
    lag_messages: float | None = None
    oldest_seconds: float | None = None
    alerts: Mapping[str, float] | None = None

    def alerts_text(self) -> str:
        """``none`` or ``2 critical, 1 warning``."""
        if self.alerts is None:
            return "not known"
        parts = [f"{count:.0f} {severity or 'without severity'}" for severity, count in _by_severity(self.alerts)]
        return ", ".join(parts) or "none"


def read(urls: Mapping[str, str]) -> Reading:
    """Fetch /metrics of every process (name → base URL) at once; one that does not answer is left out."""
    with ThreadPoolExecutor(max(1, len(urls))) as pool:
        texts = dict(zip(urls, pool.map(_metrics_of, urls.values()), strict=True))
    return reading_of(texts, time.monotonic())


def reading_of(texts: Mapping[str, str], at: float) -> Reading:
    """Add up the expositions of the processes, by name."""
    stored = _values(texts.get("ingest", ""), "fleetpulse_ingest_stored_samples_total")
    everyone = "\n".join(texts.values())
    lag = _values(everyone, "fleetpulse_consumer_lag_messages")
    oldest = _values(everyone, "fleetpulse_consumer_oldest_unprocessed_seconds")
    alerts: dict[str, float] = {}
    for labels, value in _values(texts.get("rules", ""), "fleetpulse_alerts_active"):
        severity = labels.get("severity", "")
        alerts[severity] = alerts.get(severity, 0.0) + value
    return Reading(
        at=at,
        stored_samples=sum(value for _, value in stored) if texts.get("ingest") else None,
        lag_messages=sum(value for _, value in lag) if lag else None,
        oldest_seconds=max(value for _, value in oldest) if oldest else None,
        alerts=alerts if texts.get("rules") else None,
    )


@dataclass(slots=True)
class Rate:
    """Stored samples a second over the last `WINDOW_SECONDS`."""

    _seen: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, reading: Reading) -> None:
        """Take note of a reading; a counter that went back belongs to a new process and starts over."""
        if reading.stored_samples is None:
            return
        if self._seen and reading.stored_samples < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((reading.at, reading.stored_samples))
        while len(self._seen) > 2 and reading.at - self._seen[1][0] >= WINDOW_SECONDS:
            self._seen.popleft()

    def value(self) -> float | None:
        """None until two readings are there."""
        if len(self._seen) < 2:
            return None
        (first_at, first), (last_at, last) = self._seen[0], self._seen[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else None


def _metrics_of(url: str) -> str:
    try:
        return get(f"{url}/metrics")
    except OSError:
        return ""


def _values(exposition: str, name: str) -> list[tuple[dict[str, str], float]]:
    found = []
    for line in exposition.splitlines():
        if line.startswith(name):
            key, _, value = line.rpartition(" ")
            try:
                parsed, labels = parse_key(key)
                if parsed == name:
                    found.append((labels, float(value)))
            except (MetricError, ValueError):
                continue
    return found


def _by_severity(alerts: Mapping[str, float]) -> Iterable[tuple[str, float]]:
    order = {severity: rank for rank, severity in enumerate(SEVERITIES)}
    active = [(severity, count) for severity, count in alerts.items() if count]
    return sorted(active, key=lambda item: (order.get(item[0], len(order)), item[0]))
