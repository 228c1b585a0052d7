"""Cardinality: how many active series a host, and a worker, may have. What is active already is never refused.

A series is active while the worker knows it, and after a takeover also while the table says that it was seen within the
idle time, heard of again or not: `expected` counts those of each host. A new series beyond a limit is refused: its
samples are counted as refused, nothing of it is registered, and no dead letter is written. Each minute the refused are
looked at again, for there may be room.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from clickhouse_driver import Client

from fleetpulse.logs import log_fields
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.storage import tables
from fleetpulse.windows.registry import Registry
from stream_processors.ingest.registration import NewSeries

log = logging.getLogger(__name__)

HOST_LIMIT = "host_series_limit"
LIMIT = "series_limit"
MOST_OFFENDERS = 20  # named by the metric; those after them are `other`
OTHER = "other"


class Room(NamedTuple):
    """What one partition may still take: `expected` series by host that are not heard of again yet, `others`: all
    active series of the worker's other partitions."""

    registry: Registry
    expected: Counter[str]
    others: int


class Limits:
    """Decides about new series, and says who is over."""

    def __init__(self, settings: IngestSettings, metrics: SelfMetrics) -> None:
        self._of_host = settings.max_series_per_host
        self._of_all = settings.max_series
        self._metrics = metrics
        self._offenders: dict[str, None] = {}
        self._refused: Counter[tuple[str, str]] = Counter()  # (host, reason) → series since the last line in the log

    def refuse(self, room: Room, series: Sequence[NewSeries]) -> dict[str, str]:
        """Those of the series, none of which is active, that are beyond a limit: key → reason. Changes nothing."""
        total = room.others + len(room.registry) + room.expected.total()
        if total + len(series) <= self._of_all and all(
            room.registry.series_of(host) + room.expected[host] + number <= self._of_host
            for host, number in Counter([one.host for one in series]).items()
        ):
            return {}
        taken: Counter[str] = Counter()
        refused: dict[str, str] = {}
        for one in series:
            of_host = room.registry.series_of(one.host) + room.expected[one.host] + taken[one.host]
            if of_host >= self._of_host:
                refused[one.key] = HOST_LIMIT
            elif total >= self._of_all:
                refused[one.key] = LIMIT
            else:
                taken[one.host] += 1
                total += 1
        return refused

    def refuse_of(self, rooms: Iterable[tuple[Room, list[NewSeries]]]) -> dict[str, str]:
        """The same for series of several partitions that come at once."""
        refused: dict[str, str] = {}
        admitted = 0
        for room, series in rooms:
            beyond = self.refuse(room._replace(others=room.others + admitted), series)
            admitted += len(series) - len(beyond)
            refused |= beyond
        return refused

    def full(self, room: Room, host: str) -> bool:
        """Whether every series of the host that may come is known here, so that any other one is beyond its limit."""
        return not room.expected[host] and room.registry.series_of(host) >= self._of_host

    def note(self, refused: Mapping[str, str], series: Iterable[NewSeries]) -> None:
        """Count series that were refused, by their hosts."""
        counts = Counter((one.host, refused[one.key]) for one in series if one.key in refused)
        for (host, reason), number in counts.items():
            if len(self._offenders) < MOST_OFFENDERS:
                self._offenders[host] = None
            offender = host if host in self._offenders else OTHER
            self._metrics.add("fleetpulse_ingest_refused_series_total", number, offender=offender, reason=reason)
        self._refused.update(counts)

    def tell(self) -> None:
        """Write who is over its limit since the last time: one line. Called once a minute; offenders that stopped lose
        their place, so that others can be named."""
        over = Counter[str]()
        for (host, _), number in self._refused.items():
            over[host] += number
        for host in self._offenders.keys() - over.keys():
            del self._offenders[host]
            for reason in (HOST_LIMIT, LIMIT):
                self._metrics.forget("fleetpulse_ingest_refused_series_total", offender=host, reason=reason)
        if over:
            [(worst, number)] = over.most_common(1)
            log.warning(
                "new series refused: too many are active",
                extra=log_fields(
                    host=worst,
                    series=number,
                    hosts=len(over),
                    reasons=",".join(sorted({reason for _, reason in self._refused})),
                    FLEETPULSE_INGEST_MAX_SERIES_PER_HOST=self._of_host,
                    FLEETPULSE_INGEST_MAX_SERIES=self._of_all,
                ),
            )
        self._refused.clear()


def read_active(client: Client, partition: int, partitions: int, since_ms: int) -> Counter[str]:
    """How many series of each of the partition's hosts were seen since, as the table says."""
    rows = client.execute(
        f"""
        SELECT host, count() FROM
        (
            SELECT host, id FROM {tables.SERIES}
            WHERE kafkaMurmurHash(host) % {int(partitions)} = {int(partition)}
            GROUP BY host, id HAVING max(last_seen) >= fromUnixTimestamp64Milli(toInt64({int(since_ms)}))
        )
        GROUP BY host
        """
    )
    return Counter(dict(rows))
