"""`fleetpulse audit` on real servers: everything explained on a good day, and each kind of loss named."""

import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client

from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from fleetpulse.wire import Dropped
from stream_processors.audit.command import main
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.ingested import ingest_env
from tests.support.numbered import NumberedSender
from tests.support.running import running

pytestmark = pytest.mark.servers

HOUR_MS = 3_600_000
NOW_MS = time.time_ns() // 1_000_000
THIS_HOUR = NOW_MS // HOUR_MS * HOUR_MS
LAST_HOUR = THIS_HOUR - HOUR_MS
HOSTS = [f"h{number}" for number in range(6)]

Judge = Callable[..., dict[str, Any]]


@pytest.fixture
def sender(topics: KafkaSettings) -> Iterator[NumberedSender]:
    producer = NumberedSender(topics)
    yield producer
    producer.close()


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    client = connect(database.url)
    yield client
    client.disconnect()


@pytest.fixture
def env(topics: KafkaSettings, database: Database) -> dict[str, str]:
    return ingest_env(topics, database.url)


@pytest.fixture
def judge(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Run the command; its JSON, with the exit code."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> dict[str, Any]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = main(["--json", "--since", "3h", *arguments])
        return {**json.loads(out.getvalue()), "code": code}

    return run


def settled(judge: Judge) -> dict[str, Any]:
    """The audit once nothing waits any more."""

    def nothing_waits() -> dict[str, Any] | None:
        found = judge("--all")
        return found if not found["waiting_messages"] else None

    return eventually(nothing_waits, 60)


def send_hour(sender: NumberedSender, start_ms: int, ticks: int = 20) -> int:
    """Ticks of 10 s of all hosts from a time on; the number of samples."""
    for tick in range(ticks):
        for number, host in enumerate(HOSTS):
            sender.send(sender.block(host, start_ms + tick * 10_000, [float(tick), float(number), 7.0]))
    sender.flush()
    return ticks * len(HOSTS) * 3


def test_a_good_day_and_each_kind_of_loss(
    sender: NumberedSender, env: dict[str, str], judge: Judge, client: Client, tmp_path: Path
) -> None:
    with running("ingest", env, tmp_path):
        sent = send_hour(sender, LAST_HOUR) + send_hour(sender, THIS_HOUR - 60_000, 3)
        found = settled(judge)
        assert (found["explained"], found["code"]) == (True, 0), found
        assert found["totals"]["sent"] == found["totals"]["stored"] == sent
        assert len(found["rows"]) == len(HOSTS)

        # Late, shuffled, sent twice, another value for a time that has one, refused, dead, given up.
        sender.send(sender.block("h0", LAST_HOUR + 5_000, [1.0, 2.0, 3.0]))
        sender.send(
            sender.block("h1", [LAST_HOUR + second * 1000 for second in (9, 3, 7, 3)], [1.0, 2.0, 3.0, 4.0], "s")
        )
        sender.send(sender.block("h2", LAST_HOUR + 15_000, [1.0, 2.0]), times=3)
        sender.send(sender.block("h3", LAST_HOUR, [99.0, 98.0, 97.0]))
        sender.send(sender.block("h4", LAST_HOUR + 48 * HOUR_MS, [1.0, 2.0]))
        sender.send(sender.block("h5", LAST_HOUR + 25_000, [1.0, 2.0]), v=9)
        lost = sender.block("h5", LAST_HOUR + 35_000, [1.0, 2.0, 3.0, 4.0])
        sender.control("h5", Dropped("h5", LAST_HOUR, 4))
        assert lost.sent
        sender.send(sender.block("h5", LAST_HOUR + 45_000, [5.0]))
        sender.flush()
        found = settled(judge)
        assert (found["explained"], found["code"]) == (True, 0), found
        totals = found["totals"]
        assert {name: totals[name] for name in ("duplicate", "refused", "dead", "dropped", "pending")} == {
            "duplicate": 1 + 4 + 3, "refused": 2, "dead": 2, "dropped": 4, "pending": 0,
        }  # fmt: skip
        assert found["resent_samples"] == 4
        assert totals["sent"] == sent + 3 + 4 + 6 + 3 + 2 + 2 + 4 + 1

        # A number that never came: not yet given up, then its producer is closed.
        sender.block("h2", LAST_HOUR, [1.0] * 5)
        sender.send(sender.block("h2", LAST_HOUR + 55_000, [1.0]))
        sender.flush()
        found = settled(judge)
        assert (found["code"], found["totals"]["pending"]) == (0, 5), found
        sender.control("h2", closed=True)
        sender.flush()
        found = eventually(lambda: found if (found := settled(judge))["code"] == 1 else None, 30)
        [row] = [row for row in found["rows"] if row["unexplained"]]
        assert (row["host"], row["unexplained"]) == ("h2", 5)


def test_deleted_rows_are_told(
    sender: NumberedSender, env: dict[str, str], judge: Judge, client: Client, tmp_path: Path
) -> None:
    with running("ingest", env, tmp_path):
        send_hour(sender, LAST_HOUR, 5)
        assert settled(judge)["code"] == 0
        send_hour(sender, LAST_HOUR + 600_000, 5)
        assert settled(judge)["code"] == 0
    ids = "SELECT id FROM registered_series WHERE host = 'h3'"
    client.execute(f"DELETE FROM samples WHERE id = (SELECT min(id) FROM ({ids})) AND timestamp < now() - 60")
    found = judge()
    [row] = found["rows"]
    assert (found["code"], row["host"], row["unexplained"]) == (1, "h3", 10), found
    assert judge("--host", "h3")["code"] == 1
    assert judge("--host", "h1")["code"] == 0
