"""Rows put straight into the tables, for tests of what reads them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from fleetpulse.clock import to_datetime, to_rfc3339
from fleetpulse.events import (
    ZERO_TIME,
    AlertData,
    AlertEvent,
    Evidence,
    RuleRef,
    episode_of,
    fingerprint_of,
    make_event,
)
from fleetpulse.identity import series_id
from fleetpulse.metric import canonical_key, host_of
from fleetpulse.storage import tables
from fleetpulse.storage.client import connect

# name, labels, [(Unix milliseconds, value)…]
Stored = tuple[str, dict[str, str], Sequence[tuple[int, float]]]


def store(url: str, rows: Iterable[Stored]) -> None:
    """Register the series and hosts, and insert the raw samples, each series in a part of its own."""
    client = connect(url)
    try:
        for name, labels, samples in rows:
            key, host = canonical_key(name, labels), host_of(labels)
            first, last = to_datetime(samples[0][0]), to_datetime(samples[-1][0])
            tags = {"__name__": name, **labels}
            client.execute(
                f"INSERT INTO {tables.SERIES} ({', '.join(tables.SERIES_COLUMNS)}) VALUES",
                [(series_id(key), key, name, host, tags, first, last)],
            )
            simulated = int(labels.get("simulated") == "true")
            client.execute(
                f"INSERT INTO {tables.HOST_SEEN} ({', '.join(tables.HOST_SEEN_COLUMNS)}) VALUES",
                [(host, first, last, simulated)],
            )
            client.execute(
                f"INSERT INTO {tables.SAMPLES} ({', '.join(tables.SAMPLES_COLUMNS)}) VALUES",
                [(series_id(key), at, value) for at, value in samples],
            )
    finally:
        client.disconnect()


def roll_up(url: str, before_ms: int) -> None:
    """One-minute rollups of all raw samples of whole minutes before a time, as design.md section 5 defines them."""
    client = connect(url)
    try:
        client.execute(
            f"INSERT INTO {tables.SAMPLES_1M} SELECT id, minute, countIf(NOT isNaN(value)), countIf(isNaN(value)), "
            "sumIf(value, NOT isNaN(value)), minIf(value, NOT isNaN(value)), maxIf(value, NOT isNaN(value)), "
            "argMinIf(value, timestamp, NOT isNaN(value)), argMaxIf(value, timestamp, NOT isNaN(value)), "
            "sumIf(if(value < previous, value, value - previous), NOT isNaN(value)), count() "
            "FROM (SELECT id, toStartOfMinute(timestamp) AS minute, timestamp, value, lagInFrame(value, 1, value) OVER "
            "(PARTITION BY id, toStartOfMinute(timestamp), isNaN(value) ORDER BY timestamp "
            "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS previous FROM samples FINAL "
            "WHERE timestamp < fromUnixTimestamp64Milli({before:Int64})) GROUP BY id, minute",
            {"before": before_ms // 60_000 * 60_000},
        )
    finally:
        client.disconnect()


def event_at(
    host: str,
    started_ms: int,
    transition: int = 1,
    at_ms: int = 0,
    *,
    rule: str = "HostCpuHigh",
    severity: str = "warning",
    resolved: bool = False,
) -> AlertEvent:
    """An alert event as the rules worker writes it."""
    labels = {"alertname": rule, "instance": host, "severity": severity}
    fingerprint = fingerprint_of(labels)
    at_ms = at_ms or started_ms
    data = AlertData(
        status="resolved" if resolved else "firing",
        labels=labels,
        annotations={"summary": f"CPU of {host} is busy"},
        starts_at=to_rfc3339(started_ms),
        ends_at=to_rfc3339(at_ms) if resolved else ZERO_TIME,
        fingerprint=fingerprint,
        episode=episode_of(rule, fingerprint, started_ms),
        transition=transition,
        reason="recovered" if resolved else "threshold",
        host=host,
        rule=RuleRef(rule, "5c2e77aa01b3d9f4"),
        value="0.91",
        threshold="> 0.8",
        evidence=[Evidence(f'host:cpu_utilisation:ratio_rate1m{{instance="{host}"}}', to_rfc3339(at_ms), "0.91")],
    )
    return make_event(data, to_rfc3339(at_ms))


def store_events(url: str, events: Iterable[AlertEvent]) -> None:
    """Insert alert events, as the history worker does."""
    client = connect(url)
    try:
        rows = [_event_row(event, offset) for offset, event in enumerate(events)]
        columns = ", ".join(f"`{column}`" for column in tables.ALERT_EVENTS_COLUMNS)
        client.execute(f"INSERT INTO {tables.ALERT_EVENTS} ({columns}) VALUES", rows)
    finally:
        client.disconnect()


def _event_row(event: AlertEvent, offset: int) -> tuple[Any, ...]:
    data = event.data
    return (
        data.episode, data.transition, _datetime(event.time), data.status, data.fingerprint, data.host,
        data.labels["alertname"], data.labels["severity"], data.previous_severity or "", _datetime(data.starts_at),
        None if data.ends_at == ZERO_TIME else _datetime(data.ends_at), data.reason, data.stale, data.late,
        data.flapping, data.value, data.threshold, data.rule.name, data.rule.hash, data.labels, data.annotations,
        [item.series for item in data.evidence], [_datetime(item.timestamp) for item in data.evidence],
        [item.value for item in data.evidence], data.generator_url, event.source, 0, offset,
    )  # fmt: skip


def _datetime(text: str) -> datetime:
    return datetime.fromisoformat(text)
