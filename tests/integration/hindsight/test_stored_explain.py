"""Explain over a real ClickHouse: series by selector, samples of both tiers, and what the ledger says came late."""

from dataclasses import replace

import numpy as np
import pytest

from fleetpulse.hindsight.explained import Around, Question, explain
from fleetpulse.promql.syntax import NAME, Matcher, Selector
from fleetpulse.storage.client import connect
from fleetpulse.storage.history import History
from fleetpulse.storage.native import insert_arrays
from tests.support.databases import Database
from tests.support.rules_world import alert

pytestmark = pytest.mark.servers

MINUTE_MS = 60_000
T = 1_795_001_400_000  # half past an hour
HOT = replace(alert(), name="Hot", expr='temperature_celsius{room!="attic"} > 80', warning=None, critical=None)


def fill(database: Database) -> None:
    """Two hosts, a tick every half minute for an hour; host `late` is hot in its last ten minutes, appended later."""
    client = connect(database.url)
    rows, ids, ts, value = [], [], [], []
    for number, (host, room) in enumerate([("a", "lab"), ("late", "lab"), ("a", "attic")]):
        tags = {"__name__": "temperature_celsius", "instance": host, "room": room}
        rows.append((number + 10, f"{tags}", "temperature_celsius", host, tags, T - 9_999_000, T))
        for tick in range(-120, 1):
            hot = (host == "late" or room == "attic") and tick > -20
            ids.append(number + 10)
            ts.append(T + tick * 30_000)
            value.append(90.0 if hot else 50.0)
    client.execute(
        "INSERT INTO registered_series (id, key, metric_name, host, tags, first_seen, last_seen) VALUES", rows
    )
    columns = {"id": np.array(ids, np.uint64), "timestamp": np.array(ts, np.int64), "value": np.array(value)}
    insert_arrays(client, "samples", columns, {})
    minute, hour = T // 1000, T // 3_600_000 * 3600
    names = "topic, partition, first_offset, next_offset, appended, frames, dead, stored, refused, minutes"
    spans = "`spans.producer`, `spans.host`, `spans.hour`, `spans.first`, `spans.samples`"
    ledger = [
        ("t", 0, n, n + 1, 1000 * (minute + 3600), 1, 0, 1, 0, [minute - 60 * n], ["p"], ["late"], [hour], [0], [1])
        for n in range(11)
    ]
    client.execute(f"INSERT INTO ledger ({names}, {spans}) VALUES", ledger)
    client.disconnect()


def test_stored_history_is_read_and_explained(database: Database) -> None:
    fill(database)
    history = History(database.url_for("api"))
    try:
        selector = Selector((Matcher(NAME, "=~", "temp.*"), Matcher("room", "=", "lab")))
        assert [(series.id, series.host) for series in history.series([selector])] == [(10, "a"), (11, "late")]
        samples = history.samples([11, 10], T - MINUTE_MS, T + 1)
        assert samples.series.tolist() == [1, 1, 1, 0, 0, 0]
        assert samples.value.tolist() == [50.0] * 3 + [90.0] * 3
        assert history.samples([], T, T + 1).value.tolist() == []
        assert history.samples([99], T, T + 1).ts.tolist() == []
        assert history.count([10, 11], T, T + 1) == 2
        below = explain(history, Question(HOT, "Hot", "a", T, 1_800_000), Around())
        assert (below.verdict.reason, below.tier) == ("below_threshold", "raw")
        late = explain(history, Question(HOT, "Hot", "late", T, 1_800_000), Around(events=[]))
        assert late.verdict.reason == "late_data"
        nobody = explain(history, Question(HOT, "Hot", "nobody", T, 1_800_000), Around())
        assert nobody.verdict.reason == "host_silent"
    finally:
        history.close()


def test_the_last_of_each_minute_is_read_at_the_time_that_its_count_suggests(database: Database) -> None:
    client = connect(database.url)
    seconds = T // 1000
    one, six = [np.array([n], np.uint32) for n in (1, 6)]
    for at, count in ((seconds, one), (seconds + 60, six)):
        columns = {name: np.array([2.5]) for name in ("sum", "min", "max", "first", "last", "increase")}
        columns |= {"id": np.array([7], np.uint64), "version": np.array([1], np.uint64), "count": count}
        columns |= {"timestamp": np.array([at], np.uint32), "nans": np.array([0], np.uint32)}
        insert_arrays(client, "samples_1m", columns, {})
    client.disconnect()
    history = History(database.url)
    samples = history.samples([7], T, T + 120_000, "1m")
    history.close()
    assert samples.ts.tolist() == [T, T + 60_000 + 50_000]


def test_more_rows_than_a_reader_may_have_are_read_in_parts(database: Database) -> None:
    client = connect(database.url)
    seconds = np.arange(700_000)
    for id_ in (5, 6, 7):
        times = T - 700_000_000 + 1000 * seconds
        columns = {"id": np.full(len(seconds), id_, np.uint64), "timestamp": times, "value": seconds + 0.5 * id_}
        insert_arrays(client, "samples", columns, {})
    client.disconnect()
    history = History(database.url_for("api"))  # whose profile allows two million
    try:
        samples = history.samples([7, 5, 6], T - 700_000_000, T)
        assert np.bincount(samples.series).tolist() == [700_000] * 3
        own = samples.series == 0
        assert np.array_equal(samples.value[own], seconds + 3.5)
    finally:
        history.close()
