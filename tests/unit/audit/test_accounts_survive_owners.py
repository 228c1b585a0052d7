"""The accounts of a partition whose owners die at every step, come back, or write late: always balanced, never blind.

Everything is the ingest worker's own code but the two tables, which are a set and a list here; `Owner.store` has the
steps of `Sink.store`.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pytest

from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.storage.columns import SampleColumns, flat
from fleetpulse.wire import Block, Frame, Header, decode_frame, encode_frame, make_block
from stream_processors.audit.account import Arrived, Books, HostHour, Report, account
from stream_processors.audit.coverage import Island, gaps
from stream_processors.audit.ranges import Place, Range, Tiling, tile
from stream_processors.inbox import Message
from stream_processors.ingest.gather import gather
from stream_processors.ingest.intake import Chunk, Intake
from stream_processors.ingest.known import BoolArray, settle, uncertain
from stream_processors.ingest.ledger import Reached, Touched
from stream_processors.ingest.partition import Partition
from tests.support.binding import bind_blocks

PARTITIONS = 1
HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS + HOUR_MS - 40_000  # the log goes over the end of an hour
HOSTS = ["h0", "h1"]
PLACE = Place("t", 0, 0)
STEPS = ["done", "nothing", "raw", "ledger"]  # how far a store comes before its owner dies

Pair = tuple[int, int]  # id, time


@dataclass
class World:
    """The log, what Kafka has committed, and the two tables. `end`: of the log, when an owner begins; 0: all of it."""

    log: list[Message]
    end: int = 0
    host_of: dict[int, str] = field(default_factory=dict)
    committed: int = 0
    table: set[Pair] = field(default_factory=set)
    ledger: list[tuple[Chunk, bool, list[int]]] = field(default_factory=list)  # chunk, unsettled, minutes

    def reached(self) -> Reached | None:
        rows = [chunk for chunk, _, _ in self.ledger]
        return Reached(max(one.next_offset for one in rows), max(one.append_ms for one in rows)) if rows else None


@dataclass
class Prepared:
    """A batch after step 0."""

    chunk: Chunk
    samples: SampleColumns
    unsettled: bool
    minutes: list[int]


class Owner:
    """One worker's state of the partition."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.intake = Intake(IngestSettings(), PARTITIONS, SelfMetrics(), lambda _: world.end or len(world.log))
        self.partition = Partition(0, 0)
        self.at = world.committed

    def prepare(self, messages: int) -> Prepared | None:
        """Step 0 of the next so many messages; None when they are stored already."""
        for message in self.world.log[self.at : self.at + messages]:
            self.intake.take(message)
            self.at = message.offset + 1
        prepared = None
        for taken in self.intake.cut():
            if taken.fresh or self.partition.next_offset != taken.first_offset:
                self.partition.progress.go_on(taken, self.world.reached(), 0)
                touched = frozenset(minute for _, _, minutes in self.world.ledger for minute in minutes)
                self.partition.restart(Touched(touched, touched), taken.first_append_ms)
            chunk = self.partition.progress.not_stored(taken)
            if chunk is None:
                self.partition.next_offset = taken.next_offset
                continue
            prepared = self._apply(chunk)
        return prepared

    def _apply(self, chunk: Chunk) -> Prepared:
        registry = self.partition.registry

        bind_blocks(registry, chunk, lambda new: {})
        samples, applied = self.partition.apply(gather(registry, chunk), chunk)
        hosts = [registry.hosts[place] for place in registry.host_places]
        self.world.host_of.update(zip(registry.ids.tolist(), hosts, strict=True))
        doubts = uncertain(chunk.accounts, registry, samples, applied, ())
        settle([doubts] if doubts else [], self._find)
        return Prepared(chunk, flat(samples), self.partition.progress.unsettled(chunk), applied.minutes)

    def _find(self, samples: SampleColumns) -> BoolArray:
        return np.array([pair in self.world.table for pair in pairs(samples)], dtype=np.bool_)

    def write(self, prepared: Prepared, step: str, *, fenced: bool = False) -> None:
        """Steps 1 to 3, as far as `step`; Kafka takes no commit of a `fenced` owner."""
        if step != "nothing":
            self.world.table.update(pairs(prepared.samples))
        if step in ("ledger", "done"):
            self.world.ledger.append((prepared.chunk, prepared.unsettled, prepared.minutes))
        if step == "done" and not fenced:
            self.world.committed = prepared.chunk.next_offset

    def store(self, messages: int, step: str) -> None:
        prepared = self.prepare(messages)
        if prepared is not None:
            self.write(prepared, step)
        elif step == "done":
            self.world.committed = max(self.world.committed, self.at)


def pairs(samples: SampleColumns) -> Iterable[Pair]:
    return zip(samples.id.tolist(), samples.ts.tolist(), strict=True)


def make_log(seed: int, messages: int = 10) -> list[Message]:
    """Messages of both hosts; late samples, repeated ones, other values, a time twice in one block, resent frames."""
    chance = random.Random(seed)
    sent: Counter[str] = Counter()
    log: list[Message] = []
    values: list[bytes] = []
    for offset in range(messages):
        if values and chance.random() < 0.15:
            values.append(chance.choice(values))
        else:
            blocks = [make_one(chance, host, offset, sent) for host in HOSTS if chance.random() < 0.8]
            values.append(encode_frame(Frame(1, 0, blocks)))
        headers = ((str(Header.PRODUCER), b"p"), (str(Header.SEQ), b"%d" % offset))
        log.append(Message("t", 0, offset, START_MS + offset * 10_000, b"h0", values[-1], headers))
    return log


def make_one(chance: random.Random, host: str, offset: int, sent: Counter[str]) -> Block:
    count = chance.randrange(1, 4)
    sent[host] += count
    now = START_MS + offset * 10_000
    stamps = [now - 1000 * chance.choice([0, 0, 0, 1, 10, 20, 70]) for _ in range(count)]
    index = [chance.randrange(2) for _ in range(count)]
    values = [float(chance.randrange(3)) for _ in range(count)]
    return make_block(host, {"instance": host}, b"a\nb", stamps, values, index, sent[host])


def tiling_of(world: World) -> Tiling:
    return tile(Range(PLACE, chunk.first_offset, chunk.next_offset) for chunk, _, _ in world.ledger)


def report_of(world: World) -> Report:
    tiling = tiling_of(world)
    contested = {row[1:3] for row in (*tiling.contested, *tiling.twice)}
    left_out = {row[1:3] for row in tiling.left_out}
    arrived: dict[HostHour, Arrived] = {}
    islands: dict[tuple[str, str], list[Island]] = {}
    seen = set()
    for chunk, unsettled, _ in world.ledger:
        key = (chunk.first_offset, chunk.next_offset)
        if key in left_out or key in seen:
            continue
        seen.add(key)
        for span in chunk.accounts.spans():
            arrived.setdefault((span.host, span.hour), Arrived()).received += span.samples
            island = Island(span.first, span.first + span.samples, span.hour, chunk.append_ms)
            islands.setdefault((span.producer, span.host), []).append(island)
        for host_hour, doubts in chunk.accounts.doubts.items():
            one = arrived.setdefault(host_hour, Arrived())
            one.refused += doubts.refused
            one.known += doubts.known
            one.unsure += doubts.found if unsettled or key in contested else 0
    stored = Counter((world.host_of[id_], ts // HOUR_MS) for id_, ts in world.table)
    found = {pair: gaps(of_pair) for pair, of_pair in islands.items()}
    return account(Books(arrived, stored, gaps=found, holes=tiling.holes), 0)


def finish(world: World) -> None:
    owner = Owner(world)
    while owner.at < len(world.log):
        owner.store(3, "done")


def balanced(world: World) -> Report:
    report = report_of(world)
    assert report.balanced, [row for row in report.rows if row.unexplained] or report.holes
    sent = sum(len(block.value) // 8 for message in world.log for block in blocks_of(message))
    assert sum(row.sent for row in report.rows) == sent
    return report


def blocks_of(message: Message) -> list[Block]:
    return decode_frame(message.value or b"").blocks


def test_hosts_share_the_partition() -> None:
    assert {partition_of(host, PARTITIONS) for host in HOSTS} == {0}


DEATHS = list(product([1, 2, 4], STEPS))  # messages, step


@pytest.mark.parametrize("seed", range(3))
def test_owners_that_die_at_every_step(seed: int) -> None:
    log = make_log(seed)
    chance = random.Random(seed)
    for steps in [*product(DEATHS, repeat=2), *([*chance.choices(DEATHS, k=4)] for _ in range(40))]:
        world = World(log)
        for messages, step in steps:
            owner = Owner(world)
            owner.store(2, "done")
            owner.store(messages, step)
        finish(world)
        balanced(world)


def zombies(seed: int) -> Iterator[World]:
    """A stopped owner that writes its batch after others have gone on, with or without its ledger row."""
    for stopped_with, others, step, asleep_in in product([1, 3, 6], [1, 4, 8], STEPS, ["before 0", "after 0"]):
        world = World(make_log(seed))
        zombie = Owner(world)
        zombie.store(2, "done")
        prepared = zombie.prepare(stopped_with) if asleep_in == "after 0" else None
        owner = Owner(world)
        owner.store(others, "done")
        if asleep_in == "before 0":
            prepared = zombie.prepare(stopped_with)
        if prepared is not None:
            zombie.write(prepared, step, fenced=True)
        owner.store(1, "done")
        finish(world)
        yield world


@pytest.mark.parametrize("seed", range(4))
def test_a_worker_that_was_stopped_and_writes_late(seed: int) -> None:
    overlapping = 0
    for world in zombies(seed):
        balanced(world)
        tiling = tiling_of(world)
        overlapping += bool(tiling.left_out or tiling.twice)
    assert overlapping > 5


@pytest.mark.parametrize("seed", range(6))
def test_what_is_taken_away_is_missed(seed: int) -> None:
    world = World(make_log(seed, 14))
    owner = Owner(world)
    for step in ("done", "raw"):
        owner.store(3, step)
    finish(world)
    balanced(world)
    unsure = {
        key
        for chunk, unsettled, _ in world.ledger
        for key, doubts in chunk.accounts.doubts.items()
        if unsettled and doubts.found
    }
    told = 0
    for pair in sorted(world.table):
        world.table.discard(pair)
        key = world.host_of[pair[0]], pair[1] // HOUR_MS
        unexplained = {(row.host, row.hour): row.unexplained for row in report_of(world).rows if row.unexplained}
        assert unexplained == {key: 1} or (key in unsure and not unexplained)
        told += bool(unexplained)
        world.table.add(pair)
    assert told > 3


@pytest.mark.parametrize("seed", range(3))
def test_a_row_that_the_ledger_lacks_is_missed(seed: int) -> None:
    world = World(make_log(seed, 14), end=1)
    finish(world)
    for place in range(1, len(world.ledger) - 1):
        row = world.ledger.pop(place)
        [hole] = report_of(world).holes
        assert (hole.first, hole.next, hole.problem) == (row[0].first_offset, row[0].next_offset, "missing")
        world.ledger.insert(place, row)
    world.ledger.pop(0)
    assert any(row.unexplained < 0 for row in report_of(world).rows)
