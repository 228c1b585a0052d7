"""A publisher whose spool lies on a small file system, or on none that can be written: nothing is lost uncounted."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetpulse.publish.memo import read_memo
from fleetpulse.publish.publisher import Publisher
from fleetpulse.publish.spool import Spool
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings
from fleetpulse.wire import Block, make_block
from infra.embedded.ports import free_port
from tests.support.eventually import eventually

SAMPLES = 200
MIB = 1024 * 1024


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    """A Kafka that nobody started, and a client that does not ask for it long."""
    monkeypatch.setattr("fleetpulse.publish.client.OPEN_TIMEOUT_MS", 500)
    return KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}", partitions=4)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def block(tick: int) -> Block:
    keys = b"\n".join(b"metric_%d" % n for n in range(SAMPLES))
    return make_block("web-1", {}, keys, tick, [float(tick)] * SAMPLES)


def count(metrics: SelfMetrics, name: str) -> int:
    return int(metrics.get(f"fleetpulse_publish_{name}_samples_total"))


def in_spool(folder: Path) -> int:
    """Samples in a folder that nobody uses."""
    memo = read_memo(folder)
    assert memo
    spool = Spool(folder, 1 << 30, memo.dropped_through + 1)
    total = 0
    while found := spool.read(MIB):
        total += sum(record.parcel.samples for record in found)
    spool.close()
    return total


def losses_in(folder: Path) -> int:
    memo = read_memo(folder)
    assert memo
    return sum(samples for *_, samples in memo.losses)


@pytest.mark.root
def test_a_full_file_system_keeps_the_newest_and_counts_the_rest(
    small: Path, absent: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = SelfMetrics()
    settings = PublishSettings(spool_dir=str(small), spool_after_seconds=0.1, buffer_bytes=4 * MIB)
    publisher = Publisher(absent, settings, metrics, process="p")
    sent = 0
    while count(metrics, "dropped") < 50 * SAMPLES:
        assert publisher.send([block(sent)])
        sent += 1
        if sent % 50 == 0:
            eventually(lambda: publisher.memory_bytes < MIB)
    assert publisher.close(1.0) is False
    folder = small / "p"
    assert count(metrics, "failed") == 0
    assert sent * SAMPLES == in_spool(folder) + count(metrics, "dropped")
    assert losses_in(folder) == count(metrics, "dropped")
    assert shutil.disk_usage(small).free > 0
    assert sum("the spool is full" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.root
def test_a_file_system_that_others_fill_is_said_once_and_frames_wait_in_memory(
    small: Path, absent: KafkaSettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetpulse.publish.keeper.RETRY_SECONDS", 0.2)
    caplog.set_level(logging.INFO, "fleetpulse")
    metrics = SelfMetrics()
    settings = PublishSettings(spool_dir=str(small), spool_after_seconds=0.1, buffer_bytes=4 * MIB)
    publisher = Publisher(absent, settings, metrics, process="p")
    (small / "others").write_bytes(bytes(shutil.disk_usage(small).free))

    def errors() -> int:
        return sum("the spool cannot be used" in record.getMessage() for record in caplog.records)

    for tick in range(20):
        assert publisher.send([block(tick)])
    eventually(errors)
    assert publisher.memory_bytes > 0
    (small / "others").unlink()
    eventually(lambda: publisher.memory_bytes == 0)
    assert errors() == 1
    eventually(lambda: any("can be written again" in record.getMessage() for record in caplog.records))
    assert publisher.close(1.0) is False
    assert count(metrics, "dropped") == count(metrics, "failed") == 0
    assert in_spool(small / "p") == 20 * SAMPLES


def test_a_folder_that_vanishes_costs_what_is_counted(
    tmp_path: Path, absent: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = SelfMetrics()
    settings = PublishSettings(spool_dir=str(tmp_path / "spool"), spool_after_seconds=0.1)
    publisher = Publisher(absent, settings, metrics, process="p")
    shutil.rmtree(tmp_path / "spool")
    for tick in range(5):
        assert publisher.send([block(tick)])
    eventually(lambda: any(record.levelno == logging.ERROR for record in caplog.records))
    assert publisher.memory_bytes > 0
    assert publisher.close(1.0) is False
    assert count(metrics, "failed") == 5 * SAMPLES


def test_a_frame_that_is_larger_than_the_spool_waits_in_memory(tmp_path: Path, absent: KafkaSettings) -> None:
    metrics = SelfMetrics()
    settings = PublishSettings(spool_dir=str(tmp_path), spool_after_seconds=0.1, spool_bytes=1000)
    publisher = Publisher(absent, settings, metrics, process="p")
    publisher.send([block(1)])
    assert publisher.close(1.0) is False
    assert count(metrics, "failed") == SAMPLES
    assert losses_in(tmp_path / "p") == SAMPLES  # the next run publishes them


def test_a_killed_run_leaves_its_id_to_be_closed_and_a_clean_one_is_continued(
    tmp_path: Path, absent: KafkaSettings
) -> None:
    settings = PublishSettings(spool_dir=str(tmp_path), spool_after_seconds=0.05)
    code = (
        "import os, sys\n"
        "from tests.unit.publish.test_full_disk import block\n"
        "from fleetpulse.publish.publisher import Publisher\n"
        "from fleetpulse.selfmetrics import SelfMetrics\n"
        "from fleetpulse.settings import KafkaSettings, PublishSettings\n"
        "import time\n"
        f"kafka = KafkaSettings(bootstrap_servers={absent.bootstrap_servers!r}, partitions=4)\n"
        f"publisher = Publisher(kafka, {settings!r}, SelfMetrics(), process='p')\n"
        "publisher.send([block(1)])\n"
        "while publisher.memory_bytes: time.sleep(0.01)\n"
        "time.sleep(0.1)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=os.getcwd(), check=False).returncode == -9
    killed = read_memo(tmp_path / "p")
    assert killed
    assert (killed.clean, killed.key, in_spool(tmp_path / "p")) == (False, "web-1", SAMPLES)
    second = Publisher(absent, settings, SelfMetrics(), process="p")
    second.send([block(2)])
    second.close(0.5)
    memo = read_memo(tmp_path / "p")
    assert memo
    assert (memo.clean, memo.seq, memo.sent) == (True, 1, {"web-1": SAMPLES})
    assert memo.producer == second.producer_id != killed.producer
    assert list(memo.ended) == [killed.producer]
    third = Publisher(absent, settings, SelfMetrics(), process="p")
    third.send([block(3)])
    third.close(0.5)
    memo = read_memo(tmp_path / "p")
    assert memo
    assert (third.producer_id, memo.seq, memo.sent) == (second.producer_id, 2, {"web-1": 2 * SAMPLES})
    assert in_spool(tmp_path / "p") == 3 * SAMPLES
