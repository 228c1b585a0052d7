"""The keeper on a real folder, with a Kafka that is said to be there: what the run before left comes back right."""

import shutil
import threading
from pathlib import Path

import pytest

from fleetpulse.clock import SystemClock
from fleetpulse.partition import partition_of
from fleetpulse.publish.announce import Announcements
from fleetpulse.publish.backlog import Backlog
from fleetpulse.publish.claim import claim
from fleetpulse.publish.keeper import Keeper, Shared
from fleetpulse.publish.memo import FILE, read_memo, write_memo
from fleetpulse.publish.parcel import Parcel
from fleetpulse.publish.record import encode_record
from fleetpulse.publish.spool import Spool
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import PublishSettings
from fleetpulse.wire import VERSION, Frame, encode_frame, make_block
from tests.support.eventually import eventually

MIB = 1024 * 1024


def start(
    folder: Path, partitions: int, there: bool = True, budget: int = 8 * MIB
) -> tuple[Keeper, Backlog, threading.RLock]:
    """A keeper of ``folder/p``, whose Kafka takes what comes, or is not there."""
    clock, lock = SystemClock(), threading.RLock()
    held = claim(PublishSettings(spool_dir=str(folder)), "p", several=False)
    keeper = Keeper(held, "t", budget, 0.1, SelfMetrics(), clock)
    backlog = Backlog(8 * MIB, 4 * MIB)
    announcements = Announcements(keeper.origin, partitions, clock)
    took_at = clock.monotonic if there else lambda: float("-inf")
    keeper.start(Shared(lock, backlog, announcements, took_at, lambda: there, lambda: None))
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
            taken = [one for one in (backlog.take(0.0) for _ in hosts) if one]
        assert [(one.key, one.partition) for one in taken] == [(host, partition_of(host, 4)) for host in hosts]
    finally:
        assert keeper.finish(10.0)


def test_a_kill_while_the_oldest_segment_goes_loses_nothing_that_may_have_arrived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, killed = tmp_path / "p", tmp_path / "killed"
    folder.mkdir()
    spool = Spool(folder, MIB)
    frame = encode_frame(Frame(VERSION, 0, [make_block("web", {}, b"m", 0, [0.0])]))

    def parcel(seq: int, seen: bool) -> Parcel:
        return Parcel("00112233445566ff", seq, "web", 0, frame, 1, seen=seen)

    seqs = range(1, 4001)
    for seq in seqs:
        one = parcel(seq, seen=seq % 2 == 0)
        spool.append(one, encode_record(one))
    spool.close()

    def write_and_copy(into: Path, memo: bytes) -> None:
        write_memo(into, memo)
        if b'"dropped_through":0' not in memo and not killed.exists():
            shutil.copytree(into, killed)  # what is there when the process is killed now

    monkeypatch.setattr("fleetpulse.publish.keeper.write_memo", write_and_copy)
    keeper, backlog, lock = start(tmp_path, 4, there=False, budget=spool.bytes)
    with lock:
        backlog.add(parcel(5000, seen=False))
    eventually(killed.exists)
    assert keeper.finish(10.0)
    memo = read_memo(killed)
    assert memo
    left = Spool(killed, MIB, memo.dropped_through + 1)
    kept = {record.parcel.seq for record in left.read(MIB)} - {5000}
    left.close()
    assert memo.dropped_through == 1
    assert {seq for seq in seqs if seq % 2 == 0} <= kept
    assert len(kept) + sum(samples for *_, samples in memo.losses) == len(seqs)


@pytest.mark.parametrize("damage", [b"", b'{"topic":"\xff\xfe"}', bytes(50)])
def test_a_memo_that_is_no_memo_is_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / FILE).write_bytes(damage)
    assert read_memo(tmp_path) is None
