"""What the API reads of hosts, series and alerts. Samples brought to a step: `sampling.py`.

Every method raises what `pool.py` raises. Times are Unix milliseconds. FINAL is left out where rows that are not merged
yet cannot change the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fleetpulse.clock import to_rfc3339
from fleetpulse.events import ZERO_TIME, AlertData, AlertEvent, Evidence, RuleRef, make_event
from fleetpulse.storage.matchers import Matcher, conditions
from fleetpulse.storage.pool import ClientPool
from fleetpulse.storage.tiers import complete


@dataclass(frozen=True, slots=True)
class HostRow:
    """A host by the append time of its newest message."""

    host: str
    status: str  # up | silent
    first_seen_ms: int
    last_seen_ms: int
    simulated: bool


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One registered series; `labels` are without `__name__`."""

    id: int
    metric: str
    host: str
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest samples of a host's series of one metric, put together."""

    most: float
    total: float
    mean: float


@dataclass(frozen=True, slots=True)
class HistoryMark:
    """The position of an event in the history; the next page begins below it."""

    time_ms: int
    episode: str
    transition: int


class Reader:
    """Reads one ClickHouse database."""

    def __init__(self, pool: ClientPool) -> None:
        self.pool = pool

    def ping(self) -> None:
        """A real query on a real table."""
        self.pool.query("SELECT host FROM host_seen LIMIT 1")

    def hosts(self, status: str = "", search: str = "", limit: int = 0) -> tuple[list[HostRow], int]:
        """Hosts that fit, by name, and how many fit beyond `limit` (0: no limit)."""
        rows = self.pool.query(
            f"SELECT {_HOST_COLUMNS}, count() OVER () FROM hosts "
            "WHERE (empty({status:String}) OR status = {status:String}) "
            "AND (empty({search:String}) OR positionCaseInsensitiveUTF8(host, {search:String}) > 0) "
            "ORDER BY host LIMIT {limit:UInt64}",
            {"status": status, "search": search, "limit": limit or 1 << 62},
        )
        return [HostRow(*row[:-1]) for row in rows], rows[0][-1] if rows else 0

    def host(self, name: str) -> HostRow | None:
        """One host, or None when it never sent anything."""
        rows = self.pool.query(f"SELECT {_HOST_COLUMNS} FROM hosts WHERE host = {{host:String}}", {"host": name})
        return HostRow(*rows[0]) if rows else None

    def known_hosts(self, names: Sequence[str]) -> set[str]:
        """Those of the names that have sent anything."""
        rows = self.pool.query(
            "SELECT DISTINCT host FROM host_seen WHERE host IN {hosts:Array(String)} SETTINGS final = 0",
            {"hosts": list(names)},
        )
        return {host for (host,) in rows}

    def nearest_hosts(self, name: str, limit: int = 3) -> list[str]:
        """Names that differ from this one by little."""
        rows = self.pool.query(
            "SELECT host, editDistanceUTF8(lowerUTF8(host), lowerUTF8({name:String})) AS distance FROM host_seen "
            "WHERE distance <= 1 + lengthUTF8({name:String}) / 3 "
            "GROUP BY host ORDER BY distance, host LIMIT {limit:UInt64} SETTINGS final = 0",
            {"name": name[:_LONGEST_COMPARED], "limit": limit},
        )
        return [host for host, _ in rows]

    def latest(self, metrics: Sequence[str], since_ms: int, hosts: Sequence[str] = ()) -> dict[tuple[str, str], Latest]:
        """By (host, metric): the newest sample of each series since a time, NaN left out. No hosts: all."""
        chosen = "metric_name IN {metrics:Array(String)}" + (" AND host IN {hosts:Array(String)}" if hosts else "")
        rows = self.pool.query(
            "SELECT host, metric_name, max(value), sum(value), avg(value) FROM (SELECT id, argMax(value, timestamp) "
            f"AS value FROM samples WHERE id IN (SELECT id FROM registered_series WHERE {chosen}) "
            "AND timestamp >= fromUnixTimestamp64Milli({since:Int64}) GROUP BY id) AS newest "
            f"INNER JOIN (SELECT id, host, metric_name FROM registered_series WHERE {chosen} LIMIT 1 BY id) AS named "
            "USING (id) "
            "WHERE NOT isNaN(value) GROUP BY host, metric_name SETTINGS final = 0",
            {"metrics": list(metrics), "hosts": list(hosts), "since": since_ms},
        )
        return {(host, metric): Latest(*values) for host, metric, *values in rows}

    def summaries(
        self, wanted: Sequence[tuple[str, str]], since_ms: int, hosts: Sequence[str] = ()
    ) -> dict[str, list[float | None]]:
        """By host, for each wanted (metric, `most` | `total` | `mean`): its series' newest samples put together.

        As `latest`, for a whole fleet: a row a host leaves the server, and of the older minutes it reads the rollups.
        """
        minutes_ms = complete(self.pool).minutes_ms
        raw_ms = since_ms if minutes_ms is None else max(since_ms, minutes_ms)
        columns = ", ".join(
            f"{_TOGETHER[how]}OrNullIf(value, metric_name = {{metric_{number}:String}})"
            for number, (_, how) in enumerate(wanted)
        )
        chosen = "metric_name IN {metrics:Array(String)}" + (" AND host IN {hosts:Array(String)}" if hosts else "")
        ids = f"id IN (SELECT id FROM registered_series WHERE {chosen})"
        rows = self.pool.query(
            f"""
            SELECT host, {columns}
            FROM
            (
                SELECT id, argMax(value, timestamp) AS value
                FROM
                (
                    SELECT id, timestamp, value FROM samples
                    WHERE {ids} AND timestamp >= fromUnixTimestamp64Milli({{raw:Int64}})
                    UNION ALL
                    SELECT id, toDateTime64(timestamp, 3) AS timestamp, last AS value FROM samples_1m FINAL
                    WHERE {ids} AND timestamp >= fromUnixTimestamp64Milli({{since:Int64}}) AND nans = 0
                          AND timestamp < fromUnixTimestamp64Milli({{raw:Int64}})
                )
                GROUP BY id
            ) AS newest
            INNER JOIN
            (
                SELECT id, host, metric_name FROM registered_series WHERE {chosen} LIMIT 1 BY id
            ) AS named USING (id)
            WHERE NOT isNaN(value) GROUP BY host SETTINGS final = 0
            """,
            {
                "metrics": sorted({metric for metric, _ in wanted}),
                "hosts": list(hosts),
                "since": since_ms,
                "raw": raw_ms,
                **{f"metric_{number}": metric for number, (metric, _) in enumerate(wanted)},
            },
        )
        return {host: list(values) for host, *values in rows}

    def series(self, host: str, metric: str = "", search: str = "", limit: int = 0) -> tuple[list[SeriesRow], int]:
        """A host's series by metric and labels, and how many fit beyond `limit` (0: no limit)."""
        rows = self.pool.query(
            f"SELECT {_SERIES_COLUMNS}, count() OVER () FROM (SELECT * FROM registered_series "
            "WHERE host = {host:String} AND (empty({metric:String}) OR metric_name = {metric:String}) "
            "AND (empty({search:String}) OR positionCaseInsensitiveUTF8(metric_name, {search:String}) > 0) "
            "LIMIT 1 BY id) ORDER BY metric_name, key LIMIT {limit:UInt64} SETTINGS final = 0",
            {"host": host, "metric": metric, "search": search, "limit": limit or 1 << 62},
        )
        return [SeriesRow(*row[:-1]) for row in rows], rows[0][-1] if rows else 0

    def matching(self, metric: str, matchers: Sequence[Matcher], hosts: Sequence[str], limit: int) -> list[SeriesRow]:
        """Series of a metric that match, by host and labels, at most `limit`."""
        clause, parameters = conditions(matchers)
        rows = self.pool.query(
            f"SELECT {_SERIES_COLUMNS} FROM (SELECT * FROM registered_series WHERE metric_name = {{metric:String}}"
            f"{' AND host IN {hosts:Array(String)}' if hosts else ''}{clause} LIMIT 1 BY id) "
            "ORDER BY host, key LIMIT {limit:UInt64} SETTINGS final = 0",
            {"metric": metric, "hosts": list(hosts), "limit": limit, **parameters},
        )
        return [SeriesRow(*row) for row in rows]

    def alert_counts(self, host: str = "") -> dict[tuple[str, str], int]:
        """By (host, severity): alerts that fire now."""
        rows = self.pool.query(
            "SELECT host, severity, count() FROM alerts WHERE empty({host:String}) OR host = {host:String} "
            "GROUP BY host, severity",
            {"host": host},
        )
        return {(host, severity): count for host, severity, count in rows}

    def alerts(self, host: str = "", limit: int = 0) -> list[AlertEvent]:
        """The latest event of every alert that fires now, newest first."""
        return self._events(
            f"SELECT {_EVENT_COLUMNS} FROM alerts WHERE empty({{host:String}}) OR host = {{host:String}} "
            "ORDER BY time DESC, episode DESC LIMIT {limit:UInt64}",
            {"host": host, "limit": limit or 1 << 62},
        )

    def alert_history(
        self, host: str, since_ms: int, until_ms: int, limit: int, before: HistoryMark | None
    ) -> list[AlertEvent]:
        """Events in [since, until), newest first, below the mark `before`."""
        parameters: dict[str, Any] = {"host": host, "since": since_ms, "until": until_ms, "limit": limit}
        below = ""
        if before:
            below = (
                "AND (time, episode, transition) "
                "< (fromUnixTimestamp64Milli({at:Int64}), {episode:String}, {n:UInt32}) "
            )
            parameters |= {"at": before.time_ms, "episode": before.episode, "n": before.transition}
        return self._events(
            f"SELECT {_EVENT_COLUMNS} FROM alert_history WHERE time >= fromUnixTimestamp64Milli({{since:Int64}}) "
            "AND time < fromUnixTimestamp64Milli({until:Int64}) AND (empty({host:String}) OR host = {host:String}) "
            f"{below}ORDER BY time DESC, episode DESC, transition DESC LIMIT {{limit:UInt64}}",
            parameters,
        )

    def _events(self, sql: str, parameters: dict[str, Any]) -> list[AlertEvent]:
        return [_event(row) for row in self.pool.query(sql, parameters)]


_LONGEST_COMPARED = 200
_TOGETHER = {"most": "max", "total": "sum", "mean": "avg"}
_HOST_COLUMNS = "host, status, toUnixTimestamp64Milli(first_seen), toUnixTimestamp64Milli(last_seen), simulated::Bool"
_SERIES_COLUMNS = "id, metric_name, host, mapFilter((name, _) -> name != '__name__', tags) AS labels"
_EVENT_COLUMNS = (
    "toUnixTimestamp64Milli(time), status, labels, annotations, toUnixTimestamp64Milli(starts_at), "
    "toUnixTimestamp64Milli(ends_at), fingerprint, generator_url, episode, transition, previous_severity, stale, late, "
    "flapping, reason, host, rule_name, rule_hash, value, threshold, "
    "arrayZip(`evidence.series`, arrayMap(at -> toUnixTimestamp64Milli(at), `evidence.timestamp`), `evidence.value`)"
)


def _event(row: tuple[Any, ...]) -> AlertEvent:
    (time_ms, status, labels, annotations, starts_ms, ends_ms, fingerprint, generator_url, episode, transition) = row[
        :10
    ]
    (previous_severity, stale, late, flapping, reason, host, rule_name, rule_hash, value, threshold, evidence) = row[
        10:
    ]
    data = AlertData(
        status=status,
        labels=labels,
        annotations=annotations,
        starts_at=to_rfc3339(starts_ms),
        ends_at=ZERO_TIME if ends_ms is None else to_rfc3339(ends_ms),
        fingerprint=fingerprint,
        generator_url=generator_url,
        episode=episode,
        transition=transition,
        previous_severity=previous_severity or None,
        stale=stale,
        flapping=flapping,
        late=late,
        reason=reason,
        host=host,
        rule=RuleRef(rule_name, rule_hash),
        value=value,
        threshold=threshold,
        evidence=[Evidence(series, to_rfc3339(at), sampled) for series, at, sampled in evidence],
    )
    return make_event(data, to_rfc3339(time_ms))
