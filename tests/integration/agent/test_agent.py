"""`fleetpulse agent` and `fleetpulse simulate` as processes: what arrives, and what they do without Kafka."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest

from fleetpulse.metric import parse_key
from fleetpulse.partition import partition_of
from fleetpulse.settings import KafkaSettings
from fleetpulse.wire import Block, Header, samples_in
from infra.embedded.guard import Guard
from infra.embedded.ports import free_port
from tests.support.eventually import eventually
from tests.support.metrics_topic import read_all
from tests.support.patience import patient
from tests.support.running import Running, running
from tests.support.topics import kafka_env

pytestmark = pytest.mark.servers


def agent_env(kafka: KafkaSettings, **more: str) -> dict[str, str]:
    settings = {"AGENT_INSTANCE": "web-1:9100", "AGENT_INTERVAL_SECONDS": "1", **more}
    return kafka_env(kafka) | {f"FLEETPULSE_{name}": value for name, value in settings.items()}


def blocks_of(kafka: KafkaSettings, host: str) -> list[Block]:
    return [block for message in read_all(kafka) for block in message.frame.blocks if block.host == host]


def at_least(count: int, kafka: KafkaSettings) -> list[Block]:
    """The agent's blocks once there are so many."""

    def enough() -> list[Block]:
        found = blocks_of(kafka, "web-1")
        return found if len(found) >= count else []

    return eventually(enough, timeout=40.0)


def own_url(process: Running) -> str:
    """The address of the process's own metrics, from its log."""

    def found() -> str:
        _, found, rest = process.log().partition("url=http://")
        return f"http://{rest.split('/metrics')[0]}" if found else ""

    return eventually(found)


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=patient(20)) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_ticks_arrive_aligned_counted_and_labelled(topics: KafkaSettings, tmp_path: Path) -> None:
    with running("agent", agent_env(topics), tmp_path) as agent:
        blocks = at_least(3, topics)
        status, exposition = get(f"{own_url(agent)}/metrics")
        assert (status, json.loads(get(f"{own_url(agent)}/health/live")[1])) == (200, {"live": True})
        assert get(f"{own_url(agent)}/health/ready")[0] == 200
        assert get(f"{own_url(agent)}/other")[0] == 404
        assert agent.stop(within=10.0) == 0
    assert "fleetpulse_agent_ticks_total" in exposition
    assert "fleetpulse_process_resident_memory_bytes" in exposition
    assert "fleetpulse_publish_failed_samples_total" not in exposition
    stamps = [block.ts for block in blocks if isinstance(block.ts, int)]
    assert len(stamps) == len(blocks)
    assert all(ts % 1000 == 0 for ts in stamps)
    assert stamps == sorted(set(stamps))
    for block in blocks:
        assert block.common == {"instance": "web-1:9100", "job": "node"}
        names = {parse_key(key)[0] for key in block.series.decode().split("\n")}
        assert {"up", "node_boot_time_seconds", "node_cpu_seconds_total", "node_filesystem_avail_bytes"} <= names
    total = 0
    for block in blocks_of(topics, "web-1"):
        total += samples_in(block)
        assert block.sent == total
    messages = read_all(topics)
    assert {m.partition for m in messages if m.key == "web-1"} == {partition_of("web-1", topics.partitions)}
    assert [m for m in messages if m.frame.control] == []  # the next run goes on under the same id
    sequence = sorted(int(message.headers[Header.SEQ]) for message in messages)
    assert sequence == list(range(1, len(messages) + 1))


def test_own_metrics_are_published_as_series_of_this_machine(topics: KafkaSettings, tmp_path: Path) -> None:
    import socket

    with running("agent", agent_env(topics, SELF_INTERVAL_SECONDS="1"), tmp_path):
        own = eventually(lambda: blocks_of(topics, socket.gethostname()), timeout=30.0)
    host = socket.gethostname()
    assert own[0].common == {"host": host, "instance": f"{host}/agent", "job": "fleetpulse"}
    assert "fleetpulse_process_resident_memory_bytes" in own[-1].series.decode()


def test_without_kafka_it_keeps_ticking_says_so_once_and_resumes(guard: Guard, tmp_path: Path) -> None:
    from tests.support.servers import start_kafka
    from tests.support.topics import fresh_topics

    server = start_kafka(tmp_path / "kafka", guard)
    try:
        kafka = fresh_topics(server.bootstrap_servers)
        server.server.stop()
        with running("agent", agent_env(kafka), tmp_path) as agent:
            eventually(lambda: "kafka unreachable" in agent.log(), timeout=40.0)
            status, body = get(f"{own_url(agent)}/health/ready")
            assert status == 503
            assert "Kafka is unreachable" in json.loads(body)["cause"]
            time.sleep(3.0)
            server.server.start()
            at_least(10, kafka)

            def whole() -> bool:  # what waited comes behind what is new; a busy machine may miss a tick, and says so
                stamps = sorted({block.ts for block in blocks_of(kafka, "web-1") if isinstance(block.ts, int)})
                return {b - a for a, b in pairwise(stamps)} == {1000} or "ticks missed" in agent.log()

            eventually(whole)
            assert agent.stop(within=10.0) == 0
        assert agent.log().count("kafka unreachable") == 1
        assert agent.log().count("kafka reached") == 1
    finally:
        server.server.stop()


def test_it_ends_in_time_while_kafka_is_away(tmp_path: Path) -> None:
    absent = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}", partitions=4)
    with running("agent", agent_env(absent), tmp_path) as agent:
        own_url(agent)
        time.sleep(2.0)
        start = time.monotonic()
        assert agent.stop(within=10.0) == 0
        assert time.monotonic() - start < patient(8.0)


def test_another_number_of_partitions_ends_it_with_a_sentence(topics: KafkaSettings, tmp_path: Path) -> None:
    env = agent_env(topics) | {"FLEETPULSE_KAFKA_PARTITIONS": "9"}
    with running("agent", env, tmp_path) as agent:
        assert agent.wait(within=40.0) == 2
        assert "has 4 partitions, FLEETPULSE_KAFKA_PARTITIONS is 9" in agent.log()


def command(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "fleetpulse", *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=patient(90),
        check=False,
    )


def test_once_prints_what_it_would_send_and_needs_no_kafka() -> None:
    result = command("agent", "--once", "--print", FLEETPULSE_AGENT_INSTANCE="web-1")
    assert (result.returncode, result.stderr) == (0, "")
    for line in result.stdout.splitlines():
        key, value, stamp = line.rsplit(" ", 2)
        _, labels = parse_key(key)
        assert (labels["instance"], labels["job"]) == ("web-1", "node")
        float(value)
        assert abs(int(stamp) / 1000 - time.time()) < 60
    assert 'up{instance="web-1",job="node"} 1.0 ' in result.stdout


def test_once_sends_one_tick(topics: KafkaSettings) -> None:
    result = command("agent", "--once", **agent_env(topics))
    assert result.returncode == 0, result.stderr
    assert len(blocks_of(topics, "web-1")) == 1


def test_a_simulation_arrives_whole_and_the_same_twice(topics: KafkaSettings, tmp_path: Path) -> None:
    fleet = "simulate --hosts 40 --metrics 50 --interval 10 --duration 60 --start 1800000000 --backfill 0"
    arguments = [*fleet.split(), "--as-fast-as-possible", "--incident", "host_silent:4:20"]
    for run in ("first", "second"):
        result = command(*arguments, **kafka_env(topics), FLEETPULSE_DATA_DIR=str(tmp_path / run))
        assert result.returncode == 0, result.stderr
        assert "11,200 samples" in result.stderr
    streams: dict[str, dict[object, object]] = {}
    for message in read_all(topics):
        stream = streams.setdefault(message.headers[Header.PRODUCER], {})
        stream |= {(block.host, block.ts): (block.series, block.value) for block in message.frame.blocks}
    first, second = streams.values()
    assert first == second
    assert len(first) == 36 * 6 + 4 * 2


@pytest.mark.parametrize(
    ("spool_bytes", "said"),
    [("0", "40 samples were lost"), ("1000000", "/spool/simulator and are sent by the next `fleetpulse simulate`")],
)
def test_a_simulation_without_kafka_says_what_became_of_it(spool_bytes: str, said: str, tmp_path: Path) -> None:
    absent = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}", partitions=4)
    env = kafka_env(absent) | {"FLEETPULSE_PUBLISH_SPOOL_BYTES": spool_bytes}
    arguments = ["--hosts", "2", "--metrics", "10", "--duration", "20", "--as-fast-as-possible"]
    with running("simulate", env, tmp_path, arguments) as simulate:
        metrics = f"{own_url(simulate)}/metrics"
        eventually(lambda: "fleetpulse_publish_samples_total 40.0" in get(metrics)[1])
        simulate.process.terminate()
        assert simulate.wait(within=10.0) == 1
    assert said in simulate.log()
    assert f"no Kafka answers at {absent.bootstrap_servers}" in simulate.log()
