"""What rules read of stored history: the series that selectors take, and their samples as columns, by slices of time.

Nothing here evaluates anything: `fleetpulse/rules/replay.py` does.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from fleetpulse.errors import FatalError
from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.promql.rings import IntArray
from fleetpulse.promql.syntax import NAME, Selector
from fleetpulse.storage.client import CLICKHOUSE_ERRORS, connect, unavailable
from fleetpulse.storage.matchers import Matcher, conditions
from fleetpulse.storage.native_read import query_arrays
from fleetpulse.storage.tiers import MINUTE_MS, Tier

IDS_AT_ONCE = 50_000  # of one statement
MOST_SERIES = 500_000
ANSWER_TIMEOUT_SECONDS = 120.0
_ROWS_AT_ONCE = 1_500_000  # of an answer: readers' profile allows two million
_USUAL_DENSITY: Mapping[Tier, float] = {"raw": 1 / 10_000, "1m": 1 / MINUTE_MS, "1h": 1 / MINUTE_MS}
_COUNTED = 200  # series by which the samples of all are estimated
_TOO_MANY_ROWS = 396  # ClickHouse's code for a result above its limit


class _TooManyRowsError(FatalError):
    """An answer has more rows than the profile of our user allows."""


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """A registered series; `labels` are with ``__name__``."""

    id: int
    host: str
    labels: Mapping[str, str]


class StoredSamples(NamedTuple):
    """Samples by series, then time: `series` intp[n] is the place in the series asked for.

    `ts` int64[n] in milliseconds, `value` float64[n].
    """

    series: IntArray
    ts: Int64Array
    value: Float64Array


class History:
    """Reads one ClickHouse database, one query at a time; close it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Client | None = None
        self._density: dict[Tier, float] = dict(_USUAL_DENSITY)  # rows of a series a millisecond, the most there were

    def beside(self) -> "History":
        """Another one on the same database, for another thread."""
        return History(self._url)

    def close(self) -> None:
        """Drop the connection, and with it the query that runs."""
        if self._client is not None:
            with suppress(*CLICKHOUSE_ERRORS):
                self._client.disconnect()
            self._client = None

    def series(self, selectors: Iterable[Selector], hosts: Sequence[str] = ()) -> list[StoredSeries]:
        """The series that any of the selectors takes, by host; no hosts: of all. Raises UnavailableError."""
        found: dict[int, StoredSeries] = {}
        for selector in selectors:
            clause, parameters = conditions([Matcher(m.name, m.op, m.value) for m in selector.matchers])
            rows = self._rows(
                "SELECT id, host, any(tags) FROM registered_series WHERE (empty({metric:String}) OR metric_name = "
                "{metric:String}) AND (empty({hosts:Array(String)}) OR host IN {hosts:Array(String)})"
                f"{clause} GROUP BY id, host ORDER BY host, id LIMIT {{most:UInt64}}",
                {"metric": selector.name or "", "hosts": list(hosts), "most": MOST_SERIES + 1, **parameters},
            )
            found |= {row[0]: StoredSeries(*row) for row in rows}
        return sorted(found.values(), key=lambda series: (series.host, series.labels[NAME], series.id))

    def samples(self, ids: Sequence[int], start_ms: int, end_ms: int, tier: Tier = "raw") -> StoredSamples:
        """The samples in [start, end); `tier` ``1m``: the last of each minute, at the time that its count suggests."""
        order = np.argsort(np.array(ids, dtype=np.uint64), kind="stable")
        ordered = np.array(ids, dtype=np.uint64)[order]
        at_once = int(_ROWS_AT_ONCE / (1 + self._density[tier] * max(0, end_ms - start_ms)))
        at_once = max(1, min(IDS_AT_ONCE, at_once))
        parts = [
            self._samples(ordered[begin : begin + at_once], start_ms, end_ms, tier)
            for begin in range(0, len(ordered), at_once)
        ]
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else []
        if not columns or not len(columns[0]):
            return StoredSamples(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.int64), np.zeros(0))
        series, ts, value = columns
        starts = np.flatnonzero(np.concatenate([[True], series[1:] != series[:-1]]))
        places = order[np.searchsorted(ordered, series[starts])]
        return StoredSamples(np.repeat(places, np.diff(starts, append=len(series))), ts, value)

    def _samples(self, ids: Any, start_ms: int, end_ms: int, tier: Tier) -> tuple[Any, Any, Any]:
        asked = {"ids": ids.tolist(), "start": start_ms, "end": end_ms}
        try:
            columns = self._arrays(_RAW if tier == "raw" else _MINUTES, asked)
        except _TooManyRowsError:
            middle, middle_ms = len(ids) // 2, (start_ms + end_ms) // 2
            self._density[tier] *= 2
            if middle:
                halves = [self._samples(part, start_ms, end_ms, tier) for part in (ids[:middle], ids[middle:])]
            elif start_ms < middle_ms:
                halves = [self._samples(ids, *times, tier) for times in ((start_ms, middle_ms), (middle_ms, end_ms))]
            else:
                raise
            series, ts, value = (np.concatenate(both) for both in zip(*halves, strict=True))
            return series, ts, value
        if not columns:
            return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64), np.zeros(0)
        self._density[tier] = max(self._density[tier], len(columns[0]) / len(ids) / (end_ms - start_ms))
        return columns[0], columns[1], columns[2]

    def late_minutes(self, host: str, start_ms: int, end_ms: int, late_ms: int) -> dict[int, int]:
        """Minutes (start in ms) in [start, end) of which a host's samples were first appended late, and when.

        By the ledger, which knows the minutes of a batch and the hours of each host in it: a host that sends some
        series in time and others late is not found.
        """
        rows = self._rows(
            "SELECT toInt64(toUnixTimestamp(minute)) * 1000 AS at, min(toUnixTimestamp64Milli(appended)) AS first "
            "FROM ledger ARRAY JOIN minutes AS minute WHERE has(`spans.host`, {host:String}) "
            "AND arrayExists((name, hour) -> name = {host:String} AND hour = toStartOfHour(minute), `spans.host`, "
            "`spans.hour`) AND minute >= fromUnixTimestamp64Milli({start:Int64}) "
            "AND minute < fromUnixTimestamp64Milli({end:Int64}) "
            "GROUP BY at HAVING first > at + 60000 + {late:Int64} ORDER BY at",
            {"host": host, "start": start_ms // MINUTE_MS * MINUTE_MS, "end": end_ms, "late": late_ms},
        )
        return dict(rows)

    def oldest_ms(self, ids: Sequence[int], tier: Tier = "raw") -> int | None:
        """The time of the oldest sample of the series that is still stored."""
        table = "samples" if tier == "raw" else "samples_1m"
        rows = self._rows(
            f"SELECT toInt64(toUnixTimestamp(minOrNull(timestamp))) * 1000 FROM {table} "
            "WHERE id IN {ids:Array(UInt64)} SETTINGS final = 0",
            {"ids": list(ids[:IDS_AT_ONCE])},
        )
        return None if rows[0][0] is None else int(rows[0][0])

    def count(self, ids: Sequence[int], start_ms: int, end_ms: int, tier: Tier = "raw") -> int:
        """About how many samples the range has, by some of the series: rows that are not merged count twice."""
        some = list(ids[:: -(-len(ids) // _COUNTED)]) if ids else []
        rows = self._rows(
            f"SELECT count() FROM {'samples' if tier == 'raw' else 'samples_1m'} WHERE {_WHERE} SETTINGS final = 0",
            {"ids": some, "start": start_ms, "end": end_ms},
        )
        return int(rows[0][0]) * len(ids) // max(1, len(some))

    def _rows(self, query: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with_errors = self._asked(lambda client: client.execute(query, dict(parameters)))
        rows: list[tuple[Any, ...]] = with_errors
        return rows

    def _arrays(self, query: str, parameters: Mapping[str, Any]) -> list[Any]:
        found: list[Any] = self._asked(lambda client: query_arrays(client, query, parameters))
        return found

    def _asked(self, ask: Any) -> Any:
        client = self._client
        if client is None:
            client = self._client = connect(self._url, answer_timeout_seconds=ANSWER_TIMEOUT_SECONDS)
        try:
            return ask(client)
        except ServerException as error:
            if error.code == _TOO_MANY_ROWS:
                raise _TooManyRowsError(error.message.splitlines()[0]) from error
            raise FatalError(f"ClickHouse refuses a query of ours: {error.message.splitlines()[0]}") from error
        except CLICKHOUSE_ERRORS as error:
            self.close()
            raise unavailable(self._url, error) from error


_WHERE = (
    "id IN {ids:Array(UInt64)} AND timestamp >= fromUnixTimestamp64Milli({start:Int64}) "
    "AND timestamp < fromUnixTimestamp64Milli({end:Int64})"
)
_RAW = (
    "SELECT id, toInt64(toUnixTimestamp64Milli(timestamp)), value FROM samples FINAL "
    f"WHERE {_WHERE} ORDER BY id, timestamp"
)
# Samples of a minute are taken to be spread evenly from its start on, as ticks of an interval are.
_MINUTES = (
    f"SELECT id, toInt64(toUnixTimestamp(timestamp)) * 1000 + intDiv({MINUTE_MS} * (toInt64(count) - 1), "
    f"toInt64(count)) AS at, last FROM samples_1m FINAL WHERE {_WHERE} AND count > 0 ORDER BY id, timestamp"
)
