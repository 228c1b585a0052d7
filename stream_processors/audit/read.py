"""What the audit asks ClickHouse: the ledger's rows, its sums by host and hour, its numbers, and the raw table itself.

The sums are ClickHouse's: what comes back has a row for each host and hour, or for each producer and host, however
many samples there are.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from clickhouse_driver import Client

from fleetpulse.storage import tables
from stream_processors.audit.account import Arrived, Dropped, HostHour, Pair
from stream_processors.audit.coverage import Island
from stream_processors.audit.ranges import Place, Range, Tiling

HOUR_SECONDS = 3600
DAY_HOURS = 24
PAIRS_AT_ONCE = 2000
_SETTINGS = {"max_query_size": 1 << 26, "max_ast_elements": 10_000_000, "max_expanded_ast_elements": 10_000_000}
_RANGE = "(topic, partition, incarnation, first_offset, next_offset)"


class Sums(NamedTuple):
    """Numbers that one producer gave the samples of one host: how many came, and the islands that they make.

    `whole` when each number of one island came exactly once.
    """

    samples: int
    island: Island
    whole: bool


class DeadSpan(NamedTuple):
    """Samples of a frame that could not be used; `island.first` is -1 when it did not say which."""

    producer: str
    host: str
    samples: int
    island: Island


class Ledger:
    """The ledger's rows that are there now and were appended from `since_ms` on, of `host` or of all."""

    def __init__(self, client: Client, since_ms: int, host: str | None) -> None:
        self._client = client
        self._host = host
        self._rows = ""
        self._unsettled = "unsettled = 1"
        self.reached: dict[Place, int] = {
            Place(*row[:3]): row[3]
            for row in self._ask(
                "SELECT topic, partition, incarnation, max(next_offset) FROM "
                f"{tables.LEDGER} GROUP BY topic, partition, incarnation"
            )
        }
        self._window = f"appended >= fromUnixTimestamp64Milli(toInt64({since_ms}))"
        self._now = " OR ".join(
            f"(topic = {_text(place.topic)} AND partition = {place.partition} AND incarnation = {place.incarnation} "
            f"AND next_offset <= {offset})"
            for place, offset in self.reached.items()
        )
        self.choose(Tiling())

    def choose(self, tiling: Tiling) -> None:
        """From now on add up only what the tiling chose."""
        rows = f"({self._now or 0})"
        if tiling.left_out:
            rows += f" AND {_RANGE} NOT IN ({_tuples(tiling.left_out)})"
        once = f" LIMIT 1 BY {_RANGE[1:-1]}" if tiling.twice else ""
        self._rows = f"(SELECT * FROM {tables.LEDGER} WHERE accounts = 1 AND {self._window} AND {rows}{once})"
        self._all_rows = f"(SELECT * FROM {tables.LEDGER} WHERE accounts = 1 AND {rows}{once})"
        contested = [*tiling.contested, *tiling.twice]
        self._unsettled = "unsettled = 1" + (f" OR {_RANGE} IN ({_tuples(contested)})" if contested else "")

    def ranges(self) -> list[Range]:
        """One for each row."""
        rows = self._ask(
            f"SELECT topic, partition, incarnation, first_offset, next_offset, lost FROM {tables.LEDGER} "
            f"WHERE {self._window} AND ({self._now or 0})"
        )
        places: dict[tuple[Any, ...], Place] = {}
        return [Range(places.setdefault(row[:3], Place(*row[:3])), *row[3:]) for row in rows]

    def unaccounted_hours(self) -> list[int]:
        """Hours of samples that rows without accounts brought: an earlier build wrote them."""
        rows = self._ask(
            f"SELECT DISTINCT toStartOfHour(arrayJoin(minutes)) AS hour FROM {tables.LEDGER} WHERE accounts = 0 "
            f"AND {self._window} ORDER BY hour"
        )
        return [_hour(row[0]) for row in rows]

    def arrived(self, first_hour: int) -> dict[HostHour, Arrived]:
        """What came, was refused and was known, by host and hour."""
        found: dict[HostHour, Arrived] = {}
        for host, hour, samples in self._ask(
            f"SELECT span.host, span.hour, sum(span.samples) FROM {self._rows} ARRAY JOIN spans AS span "
            f"WHERE {self._from('span', first_hour)} GROUP BY span.host, span.hour"
        ):
            found[host, _hour(hour)] = Arrived(samples)
        for host, hour, refused, known, unsure in self._ask(
            f"SELECT doubt.host, doubt.hour, sum(doubt.refused), sum(doubt.known), "
            f"sumIf(doubt.found, {self._unsettled}) FROM {self._rows} ARRAY JOIN doubts AS doubt "
            f"WHERE {self._from('doubt', first_hour)} GROUP BY doubt.host, doubt.hour"
        ):
            one = found.setdefault((host, _hour(hour)), Arrived())
            one.refused, one.known, one.unsure = refused, known, unsure
        return found

    def sums(self) -> dict[Pair, Sums]:
        """The numbers of every producer and host, added up so that one hash tells whether each came exactly once.

        Each span adds the hash of its end and takes away that of its beginning: what is left is that of one whole
        island, unless a beginning or an end has no partner.
        """
        rows = self._ask(
            "SELECT span.producer, span.host, sum(span.samples), min(span.first) AS low, "
            "max(span.first + span.samples) AS high, argMin(span.hour, span.first), "
            "toUnixTimestamp64Milli(argMin(appended, span.first)), "
            "sum(cityHash64(toInt64(span.first + span.samples))) - sum(cityHash64(span.first)) "
            "= cityHash64(toInt64(high)) - cityHash64(low) "
            f"FROM {self._rows} ARRAY JOIN spans AS span "
            f"WHERE span.first >= 0{self._of_host('span')} GROUP BY span.producer, span.host"
        )
        return {
            (producer, host): Sums(samples, Island(low, high, _hour(hour), appended), bool(whole))
            for producer, host, samples, low, high, hour, appended, whole in rows
        }

    def islands(self, pairs: Sequence[Pair]) -> dict[Pair, list[Island]]:
        """The islands of these producers and hosts, of all that the ledger still holds."""
        found: dict[Pair, list[Island]] = {pair: [] for pair in pairs}
        for part in _parts(pairs):
            chosen = ", ".join(f"({_text(producer)}, {_text(host)})" for producer, host in part)
            rows = self._ask(
                f"""
                SELECT producer, host, first, hour, appended, reached, highest FROM
                (
                    SELECT producer, host, first, hour, appended,
                           max(end) OVER (PARTITION BY producer, host ORDER BY first, end
                                          ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached,
                           max(end) OVER (PARTITION BY producer, host) AS highest,
                           row_number() OVER (PARTITION BY producer, host ORDER BY first, end) AS place
                    FROM
                    (
                        SELECT span.producer AS producer, span.host AS host, span.first AS first,
                               toInt64(span.first + span.samples) AS end, span.hour AS hour,
                               toUnixTimestamp64Milli(appended) AS appended
                        FROM {self._all_rows} ARRAY JOIN spans AS span
                        WHERE span.first >= 0 AND (span.producer, span.host) IN ({chosen})
                    )
                )
                WHERE place = 1 OR first > reached
                ORDER BY producer, host, first
                """
            )
            for at, (producer, host, first, hour, appended, _, highest) in enumerate(rows):
                after = rows[at + 1] if at + 1 < len(rows) and rows[at + 1][:2] == (producer, host) else None
                end = after[5] if after else highest
                found[producer, host].append(Island(first, end, _hour(hour), appended))
        return found

    def dead(self) -> list[DeadSpan]:
        """Samples of frames that could not be used, each frame once, without unreadable ones that were replayed."""
        rows = self._ask(
            f"""
            SELECT DISTINCT one.producer, one.seq, one.host, one.hour, one.samples, one.first,
                   toUnixTimestamp64Milli(appended), if(one.seq = 0, (first_offset, partition), (0, 0)) AS apart
            FROM {self._all_rows} ARRAY JOIN dead_spans AS one
            WHERE (one.first >= 0 OR (one.producer, one.seq) NOT IN
            (
                SELECT again.producer, again.seq FROM {self._all_rows} ARRAY JOIN replayed AS again WHERE again.seq > 0
            )){self._of_host("one")}
            """
        )
        return [
            DeadSpan(producer, host, samples, Island(first, first + samples, _hour(hour), appended))
            for producer, _, host, hour, samples, first, appended, _ in rows
        ]

    def dropped(self) -> list[Dropped]:
        """What producers gave up, each control frame once."""
        rows = self._ask(
            "SELECT DISTINCT one.producer, one.seq, one.host, one.hour, one.samples "
            f"FROM {self._all_rows} ARRAY JOIN dropped AS one WHERE 1{self._of_host('one')}"
        )
        return [Dropped(producer, host, _hour(hour), samples) for producer, _, host, hour, samples in rows]

    def closed(self) -> frozenset[str]:
        """Producers that will send nothing any more."""
        return frozenset(row[0] for row in self._ask(f"SELECT DISTINCT arrayJoin(closed) FROM {self._all_rows}"))

    def _from(self, name: str, first_hour: int) -> str:
        return f"{name}.hour >= toDateTime({first_hour * HOUR_SECONDS}, 'UTC'){self._of_host(name)}"

    def _of_host(self, name: str) -> str:
        return f" AND {name}.host = {_text(self._host)}" if self._host is not None else ""

    def _ask(self, query: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._client.execute(query, parameters, settings=_SETTINGS)
        return rows


def stored(client: Client, first_hour: int, end_hour: int, host: str | None) -> dict[HostHour, int]:
    """Samples in the raw table by host and hour, each series and time once; day by day, as the table is divided."""
    ids = f" WHERE host = {_text(host)}" if host is not None else ""
    of_host = f" AND id IN (SELECT id FROM {tables.SERIES}{ids})" if host is not None else ""
    found: dict[HostHour, int] = {}
    for begin in range(first_hour - first_hour % DAY_HOURS, end_hour, DAY_HOURS):
        low, high = max(begin, first_hour), min(begin + DAY_HOURS, end_hour)
        rows = client.execute(
            f"""
            SELECT named.owner, counted.hour, sum(counted.samples) FROM
            (
                SELECT id, toStartOfHour(timestamp) AS hour, count() AS samples FROM {tables.SAMPLES} FINAL
                WHERE timestamp >= toDateTime64({low * HOUR_SECONDS}, 3, 'UTC')
                  AND timestamp < toDateTime64({high * HOUR_SECONDS}, 3, 'UTC'){of_host}
                GROUP BY id, hour
            ) AS counted
            LEFT JOIN (SELECT id, any(host) AS owner FROM {tables.SERIES}{ids} GROUP BY id) AS named
            ON named.id = counted.id
            GROUP BY named.owner, counted.hour
            """,
            settings={"optimize_aggregation_in_order": 1},
        )
        found.update({(owner, _hour(hour)): samples for owner, hour, samples in rows})
    return found


def _hour(moment: Any) -> int:
    return int(moment.timestamp()) // HOUR_SECONDS


def _text(value: str | None) -> str:
    return "'" + (value or "").replace("\\", "\\\\").replace("'", "\\'") + "'"


def _tuples(ranges: Iterable[Range]) -> str:
    return ", ".join(
        f"({_text(one.place.topic)}, {one.place.partition}, {one.place.incarnation}, {one.first}, {one.next})"
        for one in ranges
    )


def _parts(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    for at in range(0, len(pairs), PAIRS_AT_ONCE):
        yield pairs[at : at + PAIRS_AT_ONCE]
