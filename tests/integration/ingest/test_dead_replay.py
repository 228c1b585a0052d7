"""`fleetpulse dead show` and `dead replay` on Apache Kafka: what died arrives, once, and what cannot is refused."""

import asyncio
import base64
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client

from fleetpulse import cli
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from fleetpulse.topics import Topic
from fleetpulse.wire import Frame, Header, encode_frame
from stream_processors.dead import DeadLetters, Letter
from stream_processors.inbox import Message
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.frames import PRODUCER, FrameSender
from tests.support.ingested import ingest_env
from tests.support.metrics_topic import read_all
from tests.support.patience import patient
from tests.support.running import running
from tests.support.topics import kafka_env

pytestmark = pytest.mark.servers


@pytest.fixture
def sender(topics: KafkaSettings) -> Iterator[FrameSender]:
    frames = FrameSender(topics)
    yield frames
    frames.close()


@contextmanager
def asking(database: Database) -> Iterator[Client]:
    client = connect(database.url)
    yield client
    client.disconnect()


class Command:
    """`fleetpulse NAME …` in this process: what it prints, and its exit code in `code`."""

    def __init__(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._name = name
        self._capsys = capsys
        self.code = 0
        self.errors = ""

    def __call__(self, *arguments: str) -> str:
        self._capsys.readouterr()
        self.code = cli.main([self._name, *arguments])
        output, self.errors = self._capsys.readouterr()
        return output

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def dead(topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    for name, value in kafka_env(topics).items():
        monkeypatch.setenv(name, value)
    return Command("dead", capsys)


@pytest.fixture
def audit(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command("audit", capsys)


def balance(audit: Command) -> dict[str, Any]:
    found = audit.json()
    totals = found["totals"]
    return {name: totals[name] for name in ("stored", "dead", "pending")} | {"explained": found["explained"]}


def test_what_died_in_a_wrong_partition_arrives_once_and_garbage_is_refused(
    topics: KafkaSettings,
    database: Database,
    sender: FrameSender,
    dead: Command,
    audit: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_ms = time.time_ns() // 1_000_000
    right = sender.partition_of("h1")
    wrong = (right + 1) % 4
    assert dead("list") == "there are no dead letters\n"
    sender.send(sender.block("h1", now_ms, {"a": 1.0, "b": 2.0}), partition=wrong)
    sender.send_raw(b"\x1b[2Jgarbage", "k", right, [(Header.PRODUCER, b"p")])
    sender.flush()
    with running("ingest", ingest_env(topics, database.url), tmp_path), asking(database) as client:
        eventually(lambda: len(dead("list").splitlines()) == 2)

        def stored() -> list[tuple[str, float]]:
            return list(client.execute("SELECT metric, value FROM metrics ORDER BY metric"))

        shown = dead.json("show", f"{wrong}/0")
        assert (shown["reason"], shown["headers"][Header.PRODUCER]) == ("wrong_partition", PRODUCER)
        [block] = shown["frame"]["blocks"]
        assert (block["host"], block["host_partition"]) == ("h1", right)
        assert [(sample["series"], sample["value"]) for sample in block["samples"]] == [("a", "1.0"), ("b", "2.0")]
        garbage = dead.json("show", f"{right}/0")
        assert base64.b64decode(garbage["value"]) == b"\x1b[2Jgarbage"
        assert (garbage["frame"], garbage["reason"]) == (None, "undecodable")
        assert "1b 5b 32 4a" in dead("show", str(garbage["number"]))

        plan = dead.json("replay", "--reason", "wrong_partition", "--dry-run")
        [letter] = plan["letters"]
        assert letter["parts"] == [{"partition": right, "hosts": ["h1"], "samples": 2, "offset": None}]
        assert stored() == []
        for offset in (1, 2):  # the second time changes nothing
            [letter] = dead.json("replay", f"{wrong}/0")["letters"]
            assert letter["parts"] == [{"partition": right, "hosts": ["h1"], "samples": 2, "offset": offset}]
        eventually(lambda: stored() == [("a", 1.0), ("b", 2.0)])
        output = dead("replay", str(garbage["number"]), f"{wrong}/0")
        assert dead.code == 1
        assert "not sent: not a frame" in output
        assert output.endswith("1 of 2 letters sent again, 2 samples\n")

        replayed = "SELECT arraySort(groupUniqArrayArray(`replayed.producer`)) FROM ledger"
        eventually(lambda: client.execute(replayed) == [([PRODUCER],)])
        eventually(lambda: client.execute("SELECT sum(frames) FROM ledger") == [(5,)])
        assert stored() == [("a", 1.0), ("b", 2.0)]
        assert client.execute("SELECT sum(dead) FROM ledger") == [(2,)]
        monkeypatch.setenv("FLEETPULSE_CLICKHOUSE_URL", database.url)
        eventually(lambda: balance(audit) == {"stored": 2, "dead": 0, "pending": 0, "explained": True})
        dead("show", "3/99")
        assert (dead.code, "there is no dead letter 3/99" in dead.errors) == (2, True)
        dead("replay")
        assert (dead.code, "--reason" in dead.errors) == (2, True)


def write(topics: KafkaSettings, *letters: Letter) -> None:
    async def send() -> None:
        writer = DeadLetters(topics, SelfMetrics())
        try:
            await asyncio.wait_for(writer.send(letters), patient(30))
        finally:
            await writer.close()

    asyncio.run(send())


def test_a_frame_that_died_of_a_clash_is_split_by_host_and_one_that_was_cut_is_refused(
    topics: KafkaSettings, sender: FrameSender, dead: Command
) -> None:
    """The letters as ingest writes them; that of a clash is of a frame whose hosts were of two partitions since."""
    now_ms = time.time_ns() // 1_000_000
    hosts = ["h1", next(f"x{n}" for n in range(99) if sender.partition_of(f"x{n}") != sender.partition_of("h1"))]
    blocks = [sender.block(host, now_ms, {"a": 1.0}) for host in hosts]
    headers = [("fp-producer", b"p"), ("fp-seq", b"7"), ("fp-samples", b"2"), ("other", b"7")]
    name = Topic.METRICS.named(topics.topic_prefix)
    clash = Message(name, 0, 5, now_ms, None, encode_frame(Frame(1, now_ms, blocks)), headers)
    large = Message(name, 0, 6, now_ms, None, os.urandom(10_000_000), headers)
    write(topics, Letter(clash, "id_collision", "two series"), Letter(clash, "id_collision", "again, after a crash"))
    write(topics, Letter(large, "undecodable", "not a frame"))

    output = dead("replay", "--reason", "id_collision", "0/6")
    assert (dead.code, dead.errors) == (1, "")
    assert "0/6 not sent: only 524288 of its 10000000 bytes are kept" in output
    assert output.endswith("1 of 2 letters sent again, 2 samples\n")
    messages = {message.key: message for message in read_all(topics)}
    assert {key: message.partition for key, message in messages.items()} == {h: sender.partition_of(h) for h in hosts}
    for host, block in zip(hosts, blocks, strict=True):
        assert messages[host].frame.blocks == [block]
    assert dead.json("show", "0/5")["detail"] == "again, after a crash"
