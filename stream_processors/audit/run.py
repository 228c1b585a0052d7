"""One audit: what to ask whom, in which order, and when a deviation is one.

The order makes it right while everything runs: what is acknowledged, then the ledger, then the table, then Kafka's
end. What is stored after the ledger was read lies in Kafka behind its last row, so it is known how much that can be.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from clickhouse_driver import Client

from fleetpulse.partition import partition_of
from fleetpulse.settings import IngestSettings, KafkaSettings, PublishSettings
from fleetpulse.storage.client import CLICKHOUSE_ERRORS, connect, unavailable
from fleetpulse.topics import Topic
from stream_processors.audit import waiting as waiting_module
from stream_processors.audit.account import Books, Dead, Pair, Report, account
from stream_processors.audit.coverage import Gap, Island, gaps, uncovered
from stream_processors.audit.ranges import Hole, Place, Range, tile
from stream_processors.audit.read import DeadSpan, Ledger, Sums, stored
from stream_processors.audit.waiting import Waiting

HOUR_MS = 3_600_000
ANSWER_SECONDS = 600.0
BACKLOG_SECONDS = 3600.0  # how long after fresh samples a producer's older ones may come, from its disk


@dataclass
class Audit:
    """A report with what it covers; hours are since the epoch, [first_hour, end_hour)."""

    report: Report
    first_hour: int
    end_hour: int
    resent: int  # samples that producers sent more than once; they are in `sent` each time
    lost_messages: int
    waiting_messages: int
    unread_messages: int
    left_out: dict[int, str] = field(default_factory=dict)  # hours that cannot be judged, and why
    allow_lost: bool = False  # whoever asked knows of the loss

    @property
    def lost_samples(self) -> int:
        """Samples in messages that Kafka deleted before they were read, as the producers' numbers tell."""
        return sum(row.lost for row in self.report.rows)

    @property
    def lossless(self) -> bool:
        """Whether nothing was lost that whoever asked does not know of."""
        return self.allow_lost or not (self.lost_messages or self.lost_samples)

    @property
    def exit_code(self) -> int:
        """0 everything explained and nothing lost, 1 something not, 2 not everything could be looked at."""
        if not self.report.balanced or not self.lossless:
            return 1
        return 2 if self.unread_messages else 0


@dataclass(frozen=True)
class Question:
    """Whose and when: samples of the hours from `since_ms` to `now_ms`, of `host` or of all."""

    since_ms: int
    now_ms: int
    host: str | None = None
    read_seconds: float = 60.0
    allow_lost: bool = False


def audit(
    question: Question, url: str, kafka: KafkaSettings, ingest: IngestSettings, publish: PublishSettings
) -> Audit:
    """Ask, and add up. Raises UnavailableError when ClickHouse or Kafka does not answer."""
    client = connect(url, answer_timeout_seconds=ANSWER_SECONDS)
    try:
        return _audit(question, client, kafka, ingest, publish)
    except CLICKHOUSE_ERRORS as error:
        raise unavailable(url, error) from error
    finally:
        client.disconnect()


def _audit(
    question: Question, client: Client, kafka: KafkaSettings, ingest: IngestSettings, publish: PublishSettings
) -> Audit:
    topic = Topic.METRICS.named(kafka.topic_prefix)
    oldest_kept_ms = question.now_ms - ingest.raw_retention_days * 24 * HOUR_MS
    wanted = question.since_ms // HOUR_MS
    first_hour = max(wanted, math.ceil(oldest_kept_ms / HOUR_MS))
    end_hour = (question.now_ms + int(ingest.max_future_seconds * 1000)) // HOUR_MS + 1
    acknowledged = waiting_module.acknowledged(kafka, f"{kafka.topic_prefix}.ingest")
    # Samples of an hour cannot have come much before it.
    since_ms = first_hour * HOUR_MS - int(ingest.max_future_seconds * 1000)
    ledger = Ledger(client, since_ms, question.host)
    reached = _newest(ledger.reached, topic)
    ranges = ledger.ranges()
    tiling = tile(ranges)
    ledger.choose(tiling)
    arrived, sums = ledger.arrived(first_hour), ledger.sums()
    dead, dropped, closed = ledger.dead(), ledger.dropped(), ledger.closed()
    unaccounted = ledger.unaccounted_hours()
    in_table = stored(client, first_hour, end_hour, question.host)
    begin = {partition: max(reached.get(partition, 0), offset) for partition, offset in acknowledged.items()}
    waiting = waiting_module.read(kafka, ingest, reached | begin, question.read_seconds)
    if question.host is not None:
        waiting = _only(waiting, question.host)

    islands, gap_list = _gaps(ledger, sums, dead, waiting)
    patience_ms = int(max(BACKLOG_SECONDS, publish.delivery_timeout_seconds) * 1000)
    lossy = {place.partition for place in tiling.lost if place.topic == topic}
    begun = waiting_module.first_since(kafka, since_ms, acknowledged)
    holes = [
        *tiling.holes,
        *_before_first(topic, begun, ranges, acknowledged),
        *_unwritten(topic, acknowledged, reached),
    ]
    left_out = _left_out(unaccounted, wanted, first_hour)
    books = Books(
        arrived={key: one for key, one in arrived.items() if key[1] not in left_out},
        stored={key: samples for key, samples in in_table.items() if key[1] not in left_out},
        waiting={key: samples for key, samples in waiting.samples.items() if key[1] not in left_out},
        gaps=gap_list,
        dead=[one for span in dead for one in _not_replayed(span, islands)],
        dropped=sorted({*dropped, *waiting.dropped}),
        closed=closed | waiting.closed,
        lossy_hosts=frozenset(host for _, host in gap_list if partition_of(host, kafka.partitions) in lossy),
        pending_since_ms=question.now_ms - patience_ms,
        holes=holes if question.host is None else [],
    )
    report = account(books, first_hour)
    return Audit(
        report,
        first_hour,
        end_hour,
        _resent(sums, islands),
        _lost(tiling.lost, topic, None if question.host is None else partition_of(question.host, kafka.partitions)),
        waiting.messages,
        waiting.unread,
        left_out,
        question.allow_lost,
    )


def _gaps(
    ledger: Ledger, sums: dict[Pair, Sums], dead: Iterable[DeadSpan], waiting: Waiting
) -> tuple[dict[Pair, list[Island]], dict[Pair, Sequence[Gap]]]:
    """The islands of the producers and hosts whose numbers have to be looked at closely, and their gaps."""
    more: dict[Pair, list[Island]] = {pair: list(islands) for pair, islands in waiting.islands.items()}
    close = {pair for pair, one in sums.items() if not one.whole}
    for span in dead:
        if span.island.first >= 0:
            pair = span.producer, span.host
            more.setdefault(pair, []).append(span.island)
            close.add(pair)
    for pair, others in more.items():
        if pair in sums and gaps([sums[pair].island, *others]):
            close.add(pair)
    islands = ledger.islands(sorted(close))
    found = {pair: gaps([*of_pair, *more.get(pair, ())]) for pair, of_pair in islands.items()}
    return islands, {pair: of_pair for pair, of_pair in found.items() if of_pair}


def _not_replayed(span: DeadSpan, islands: dict[Pair, list[Island]]) -> list[Dead]:
    numbered = span.island.first >= 0
    samples = uncovered(span.island, islands.get((span.producer, span.host), ())) if numbered else span.samples
    return [Dead(span.producer, span.host, span.island.hour, samples, numbered)] if samples else []


def _resent(sums: dict[Pair, Sums], islands: dict[Pair, list[Island]]) -> int:
    """Of the producers looked at closely: samples that came again."""
    resent = 0
    for pair, one in sums.items():
        if not one.whole:
            inside = sum(island.end - island.first for island in islands[pair] if island.first >= one.island.first)
            resent += max(0, one.samples - inside)
    return resent


def _newest(reached: dict[Place, int], topic: str) -> dict[int, int]:
    """Partition → the offset after the last row, of the topic's last incarnation."""
    return {place.partition: reached[place] for place in sorted(reached) if place.topic == topic}


def _unwritten(topic: str, acknowledged: dict[int, int], reached: dict[int, int]) -> list[Hole]:
    """Offsets that ingest has acknowledged and that are behind the ledger's last row."""
    return [
        Hole(Place(topic, partition, 0), reached[partition], offset, "unwritten")
        for partition, offset in acknowledged.items()
        if partition in reached and offset > reached[partition]
    ]


def _before_first(
    topic: str, begun: dict[int, int], ranges: Iterable[Range], acknowledged: dict[int, int]
) -> list[Hole]:
    """Offsets that Kafka still has, that ingest has acknowledged, and that are before the first row of the ledger."""
    firsts: dict[int, tuple[int, int]] = {}  # partition → minus the incarnation, its first offset
    for row in ranges:
        if row.place.topic == topic:
            place = -row.place.incarnation, row.first - row.lost
            firsts[row.place.partition] = min(place, firsts.get(row.place.partition, place))
    holes = []
    for partition, offset in sorted(acknowledged.items()):
        incarnation, first = firsts.get(partition, (0, offset))
        end = min(first, offset)
        if begun.get(partition, end) < end:
            holes.append(Hole(Place(topic, partition, -incarnation), begun[partition], end, "missing"))
    return holes


def _lost(lost: Mapping[Place, int], topic: str, partition: int | None) -> int:
    """Messages of the topic, or of one partition of it, that Kafka deleted before they were read."""
    return sum(
        messages for place, messages in lost.items() if place.topic == topic and partition in (None, place.partition)
    )


def _left_out(unaccounted: Iterable[int], wanted: int, first_hour: int) -> dict[int, str]:
    left_out = dict.fromkeys(range(wanted, first_hour), "older than the raw samples are kept")
    return left_out | dict.fromkeys(unaccounted, "stored in part by a version that kept no accounts")


def _only(waiting: Waiting, host: str) -> Waiting:
    for key in [key for key in waiting.samples if key[0] != host]:
        del waiting.samples[key]
    waiting.islands = {pair: islands for pair, islands in waiting.islands.items() if pair[1] == host}
    waiting.dropped = [one for one in waiting.dropped if one.host == host]
    return waiting
