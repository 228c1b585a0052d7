"""An hour made from its minutes is the one made from the raw samples, whatever the samples are."""

import math
import random
import struct
import time
from collections.abc import Iterator

import pytest
from clickhouse_driver import Client

from fleetpulse.identity import series_id
from fleetpulse.metric import canonical_key
from fleetpulse.storage import hours, tables
from fleetpulse.storage.client import connect
from fleetpulse.storage.from_minutes import from_minutes
from fleetpulse.storage.recompute import HOURS, between, recompute
from fleetpulse.storage.repair import repair
from fleetpulse.storage.verify import Verifier
from tests.support.databases import Database
from tests.support.stored import store

pytestmark = pytest.mark.servers

TOPIC, PARTITIONS, HOUR = "t.metrics", 4, 3600
START = int(time.time()) // HOUR * HOUR - 3 * HOUR
OFFSETS = {number: 100 + number for number in range(PARTITIONS)}
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
NAN = math.nan
Samples = list[tuple[int, float]]


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    client = connect(database.url)
    yield client
    client.disconnect()


def every(seconds: int, values: list[float], begin: int = 0) -> Samples:
    return [((START + begin + seconds * place) * 1000, value) for place, value in enumerate(values)]


def nasty() -> dict[str, Samples]:
    """Samples by name of the series, each numbered minute of which has a number."""
    chance = random.Random(7)
    noise = [chance.gauss(0, 10 ** chance.randint(-9, 9)) for _ in range(360)]
    walk = [float(sum(noise[:place])) for place in range(360)]
    counter = [float(place * 17 % 1500) for place in range(360)]
    tiny = [5e-324, -5e-324, 0.0, -0.0, 2.2e-308, -2.2e-308, 1e-310, -1e-310, 1.0] * 5
    return {
        "noise": every(10, noise),
        "walk": every(10, walk),
        "resets": every(10, counter),
        "reset_between_minutes": every(60, [9.0, 1.0, 5.0, 0.0, 7.0]),
        "one": every(10, [-3.25], 1799),
        "one_in_the_last_ms": [((START + HOUR) * 1000 - 1, 8.0)],
        "gaps": every(700, [3.0, 4.0, 1.0, 2.0, 9.0]),
        "infinite": every(10, [math.inf, 1.0, -math.inf, 2.0] * 20),
        "rising_to_inf": every(45, [1.0, math.inf, math.inf, math.inf]),
        "nan_beside_numbers": every(10, [1.0, NAN, STALE, 2.0] * 30),
        "tiny": every(10, tiny),
        "zeros": every(30, [-0.0, 0.0, -0.0]),
        "huge": every(20, [1.7e308, -1.7e308, 1.7e308, 4e307]),
        "constant": every(10, [42.0] * 360),
    }


LEFT_TO_RAW: dict[str, Samples] = {
    "only_nan": every(10, [NAN, STALE] * 9),
    "a_minute_of_nan": every(10, [1.0] * 6 + [NAN] * 6 + [2.0] * 6),
}


def put(url: str, samples: dict[str, Samples]) -> None:
    store(url, [(name, {"instance": f"h{place}"}, list(one)) for place, (name, one) in enumerate(samples.items())])


def repair_all(client: Client, through: int = 0) -> None:
    repair(client, range(START // 60, START // 60 + 60), dict.fromkeys(range(PARTITIONS), through), {}, PARTITIONS)


def bits(row: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(
        ("nan" if math.isnan(one) else struct.pack("<d", one)) if isinstance(one, float) else one for one in row
    )


def rows_of(client: Client, select: str, columns: tuple[str, ...]) -> dict[str, tuple[object, ...]]:
    chosen = ", ".join(f"rows.`{column}`" for column in columns)
    found = client.execute(
        f"SELECT named.metric_name, {chosen} FROM ({select}) AS rows "
        f"INNER JOIN (SELECT id, metric_name FROM {tables.SERIES} LIMIT 1 BY id) AS named USING (id)"
    )
    assert len({row[0] for row in found}) == len(found)
    return {row[0]: bits(row[1:]) for row in found}


EXACT = tuple(column for column in HOURS.values if column not in ("sum", "increase"))


def test_the_rows_are_those_of_the_raw_samples(database: Database, client: Client) -> None:
    put(database.url, nasty() | LEFT_TO_RAW)
    repair_all(client)
    made = rows_of(client, from_minutes(HOURS.values, START, "true"), EXACT)
    wanted = rows_of(client, recompute(HOURS, between(START, START + HOUR), merging=False), EXACT)
    assert made.keys() == nasty().keys()
    assert made == {name: wanted[name] for name in made}
    hours.build(client, START, OFFSETS, PARTITIONS, OFFSETS)
    stored = rows_of(client, f"SELECT * FROM {HOURS.table}", EXACT)  # each of them once
    assert stored == wanted
    report = Verifier(client, TOPIC, PARTITIONS).run(HOURS, START, START + HOUR)  # sum and increase too
    assert (report.buckets, report.differing) == (len(wanted), 0)


def test_what_is_not_merged_yet_is_left_to_the_raw_samples_one_by_one(database: Database, client: Client) -> None:
    samples = nasty()
    put(database.url, samples)
    repair_all(client)
    again = {name: samples[name][:3] for name in ("noise", "one")}
    changed = {"walk": [(at, 1e12) for at, _ in samples["walk"][5:9]]}
    for name, more in (again | changed).items():
        at = list(samples).index(name)
        store(database.url, [(name, {"instance": f"h{at}"}, more)])
    repair(client, [START // 60], {}, {50: [_id(samples, "resets"), _id(samples, "walk")]}, PARTITIONS)
    repair(client, [START // 60 + 1], {}, {50: [_id(samples, "walk")]}, PARTITIONS)
    hours.build(client, START, OFFSETS, PARTITIONS, OFFSETS)
    stored = rows_of(client, f"SELECT * FROM {HOURS.table}", EXACT)
    assert stored == rows_of(client, recompute(HOURS, between(START, START + HOUR), merging=False), EXACT)
    assert Verifier(client, TOPIC, PARTITIONS).run(HOURS, START, START + HOUR).differing == 0


def test_minutes_that_lack_samples_are_not_believed(database: Database, client: Client) -> None:
    """The marks say clean, but the table has less: whatever the cause, the hour is right."""
    samples = nasty()
    put(database.url, samples)
    repair_all(client)
    client.execute(f"DELETE FROM {tables.SAMPLES_1M} WHERE id = {_id(samples, 'gaps')}")
    client.execute(
        f"DELETE FROM {tables.SAMPLES_1M} WHERE id = {_id(samples, 'constant')} AND timestamp = {START + 600}"
    )
    more = [(at + 1, value) for at, value in samples["walk"][20:25]]
    store(database.url, [("walk", {"instance": f"h{list(samples).index('walk')}"}, more)])
    hours.build(client, START, OFFSETS, PARTITIONS, OFFSETS)
    assert rows_of(client, f"SELECT * FROM {HOURS.table}", ("id",)).keys() == samples.keys()
    assert Verifier(client, TOPIC, PARTITIONS).run(HOURS, START, START + HOUR).differing == 0


def test_a_slice_at_a_time_and_only_some_partitions(
    database: Database, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(database.url, nasty() | LEFT_TO_RAW)
    repair_all(client)
    monkeypatch.setattr(hours, "SAMPLES_AT_ONCE", 500)
    monkeypatch.setattr("fleetpulse.storage.slices.SAMPLES_AT_ONCE", 100)
    hours.build(client, START, {0: 7, 1: 8}, PARTITIONS, [0])
    hours.build(client, START, {2: 7, 3: 9}, PARTITIONS, [2, 3])
    stored = rows_of(client, f"SELECT * FROM {HOURS.table}", EXACT)
    assert stored == rows_of(client, recompute(HOURS, between(START, START + HOUR), merging=False), EXACT)
    offsets = client.execute(f"SELECT DISTINCT bitAnd(version, {(1 << 40) - 1}) AS one FROM {HOURS.table} ORDER BY one")
    assert {one for (one,) in offsets} <= {7, 8, 9}


def test_built_again_after_late_samples_the_newer_row_stays(database: Database, client: Client) -> None:
    samples = nasty()
    put(database.url, samples)
    repair_all(client)
    for place, offset in enumerate((10, 1 << 41, 1 << 42)):  # the last two are of topics created anew
        if place:
            later = [(samples["constant"][place][0], 50.0 + place)]  # another value of the same time
            store(database.url, [("constant", {"instance": f"h{list(samples).index('constant')}"}, later)])
            repair(client, [START // 60], {}, {offset: [_id(samples, "constant")]}, PARTITIONS)
        through = dict.fromkeys(range(PARTITIONS), offset)
        hours.build(client, START, through, PARTITIONS, through)
        report = Verifier(client, TOPIC, PARTITIONS).run(HOURS, START, START + HOUR)
        assert (report.buckets, report.differing) == (len(samples), 0)


def _id(samples: dict[str, Samples], name: str) -> int:
    return series_id(canonical_key(name, {"instance": f"h{list(samples).index(name)}"}))
