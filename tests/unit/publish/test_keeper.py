"""The keeper on a real folder, with a Kafka that is said to be there: what the run before left comes back right."""

import threading
from pathlib import Path

import pytest

from fleetpulse.clock import SystemClock
from fleetpulse.partition import partition_of
from fleetpulse.publish.announce import Announcements
from fleetpulse.publish.backlog import Backlog
from fleetpulse.publish.claim import claim
from fleetpulse.publish.keeper import Keeper, Shared
from fleetpulse.publish.memo import FILE, read_memo
from fleetpulse.publish.parcel import Parcel
from fleetpulse.publish.record import encode_record
from fleetpulse.publish.spool import Spool
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import PublishSettings
from tests.support.eventually import eventually

MIB = 1024 * 1024


def start(folder: Path, partitions: int) -> tuple[Keeper, Backlog, threading.RLock]:
    """A keeper of ``folder/p``, whose Kafka takes what comes."""
    clock, lock = SystemClock(), threading.RLock()
    held = claim(PublishSettings(spool_dir=str(folder)), "p", several=False)
    keeper = Keeper(held, "t", 8 * MIB, 0.1, SelfMetrics(), clock)
    backlog = Backlog(8 * MIB, 4 * MIB)
    announcements = Announcements(keeper.origin, partitions, clock)
    keeper.start(Shared(lock, backlog, announcements, clock.monotonic, lambda: True, lambda: None))
    return keeper, backlog, lock


def test_frames_of_a_topic_with_more_partitions_go_to_those_that_there_are(tmp_path: Path) -> None:
    hosts = [f"web-{number}" for number in range(20)]
    (tmp_path / "p").mkdir()
    spool = Spool(tmp_path / "p", MIB)
    for seq, host in enumerate(hosts, 1):
        parcel = Parcel("00112233445566ff", seq, host, partition_of(host, 12), b"frame", 1)
        spool.append(parcel, encode_record(parcel))
    spool.close()
    keeper, backlog, lock = start(tmp_path, 4)
    try:
        eventually(lambda: len(backlog) == len(hosts))
        with lock:
            taken = [parcel for _ in hosts if (parcel := backlog.take(0.0))]
        assert [(one.key, one.partition) for one in taken] == [(host, partition_of(host, 4)) for host in hosts]
    finally:
        assert keeper.finish(10.0)


@pytest.mark.parametrize("damage", [b"", b'{"topic":"\xff\xfe"}', bytes(50)])
def test_a_memo_that_is_no_memo_is_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / FILE).write_bytes(damage)
    assert read_memo(tmp_path) is None
