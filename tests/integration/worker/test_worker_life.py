"""A worker on Apache Kafka: a crash commits nothing that was not acknowledged, and its exit code says so; it leaves
nothing in its working directory."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import KafkaProducer

from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from tests.support.eventually import eventually
from tests.support.patience import patient
from tests.support.topics import kafka_env

pytestmark = pytest.mark.servers

WORKER = """
import sys, threading, time
from fleetpulse import logs
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, load
from fleetpulse.topics import Topic
from stream_processors.deliveries import Deliveries
from stream_processors.worker import Worker

logs.set_up("probe")
metrics = SelfMetrics()
worker = Worker("probe", load(KafkaSettings), Topic.METRICS, metrics)

@worker.app.agent(worker.topic, concurrency=1)
async def take(stream):
    deliveries = Deliveries(stream)
    async for events in deliveries.take(10, within=0.1):
        for message in worker.inbox.take(events):
            print("got", message.value.decode(), flush=True)
            if message.value == b"die" and sys.argv[1] == "mortal":
                raise RuntimeError("cannot go on")
            await worker.inbox.acknowledge(deliveries, message.partition, message.offset + 1)

def gauges():
    return (int(metrics.get(f"fleetpulse_consumer_{name}")) for name in ("assigned_partitions", "lag_messages"))

def tell():
    while True:
        print("gauges", *gauges(), flush=True)
        time.sleep(0.2)

async def drain():
    print("drained", *gauges(), flush=True)

threading.Thread(target=tell, daemon=True).start()
sys.exit(worker.run(drain))
"""


def start(mode: str, topics: KafkaSettings, log: Path, working: Path) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLEETPULSE_")}
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", WORKER, mode],
            env=inherited | kafka_env(topics),
            cwd=working,
            stdout=out,
            stderr=out,
        )


def test_a_crash_loses_nothing_and_a_signal_drains(topics: KafkaSettings, tmp_path: Path) -> None:
    producer = KafkaProducer(bootstrap_servers=topics.bootstrap_servers)
    for value in (b"one", b"die", b"two"):
        producer.send(Topic.METRICS.named(topics.topic_prefix), value=value, partition=1)
    producer.close()
    mortal, immortal = tmp_path / "mortal.log", tmp_path / "immortal.log"
    working = tmp_path / "read-only"
    working.mkdir(0o555)
    child = start("mortal", topics, mortal, working)
    try:
        assert child.wait(patient(60)) == 1, mortal.read_text()
    finally:
        child.kill()
    assert "cannot go on" in mortal.read_text()
    assert "got two" not in mortal.read_text()
    child = start("immortal", topics, immortal, working)
    try:
        eventually(lambda: "got two" in immortal.read_text(), 60)
        assert "got die" in immortal.read_text()
        eventually(lambda: "gauges 4 0\n" in immortal.read_text(), 60)
        child.send_signal(signal.SIGTERM)
        assert child.wait(patient(10)) == 0
        assert "drained 4 0" in immortal.read_text()
        assert list(working.iterdir()) == []
    finally:
        child.kill()
