"""`fleetpulse audit` on real servers: everything explained on a good day, and each kind of loss named."""

import time
from pathlib import Path

import pytest
from clickhouse_driver import Client

from fleetpulse.settings import KafkaSettings
from fleetpulse.wire import Dropped
from stream_processors.dead_replay import replay
from stream_processors.dead_topic import read
from tests.integration.audit.conftest import Judge
from tests.support.eventually import eventually
from tests.support.numbered import NumberedSender
from tests.support.running import running

pytestmark = pytest.mark.servers

HOUR_MS = 3_600_000
LAST_HOUR = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS - HOUR_MS
HOSTS = [f"h{number}" for number in range(6)]


def send_ticks(sender: NumberedSender, start_ms: int, ticks: int) -> int:
    """Ticks of 10 s of all hosts from a time on; the number of samples."""
    for tick in range(ticks):
        for number, host in enumerate(HOSTS):
            sender.send(sender.block(host, start_ms + tick * 10_000, [float(tick), float(number), 7.0]))
    sender.flush()
    return ticks * len(HOSTS) * 3


def test_everything_that_may_become_of_a_sample(
    topics: KafkaSettings, sender: NumberedSender, env: dict[str, str], settled: Judge, tmp_path: Path
) -> None:
    with running("ingest", env, tmp_path):
        sent = send_ticks(sender, LAST_HOUR, 20) + send_ticks(sender, LAST_HOUR + HOUR_MS - 60_000, 3)
        # Late, shuffled, sent twice, another value for a time that has one, refused, dead, given up.
        sender.send(sender.block("h0", LAST_HOUR + 5_000, [1.0, 2.0, 3.0]))
        shuffled = [LAST_HOUR + second * 1000 for second in (9, 3, 7, 3)]
        sender.send(sender.block("h1", shuffled, [1.0, 2.0, 3.0, 4.0], "s"))
        sender.send(sender.block("h2", LAST_HOUR + 15_000, [1.0, 2.0]), times=3)
        sender.send(sender.block("h3", LAST_HOUR, [99.0, 98.0, 97.0]))
        sender.send(sender.block("h4", LAST_HOUR + 48 * HOUR_MS, [1.0, 2.0]))
        sender.send(sender.block("h5", LAST_HOUR + 25_000, [1.0, 2.0]), v=9)
        sender.block("h5", LAST_HOUR + 35_000, [1.0, 2.0, 3.0, 4.0])  # numbered, and never sent
        sender.control("h5", Dropped("h5", LAST_HOUR, 4))
        sender.send(sender.block("h5", LAST_HOUR + 45_000, [5.0]))
        sender.flush()
        found = settled()
        assert (found["explained"], found["code"]) == (True, 0), found
        totals = {name: number for name, number in found["totals"].items() if number}
        duplicate, refused, dead, dropped = 1 + 4 + 3, 2, 2, 4
        assert totals == {
            "sent": sent + 3 + 4 + 6 + 3 + 2 + 2 + 4 + 1,
            "stored": sent + 3 + 3 + 2 + 1,
            "duplicate": duplicate, "refused": refused, "dead": dead, "dropped": dropped,
        }  # fmt: skip
        assert found["resent_samples"] == 4

        # Dead letters that are sent again are dead no more.
        wrong = sender.block("h0", LAST_HOUR + 65_000, [1.0, 2.0])
        value, headers = sender.frame(wrong)
        sender.frames.send_raw(value, "h0", (sender.frames.partition_of("h0") + 1) % topics.partitions, headers)
        sender.flush()
        assert settled()["totals"]["dead"] == dead + 2
        replay(topics, read(topics))
        found = eventually(lambda: found if (found := settled())["totals"]["dead"] == dead else None, 60)
        assert (found["code"], found["totals"]["stored"]) == (0, totals["stored"] + 2), found

        # Numbers that never came may still come from a disk; not when their producer is closed.
        sender.block("h2", LAST_HOUR, [1.0] * 5)
        sender.send(sender.block("h2", LAST_HOUR + 55_000, [1.0]))
        sender.flush()
        found = settled()
        assert (found["code"], found["totals"]["pending"]) == (0, 5), found
        sender.control("h2", closed=True)
        sender.flush()
        found = eventually(lambda: found if (found := settled())["code"] == 1 else None, 60)
        assert {row["host"]: row["unexplained"] for row in found["rows"] if row["unexplained"]} == {"h2": 5}


def test_what_is_deleted_is_named(
    sender: NumberedSender, env: dict[str, str], judge: Judge, settled: Judge, client: Client, tmp_path: Path
) -> None:
    with running("ingest", env, tmp_path):
        for part in range(3):  # rows of the ledger, one behind the other
            send_ticks(sender, LAST_HOUR + part * 600_000, 5)
            assert settled()["code"] == 0

    client.execute(
        "DELETE FROM samples WHERE id = (SELECT min(id) FROM registered_series WHERE host = 'h3') "
        f"AND timestamp = fromUnixTimestamp64Milli({LAST_HOUR + 600_000})"
    )
    found = judge()
    assert found["code"] == 1
    assert [(row["host"], row["unexplained"]) for row in found["rows"] if row["unexplained"]] == [("h3", 1)]
    assert (judge("--host", "h3")["code"], judge("--host", "h1")["code"]) == (1, 0)

    partition = sender.frames.partition_of("h1")
    rows = client.execute(
        f"SELECT first_offset, next_offset FROM ledger WHERE partition = {partition} ORDER BY first_offset"
    )
    first, behind = rows[len(rows) // 2]
    client.execute(f"DELETE FROM ledger WHERE partition = {partition} AND first_offset = {first}")
    [hole] = judge()["offsets"]
    assert (hole["partition"], hole["first"], hole["next"], hole["problem"]) == (partition, first, behind, "missing")
    client.execute(f"DELETE FROM ledger WHERE partition = {partition} AND first_offset = {rows[-1][0]}")
    hole = judge()["offsets"][-1]
    assert (hole["next"], hole["problem"]) == (rows[-1][1], "unwritten")

    client.execute(f"DELETE FROM ledger WHERE partition = {partition} AND first_offset = {rows[0][0]}")
    hole = judge()["offsets"][0]
    assert (hole["partition"], hole["first"], hole["problem"]) == (partition, 0, "missing")
    client.execute(f"DELETE FROM ledger WHERE partition = {partition}")
    [hole] = judge()["offsets"]
    assert (hole["partition"], hole["first"], hole["next"]) == (partition, 0, rows[-1][1])

    client.execute(
        "INSERT INTO ledger (topic, partition, first_offset, next_offset, appended, frames, minutes) "
        f"VALUES ('of an earlier build', 0, 0, 9, now64(3), 9, [fromUnixTimestamp({LAST_HOUR // 1000})])"
    )
    found = judge("--since", "16d")
    assert found["rows"] == []
    reasons = {left_out["reason"] for left_out in found["left_out"]}
    assert reasons == {"older than the raw samples are kept", "stored in part by a version that kept no accounts"}
