"""Workers on Apache Kafka whose consumer throws away what it fetched: every message that Kafka has still comes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from fleetpulse.frames import columns_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from fleetpulse.topics import Topic
from fleetpulse.wire import VERSION, Frame, Header, decode_frame, encode_frame
from infra.embedded.ports import free_port
from tests.support.alerting import messages_of
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.frames import FrameSender
from tests.support.ingested import ingest_env
from tests.support.topics import kafka_env

pytestmark = pytest.mark.servers

PROBE = """
import sys
from fleetpulse import logs
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, load
from fleetpulse.topics import Topic
from stream_processors.deliveries import Deliveries
from stream_processors.worker import Worker

logs.set_up("probe")
worker = Worker("probe", load(KafkaSettings), Topic.METRICS, SelfMetrics())

@worker.app.agent(worker.topic, concurrency=1)
async def take(stream):
    deliveries = Deliveries(stream)
    async for events in deliveries.take(10, within=0.1):
        for message in worker.inbox.take(events):
            print("got", message.value.decode(), flush=True)

@worker.app.task
async def obey():
    loop, consumer = worker.app.loop, worker.app.consumer
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await consumer.not_waiting_next_records.wait()
        getattr(consumer, line.strip())()
        print("done", line.strip(), flush=True)

sys.exit(worker.run())
"""
LOSING = """
import sys
from pathlib import Path
from fleetpulse.cli import main
from stream_processors import transport

fetch = transport._Consumer._wait_next_records

async def lose(self, timeout):
    records, active = await fetch(self, timeout)
    if Path("lose").exists():
        for tp, lost in (records or {}).items():
            print("lost", *(f"{tp.partition}/{record.offset}." for record in lost), flush=True)
        return None, None
    return records, active

transport._Consumer._wait_next_records = lose
sys.exit(main(sys.argv[1:]))
"""


@contextmanager
def started(
    script: str, argument: str, env: Mapping[str, str], folder: Path
) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    log = folder / f"{argument}.log"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLEETPULSE_")}
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", script, argument],
            env={**inherited, "FLEETPULSE_DATA_DIR": str(folder / "data"), **env},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            text=True,
        )
    try:
        eventually(lambda: "msg=assigned" in log.read_text(), 60)
        yield child, log
    except BaseException:
        print(log.read_text()[-8000:])
        raise
    finally:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()


class Losing:
    """Of one host's messages: sends them, and lets the worker lose those that it fetches now."""

    def __init__(self, topics: KafkaSettings, folder: Path, log: Path) -> None:
        self.sender = FrameSender(topics)
        self.partition = self.sender.partition_of("h1")
        self._topics, self._log, self._file = topics, log, folder / "lose"
        self.first_ms = time.time_ns() // 1_000_000

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self.sender.send(self.sender.block("h1", self.first_ms + 1000 * number, {"test_value": float(number)}))
        self.sender.flush()

    def lose(self, *numbers: int) -> None:
        """Send these; the worker's consumer throws them away."""
        self._file.touch()
        self.send(*numbers)
        end = len(self.offsets())
        eventually(lambda: f"{self.partition}/{end - 1}." in self._log.read_text(), 60)

    def stop_losing(self) -> None:
        self._file.unlink()

    def offsets(self) -> list[int]:
        """Of all messages of the host's partition."""
        found = messages_of(self._topics, Topic.METRICS)
        return list(range(max(one.offset for one in found if one.partition == self.partition) + 1))

    def delete_before(self, offset: int) -> None:
        tp = TopicPartition(Topic.METRICS.named(self._topics.topic_prefix), self.partition)
        with KafkaAdminClient(bootstrap_servers=self._topics.bootstrap_servers) as admin:
            admin.delete_records({tp: offset})


@contextmanager
def losing(process: str, topics: KafkaSettings, env: Mapping[str, str], folder: Path) -> Iterator[tuple[Losing, Path]]:
    with started(LOSING, process, env, folder) as (_, log):
        feed = Losing(topics, folder, log)
        yield feed, log
        feed.sender.close()


def test_what_a_fetch_brought_while_the_flow_stood_still_comes_again(topics: KafkaSettings, tmp_path: Path) -> None:
    """As in a rebalance: a fetch that waits for it is answered before the flow goes on, and Faust drops the answer."""
    producer = KafkaProducer(bootstrap_servers=topics.bootstrap_servers)

    def send(value: str) -> None:
        producer.send(Topic.METRICS.named(topics.topic_prefix), value=value.encode(), partition=1).get(30)

    with started(PROBE, "probe", kafka_env(topics), tmp_path) as (child, log):

        def tell(command: str) -> None:
            assert child.stdin is not None
            child.stdin.write(f"{command}\n")
            child.stdin.flush()
            eventually(lambda: f"done {command}" in log.read_text(), 60)

        time.sleep(2)  # nothing was ever committed, and a fetch is under way
        tell("stop_flow")
        send("one")
        time.sleep(1.5)
        tell("resume_flow")
        send("two")
        eventually(lambda: "got two" in log.read_text(), 60)
        got = [line for line in log.read_text().splitlines() if line.startswith("got")]
    producer.close()
    assert got == ["got one", "got two"]


@pytest.mark.parametrize("deleted", [0, 2])
def test_ingest_reads_a_gap_again_and_counts_what_is_deleted(
    topics: KafkaSettings, database: Database, tmp_path: Path, deleted: int
) -> None:
    port, client = free_port(), connect(database.url)
    env = ingest_env(topics, database.url) | {"FLEETPULSE_SELF_PORT": str(port)}

    def stored() -> list[float]:
        return [value for (value,) in client.execute("SELECT value FROM metrics ORDER BY value")]

    def missing() -> int:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
        lines = [line for line in text.splitlines() if line.startswith("fleetpulse_ingest_missing_messages_total")]
        return sum(int(float(line.split()[-1])) for line in lines)

    with losing("ingest", topics, env, tmp_path) as (feed, log):
        feed.send(0, 1)
        eventually(lambda: stored() == [0, 1], 60)
        feed.lose(2, 3)
        if deleted:
            feed.delete_before(2 + deleted)
        feed.stop_losing()
        feed.send(4)
        eventually(lambda: stored() == [0, 1, *range(2 + deleted, 5)], 60)
        assert missing() == deleted
        assert log.read_text().count("reading again") == 1
        feed.send(5)
        eventually(lambda: stored()[-1] == 5, 60)
        committed = topics.topic_prefix + ".ingest"
        with KafkaAdminClient(bootstrap_servers=topics.bootstrap_servers) as admin:
            eventually(lambda: offset_of(admin, committed, feed.partition) == 6, 60)
        assert log.read_text().count("reading again") == 1
    client.disconnect()


def test_what_ingest_holds_is_stored_when_kafka_deletes_what_is_behind_it(
    topics: KafkaSettings, database: Database, tmp_path: Path
) -> None:
    client = connect(database.url)
    env = ingest_env(topics, database.url) | {"FLEETPULSE_INGEST_FLUSH_SECONDS": "6"}

    def stored() -> list[float]:
        return [value for (value,) in client.execute("SELECT value FROM metrics ORDER BY value")]

    with losing("ingest", topics, env, tmp_path) as (feed, _):
        feed.send(0, 1)
        eventually(lambda: stored() == [0, 1], 60)
        feed.send(2, 3)
        time.sleep(1)  # taken, and not stored for some seconds more
        feed.lose(4, 5)
        feed.delete_before(6)
        feed.stop_losing()
        feed.send(6)
        eventually(lambda: stored() == [0, 1, 2, 3, 6], 60)
    client.disconnect()


def test_holes_that_transactions_leave_stop_nobody(topics: KafkaSettings, database: Database, tmp_path: Path) -> None:
    client, sender = connect(database.url), FrameSender(topics)
    name, partition = Topic.METRICS.named(topics.topic_prefix), sender.partition_of("h1")
    identity = f"other-{topics.topic_prefix}"
    producer = KafkaProducer(bootstrap_servers=topics.bootstrap_servers, transactional_id=identity)
    producer.init_transactions()
    first_ms = time.time_ns() // 1_000_000
    with started("import sys\nfrom fleetpulse.cli import main\nsys.exit(main(sys.argv[1:]))", "ingest",
                 ingest_env(topics, database.url), tmp_path):  # fmt: skip
        for number in range(8):
            block = sender.block("h1", first_ms + 1000 * number, {"test_value": float(number)})
            headers = [(Header.PRODUCER, b"00000000000000aa"), (Header.SEQ, str(number + 1).encode())]
            producer.begin_transaction()
            frame = encode_frame(Frame(VERSION, 0, [block]))
            producer.send(name, frame, b"h1", [*headers, (Header.SAMPLES, b"1")], partition)
            producer.commit_transaction()
        query = "SELECT value FROM metrics ORDER BY value"
        eventually(lambda: [value for (value,) in client.execute(query)] == list(range(8)), 60)
    producer.close()
    sender.close()
    client.disconnect()


def offset_of(admin: KafkaAdminClient, group: str, partition: int) -> int:
    """The group's committed offset of a partition, -1 when it has none."""
    offsets = admin.list_group_offsets(group)
    return next((found.offset for tp, found in offsets[group].items() if tp.partition == partition), -1)


RULES = """
groups:
  - name: test
    rules:
      - record: host:test_value:doubled
        expr: test_value * 2
"""


def test_the_rules_worker_reads_a_gap_again(topics: KafkaSettings, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    env = {
        **kafka_env(topics),
        "FLEETPULSE_RULES_FILES": str(tmp_path / "rules.yaml"),
        "FLEETPULSE_SELF_INTERVAL_SECONDS": "0",
        "FLEETPULSE_CLICKHOUSE_URL": "clickhouse://127.0.0.1:1/x",
    }

    def recorded() -> list[float]:
        derived = [m for m in messages_of(topics, Topic.METRICS) if ("fp-derived", b"1") in m.headers]
        blocks = [block for message in derived for block in decode_frame(message.value).blocks]
        return sorted(value for block in blocks for value in columns_of(block).value.tolist())

    with losing("rules", topics, env, tmp_path) as (feed, log):
        feed.send(0, 1)
        eventually(lambda: recorded() == [0, 2], 60)
        feed.lose(2, 3)
        feed.stop_losing()
        feed.send(4)
        eventually(lambda: recorded() == [0, 2, 4, 6, 8], 60)
        assert "reading again" in log.read_text()
        assert "messages are gone" not in log.read_text()
