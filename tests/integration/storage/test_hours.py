"""The hour job: what it builds, what opens an hour again, who wins, and what a crash leaves behind."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from clickhouse_driver import Client

from fleetpulse.clock import ManualClock
from fleetpulse.identity import series_id
from fleetpulse.metric import canonical_key
from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.storage import hours, tables
from fleetpulse.storage.client import connect
from fleetpulse.storage.pending import place_of
from fleetpulse.storage.recompute import HOURS, between, fits, in_version, recompute
from fleetpulse.storage.repair import repair
from fleetpulse.storage.verify import Verifier
from stream_processors.ingest import ledger
from stream_processors.ingest.hour_progress import PartitionProgress, read
from stream_processors.ingest.hours import HourJob
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.stored import Stored, store

pytestmark = pytest.mark.servers

TOPIC, PARTITIONS, HOUR = "t.metrics", 4, 3600
START = int(time.time()) // HOUR * HOUR - 6 * HOUR
HOSTS = [f"host-{number}" for number in range(8)]
SETTINGS = IngestSettings(hour_settle_seconds=60.0)


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    client = connect(database.url)
    yield client
    client.disconnect()


def put(
    url: str,
    start: int,
    next_offset: int,
    hosts: list[str] = HOSTS,
    samples: int = 30,
    incarnation: int = 0,
    clean: bool = True,
) -> None:
    """Samples of an hour, the ledger's rows, and clean minutes with their marks: as ingest leaves them."""
    chance = random.Random(start + next_offset)
    at = sorted(chance.sample(range(start * 1000, (start + HOUR) * 1000), samples))
    rows: list[Stored] = [("load", {"instance": host}, [(ms, chance.gauss(0, 9)) for ms in at]) for host in hosts]
    store(url, rows)
    partitions = sorted({partition_of(host, PARTITIONS) for host in hosts})
    minutes = {ms // 60_000 for ms in at}
    touch(url, partitions, next_offset, minutes, incarnation)
    if clean:
        make_clean(url, partitions, place_of(incarnation, next_offset), minutes)


def make_clean(url: str, partitions: list[int], place: int, minutes: set[int]) -> None:
    client = connect(url)
    repair(client, minutes, dict.fromkeys(partitions, place), {}, PARTITIONS)
    ledger.insert_marks(client, TOPIC, [(one, minute, place) for one in partitions for minute in minutes])
    client.disconnect()


def touch(url: str, partitions: list[int], next_offset: int, minutes: set[int], incarnation: int = 0) -> None:
    client = connect(url)
    client.execute(
        f"INSERT INTO {tables.LEDGER} "
        "(topic, partition, first_offset, next_offset, appended, minutes, incarnation) VALUES",
        [
            (
                TOPIC,
                one,
                next_offset - 5,
                next_offset,
                int(time.time() * 1000),
                [60 * at for at in minutes],
                incarnation,
            )
            for one in partitions
        ],
    )
    client.disconnect()


def job(url: str, clock: ManualClock, owned: range | tuple[int, ...] = range(PARTITIONS)) -> HourJob:
    job = HourJob(url, TOPIC, PARTITIONS, SETTINGS, SelfMetrics(), clock)
    job.keep_only(owned)
    _jobs.append(job)
    return job


_jobs: list[HourJob] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _jobs:
        _jobs.pop().close()


def after(hours_later: float) -> ManualClock:
    return ManualClock(int((START + hours_later * HOUR) * 1000))


def rows(client: Client) -> dict[tuple[str, int], tuple[int, int]]:
    """(host, hour) → number of samples and version, each once."""
    found = client.execute(
        f"SELECT host, toUnixTimestamp(timestamp), count, version FROM {HOURS.table} FINAL "
        f"INNER JOIN (SELECT id, host FROM {tables.SERIES} LIMIT 1 BY id) AS named USING (id)"
    )
    by_key = {(host, hour): (count, version) for host, hour, count, version in found}
    assert len(by_key) == len(found)
    return by_key


def differing(client: Client) -> int:
    return Verifier(client, TOPIC, PARTITIONS).run(HOURS, START, START + 6 * HOUR).differing


def test_an_hour_is_built_when_it_is_over_and_has_settled(database: Database, client: Client) -> None:
    put(database.url, START, 100)
    clock = after(0.9)
    one = job(database.url, clock)
    assert one.check() == 0
    clock.advance(int(0.1 * HOUR * 1000) + 20_000)
    assert one.check() == 0  # the lateness has not passed
    clock.advance(20_000)
    put(database.url, START, 110, HOSTS[:1])
    assert one.check() == 1
    clock.advance(61_000)
    assert one.check() == 1
    assert set(rows(client)) == {(host, START) for host in HOSTS}
    assert differing(client) == 0


def test_late_data_open_their_hour_again_and_no_other(database: Database, client: Client) -> None:
    for number in range(3):
        put(database.url, START + number * HOUR, 100 + 10 * number)
    clock = after(4)
    one = job(database.url, clock)
    assert one.check() == 3
    before = rows(client)
    put(database.url, START, 200, HOSTS[:2])
    assert one.check() == 0  # more of it may come
    clock.advance(61_000)
    assert one.check() == 1
    now = rows(client)
    partitions = {partition_of(host, PARTITIONS) for host in HOSTS[:2]}
    changed = {key for key in now if now[key] != before[key]}
    assert changed == {(host, START) for host in HOSTS if partition_of(host, PARTITIONS) in partitions}
    assert {now[host, START][0] for host in HOSTS[:2]} == {60}
    assert differing(client) == 0
    assert one.check() == 0


def test_a_topic_that_was_created_anew_begins_at_the_first_offset_again(database: Database, client: Client) -> None:
    put(database.url, START, 1_000_000)
    clock = after(3)
    one = job(database.url, clock)
    assert one.check() == 1
    marks = [
        (number, minute, 1_000_000) for number in range(PARTITIONS) for minute in range(START // 60, START // 60 + 60)
    ]
    ledger.insert_marks(client, TOPIC, marks)
    put(database.url, START, 10, incarnation=1, clean=False)  # late ones of the hour that was built
    put(database.url, START + HOUR, 20, incarnation=1, clean=False)
    assert all(
        ledger.read_touched(client, TOPIC, number).dirty & {START // 60 + n for n in range(60)}
        for number in range(PARTITIONS)
    )
    assert Verifier(client, TOPIC, PARTITIONS).run(HOURS, START, START + 2 * HOUR).pending == 2 * PARTITIONS
    minutes = set(range(START // 60, START // 60 + 120))
    make_clean(database.url, list(range(PARTITIONS)), place_of(1, 20), minutes)
    one.check()
    clock.advance(61_000)
    assert one.check() == 2
    assert set(rows(client)) == {(host, START + n * HOUR) for host in HOSTS for n in range(2)}
    assert {rows(client)[host, START][0] for host in HOSTS} == {60}
    report = Verifier(client, TOPIC, PARTITIONS).run(HOURS, START, START + 2 * HOUR)
    assert (report.pending, report.differing) == (0, 0)
    assert one.check() == 0


def test_hours_of_a_topic_that_was_created_anew_are_made_from_their_minutes(
    database: Database, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(database.url, START, 1_000_000)
    one = job(database.url, after(3))
    assert one.check() == 1
    put(database.url, START + HOUR, 20, incarnation=1)
    monkeypatch.setattr(hours, "_from_raw", lambda *_: pytest.fail("from the raw samples alone"))
    one.check()
    one.close()
    assert job(database.url, after(3)).check() == 1
    assert set(rows(client)) == {(host, START + n * HOUR) for host in HOSTS for n in range(2)}
    assert differing(client) == 0


def test_a_place_in_a_version_never_falls_back() -> None:
    most = 1 << 36
    places = [place_of(era, offset) for era in (0, 1, 2, 15, 16, 40) for offset in (0, 1, 5, most - 2, most - 1, most)]
    assert [in_version(place) for place in places] == sorted(in_version(place) for place in places)
    told_apart = [place for place in places if fits(place)]
    assert len({in_version(place) for place in told_apart}) == len(told_apart) == 4 * 4
    assert in_version(1_000_000) == 1_000_000  # as rows of earlier versions have it


def test_an_hour_that_is_touched_all_the_time_is_built_all_the_same(database: Database) -> None:
    put(database.url, START, 100)
    clock = after(2)
    one = job(database.url, clock)
    assert one.check() == 1
    built = 0
    for number in range(25):
        put(database.url, START, 200 + 5 * number, HOSTS[:1], samples=1)
        built += one.check()
        clock.advance(30_000)
    assert 1 <= built <= 3


def test_minutes_that_are_not_clean_are_waited_for_but_not_for_ever(database: Database, client: Client) -> None:
    put(database.url, START, 100, clean=False)
    clock = after(2)
    one = job(database.url, clock)
    assert one.check() == 0
    clock.advance(9 * 60_000)
    assert one.check() == 0
    clock.advance(61_000)
    assert one.check() == 1  # from the raw samples: there is no minute
    assert rows(client).keys() == {(host, START) for host in HOSTS}
    assert differing(client) == 0


def test_a_minute_that_is_made_clean_late_holds_up_its_own_hour_only(database: Database, client: Client) -> None:
    put(database.url, START, 100, clean=False)
    put(database.url, START + HOUR, 110)
    clock = after(3)
    one = job(database.url, clock)
    assert one.check() == 1
    assert rows(client).keys() == {(host, START + HOUR) for host in HOSTS}
    make_clean(database.url, list(range(PARTITIONS)), 100, set(range(START // 60, START // 60 + 60)))
    assert one.check() == 1
    assert differing(client) == 0


def test_a_minute_repaired_after_the_hour_was_built_opens_it_again(database: Database, client: Client) -> None:
    put(database.url, START, 100)
    clock = after(2)
    one = job(database.url, clock)
    assert one.check() == 1
    put(database.url, START, 110, HOSTS[:1], clean=False)  # stored, in the ledger, its minutes still as before
    clock.advance(61_000)
    assert one.check() == 0
    clock.advance(61_000)
    assert one.check() == 0
    partition = partition_of(HOSTS[0], PARTITIONS)
    make_clean(database.url, [partition], 110, set(range(START // 60, START // 60 + 60)))
    assert one.check() == 1
    assert rows(client)[HOSTS[0], START][0] == 60
    assert differing(client) == 0


def test_what_lies_before_the_raw_samples_is_forgotten(database: Database, client: Client) -> None:
    put(database.url, START, 100, clean=False)
    progress = PartitionProgress(client, TOPIC, partition_of(HOSTS[0], PARTITIONS), 30.0)
    read(client, TOPIC, [progress], 0.0)
    assert progress.dirty_hours == [START]
    assert not progress.clean(START)
    progress.complete(START + 40 * 86400, START + 2 * HOUR)
    assert progress.dirty_hours == []
    assert progress.clean(START)


def test_only_owned_partitions_and_what_the_next_owner_finds(database: Database, client: Client) -> None:
    put(database.url, START, 100)
    clock = after(0.5)
    first, second = job(database.url, clock, (0, 1)), job(database.url, clock, (2, 3))
    assert (first.check(), second.check()) == (0, 0)
    clock.advance(2 * HOUR * 1000)
    assert first.check() == 1
    mine = {host for host, _ in rows(client)}
    assert mine == {host for host in HOSTS if partition_of(host, PARTITIONS) in (0, 1)}
    first.keep_only(range(PARTITIONS))
    assert first.check() == 1
    assert {host for host, _ in rows(client)} == set(HOSTS)
    before = rows(client)
    assert second.check() == 1  # both at once: it does not know of the other's marks
    assert rows(client) == before
    assert differing(client) == 0


def test_who_saw_less_loses_even_when_it_writes_last(database: Database, client: Client) -> None:
    """The same number of samples, but a larger value for one time: the count alone does not tell them apart."""
    host = HOSTS[0]
    partition = partition_of(host, PARTITIONS)
    labels = {"instance": host}
    store(database.url, [("load", labels, [(START * 1000, 1.0)])])
    stale = recompute(HOURS, f"id >= 0 AND {between(START, START + HOUR)}", "", merging=False)
    old = client.execute(f"SELECT * FROM ({stale})")
    store(database.url, [("load", labels, [(START * 1000, 2.0)])])
    hours.build(client, START, {partition: 7}, PARTITIONS)
    columns = ", ".join(column for column in HOURS.columns)
    client.execute(f"INSERT INTO {HOURS.table} ({columns}) VALUES", [(*old[0], (1 << 40) + 6)])
    [(last,)] = client.execute(f"SELECT last FROM {HOURS.table} FINAL")
    assert last == 2.0


def test_killed_in_the_middle_it_begins_again(database: Database, client: Client) -> None:
    for number in range(2):
        put(database.url, START + number * HOUR, 100 + number)
    script = (
        "import time, sys; import fleetpulse.storage.slices as slices; slices.SAMPLES_AT_ONCE = 40\n"
        "import fleetpulse.storage.hours as hours\n"
        "from tests.integration.storage.test_hours import job, after\n"
        "mark = hours.insert_hour_marks\n"
        "hours.insert_hour_marks = lambda *of: time.sleep(60)\n"  # killed before the mark, after the rows
        "job(sys.argv[1], after(3)).check()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, database.url])
    eventually(lambda: len(rows(client)) >= len(HOSTS) - 2 or None, interval=0.01)
    child.kill()
    child.wait()
    assert client.execute(f"SELECT count() FROM {tables.HOUR_MARKS}") == [(0,)]
    one = job(database.url, after(3))
    assert one.check() == 2
    assert differing(client) == 0
    assert one.check() == 0


def test_readers_are_told_how_far_the_tiers_are_complete(database: Database, client: Client) -> None:
    def told(tier: str) -> dict[int, int]:
        found = client.execute(
            f"SELECT partition, toUnixTimestamp(before) FROM {tables.ROLLED_UP} FINAL WHERE tier = '{tier}'"
        )
        return dict(found)

    host = HOSTS[0]
    partition = partition_of(host, PARTITIONS)
    put(database.url, START, 100, [host], clean=False)
    clock = after(0.5)
    one = job(database.url, clock)
    one.check()
    [(first,)] = client.execute("SELECT toUnixTimestamp(min(toStartOfMinute(timestamp))) FROM samples")
    assert told("1m")[partition] == first  # no minute of it is marked
    assert told("1h")[partition] == START
    [(minutes,)] = client.execute("SELECT groupUniqArray(toUnixTimestamp(toStartOfMinute(timestamp))) FROM samples")
    client.execute(
        f"INSERT INTO {tables.CLEAN_MARKS} ({', '.join(tables.CLEAN_MARKS_COLUMNS)}) VALUES",
        [(TOPIC, partition, minute, 100) for minute in minutes],
    )
    clock.advance(HOUR * 1000)
    one.check()
    now = clock.now_ms() // 1000
    assert told("1h") == dict.fromkeys(range(PARTITIONS), START + HOUR)
    assert told("1m") == dict.fromkeys(range(PARTITIONS), (now - 30) // 60 * 60)
    put(database.url, START - HOUR, 110, [host], samples=1)  # late: the tiers do not go back for it
    one.check()
    assert told("1m")[partition] >= START - HOUR


def test_partitions_that_the_topic_has_no_more_hold_nothing_up(database: Database, client: Client) -> None:
    gone = hours.Complete(PARTITIONS + 3, "1h", START - HOUR, 10)
    hours.insert_complete(client, TOPIC, [gone])
    job(database.url, after(2)).check()
    found = client.execute(f"SELECT DISTINCT partition FROM {tables.ROLLED_UP} ORDER BY partition")
    assert found == [(number,) for number in range(PARTITIONS)]


def test_the_id_is_the_registered_one(database: Database, client: Client) -> None:
    """A sample without a registered series is nobody's: no partition builds it, and verify says so."""
    put(database.url, START, 100, HOSTS[:1])
    stray = series_id(canonical_key("stray", {"instance": "x"}))
    client.execute(f"INSERT INTO {tables.SAMPLES} VALUES", [(stray, START * 1000, 1.0)])
    one = job(database.url, after(2))
    one.check()
    assert differing(client) == 1
