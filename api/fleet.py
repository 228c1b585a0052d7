"""What the routes answer: rows of the reader in the shapes of `models.py`."""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from api import models, sampling
from api.errors import NotFoundError, ParameterError
from api.sampling import SampleQuery
from api.times import LATEST_MS, parse_time
from fleetpulse.clock import Clock, to_rfc3339
from fleetpulse.events import AlertEvent
from fleetpulse.settings import ApiSettings, IngestSettings, load
from fleetpulse.storage.reader import HistoryMark, HostRow, Latest, Reader

# A rolling aggregate older than this says nothing about now: Prometheus' look-back.
RECENT_MS = 5 * 60_000
# Field of a host → recorded metric (infra/rules/host.yaml), and how a host's series of it become one number.
SUMMARY: Mapping[str, tuple[str, str]] = {
    "cpu_ratio": ("host:cpu_utilisation:ratio_rate1m", "mean"),
    "memory_ratio": ("host:memory_utilisation:ratio_avg1m", "mean"),
    "filesystem_ratio": ("host:filesystem_utilisation:ratio_avg1m", "most"),
    "disk_ratio": ("host:disk_utilisation:ratio_rate1m", "most"),
    "network_receive_bytes_per_second": ("host:network_receive_bytes:rate1m", "total"),
    "network_transmit_bytes_per_second": ("host:network_transmit_bytes:rate1m", "total"),
    "load_per_core": ("host:load_per_core:ratio_avg1m", "mean"),
}
_NOTHING = (None,) * len(SUMMARY)
_encoder = msgspec.json.Encoder()
_SUMMARY_METRICS = sorted({metric for metric, _ in SUMMARY.values()})
_UNAME, _CPU, _UP = "node_uname_info", "node_cpu_seconds_total", "up"
_MEMORY, _BOOT = "node_memory_MemTotal_bytes", "node_boot_time_seconds"


class Fleet:
    """The answers about one fleet; every method may raise what the reader raises."""

    def __init__(
        self, reader: Reader, limits: ApiSettings, clock: Clock, retention: IngestSettings | None = None
    ) -> None:
        self._reader = reader
        self._limits = limits
        self._clock = clock
        self._retention = retention or load(IngestSettings)

    @property
    def reader(self) -> Reader:
        """What is read with."""
        return self._reader

    def hosts(self, status: str | None, search: str | None, limit: int) -> bytes:
        """The JSON of `models.HostList`: hosts with their latest aggregates and alerts.

        Thousands of hosts through pydantic would take longer than the queries.
        """
        now_ms = self._clock.now_ms()
        rows, total = self._reader.hosts(status or "", search or "", limit)
        listed = [row.host for row in rows] if len(rows) < total else []
        summaries = self._reader.summaries(list(SUMMARY.values()), now_ms - RECENT_MS, listed)
        counts = self._reader.alert_counts()
        hosts = [_listed(row, summaries.get(row.host, _NOTHING), counts) for row in rows]
        return _encoder.encode({"hosts": hosts, "total": total, "now": to_rfc3339(now_ms)})

    def host(self, name: str) -> models.HostDetail:
        """One host with its facts; NotFoundError names the nearest hosts."""
        row = self._known(name)
        now_ms = self._clock.now_ms()
        latest = self._reader.latest([*_SUMMARY_METRICS, _MEMORY, _BOOT], now_ms - RECENT_MS, [name])
        uname = self._reader.series(name, metric=_UNAME, limit=1)[0]
        cores = {series.labels.get("cpu") for series in self._reader.series(name, metric=_CPU)[0]}
        up = self._reader.series(name, metric=_UP, limit=1)[0]
        boot = _finite(latest, name, _BOOT, "most")
        facts: dict[str, Any] = uname[0].labels if uname else {}
        return models.HostDetail(
            **_summary(row, latest, self._reader.alert_counts(name)),
            labels=up[0].labels if up else {},
            facts=models.HostFacts(
                sysname=facts.get("sysname"),
                release=facts.get("release"),
                machine=facts.get("machine"),
                nodename=facts.get("nodename"),
                cores=len(cores) or None,
                memory_bytes=_finite(latest, name, _MEMORY, "most"),
                boot_time=to_rfc3339(int(boot * 1000)) if boot and 0 <= boot * 1000 <= LATEST_MS else None,
            ),
            first_seen=to_rfc3339(row.first_seen_ms),
            series=self._reader.series(name, limit=1)[1],
            now=to_rfc3339(now_ms),
        )

    def series(self, name: str, metric: str | None, search: str | None, limit: int) -> models.SeriesList:
        """A host's series; NotFoundError names the nearest hosts."""
        self._known(name)
        rows, total = self._reader.series(name, metric or "", search or "", limit)
        found = [models.Series(id=f"{row.id:016x}", metric=row.metric, labels=row.labels) for row in rows]
        return models.SeriesList(series=found, total=total)

    def samples(self, query: SampleQuery) -> bytes:
        """The JSON of `models.Samples`; NotFoundError when a host of the query does not exist."""
        sampling.check_hosts(query)
        self.check_known(query.hosts)
        return sampling.answer(query, self._reader, self._limits, self._retention, self._clock.now_ms())

    def check_known(self, hosts: Sequence[str]) -> None:
        """NotFoundError for the first host that has never sent a sample, with the nearest names."""
        known = self._reader.known_hosts(hosts) if hosts else set()
        for host in hosts:
            if host not in known:
                raise self._unknown(host)

    def alerts(self, host: str | None, limit: int) -> models.AlertList:
        """What fires now."""
        events = [_event(event) for event in self._reader.alerts(host or "", limit)]
        return models.AlertList(alerts=events, now=to_rfc3339(self._clock.now_ms()))

    def alert_history(
        self, host: str | None, since: str | None, until: str | None, limit: int, cursor: str | None
    ) -> models.AlertHistory:
        """A page of past transitions."""
        since_ms = parse_time("since", since) if since is not None else 0
        until_ms = parse_time("until", until) if until is not None else LATEST_MS
        if since_ms >= until_ms:
            raise ParameterError("since", "the start is not before the end: exchange them")
        mark = _mark(cursor) if cursor else None
        events = self._reader.alert_history(host or "", since_ms, until_ms, limit + 1, mark)
        page = events[:limit]
        following = _cursor(page[-1]) if len(events) > limit else None
        return models.AlertHistory(events=[_event(event) for event in page], next=following)

    def prometheus_alerts(self) -> models.PrometheusAlertsAnswer:
        """What fires now, as Prometheus lists it."""
        alerts = [
            models.PrometheusAlert(
                activeAt=event.data.starts_at,
                annotations=event.data.annotations,
                labels=event.data.labels,
                state="firing",
                value=event.data.value,
            )
            for event in self._reader.alerts()
        ]
        return models.PrometheusAlertsAnswer(status="success", data=models.PrometheusAlerts(alerts=alerts))

    def _known(self, name: str) -> HostRow:
        row = self._reader.host(name)
        if row is None:
            raise self._unknown(name)
        return row

    def _unknown(self, name: str) -> NotFoundError:
        nearest = self._reader.nearest_hosts(name)
        hint = f"; the nearest names are {', '.join(nearest)}" if nearest else ""
        return NotFoundError(f"no host {name[:200]!r} has ever sent a sample{hint}", nearest)


def _listed(row: HostRow, values: Sequence[float | None], counts: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    return {
        **_seen(row, counts),
        **{
            field: value if value is not None and math.isfinite(value) else None
            for field, value in zip(SUMMARY, values, strict=True)
        },
    }


def _seen(row: HostRow, counts: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    return {
        "host": row.host,
        "status": row.status,
        "last_seen": to_rfc3339(row.last_seen_ms),
        "simulated": row.simulated,
        "alerts": {severity: counts.get((row.host, severity), 0) for severity in ("warning", "critical")},
    }


def _summary(
    row: HostRow, latest: Mapping[tuple[str, str], Latest], counts: Mapping[tuple[str, str], int]
) -> dict[str, Any]:
    return {
        **_seen(row, counts),
        **{field: _finite(latest, row.host, metric, how) for field, (metric, how) in SUMMARY.items()},
    }


def _finite(latest: Mapping[tuple[str, str], Latest], host: str, metric: str, how: str) -> float | None:
    found = latest.get((host, metric))
    if found is None:
        return None
    value: float = getattr(found, how)
    return value if math.isfinite(value) else None


def _event(event: AlertEvent) -> models.AlertEvent:
    return models.AlertEvent.model_validate(msgspec.to_builtins(event))


def _cursor(event: AlertEvent) -> str:
    at_ms = parse_time("cursor", event.time)
    return base64.urlsafe_b64encode(f"{at_ms}/{event.id}".encode()).decode().rstrip("=")


def _mark(cursor: str) -> HistoryMark:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at_ms, episode, transition = text.split("/")
        mark = HistoryMark(int(at_ms), episode, int(transition))
    except (ValueError, binascii.Error):
        raise ParameterError("cursor", "not a cursor of ours: pass `next` of the page before, unchanged") from None
    if not 0 <= mark.time_ms <= LATEST_MS or not 0 <= mark.transition < 1 << 32:
        raise ParameterError("cursor", "not a cursor of ours: pass `next` of the page before, unchanged")
    return mark
