"""The keeper on a real folder, with a Kafka that is said to be there: what the run before left comes back right."""

import errno
import os
import shutil
import threading
import time
from functools import partial
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
from fleetpulse.publish.record import HEAD_BYTES, body_bytes, encode_record
from fleetpulse.publish.spool import Spool
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import PublishSettings
from fleetpulse.wire import VERSION, Dropped, Frame, decode_frame, encode_frame, make_block
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


def test_a_frame_of_several_hosts_is_split_where_they_have_other_partitions_now(tmp_path: Path) -> None:
    hosts = [host for host in (f"web-{number}" for number in range(200)) if partition_of(host, 2) == 0][:12]
    (tmp_path / "p").mkdir()
    spool = Spool(tmp_path / "p", MIB)
    frame = Frame(VERSION, 7, [make_block(host, {}, b"m", number, [1.0]) for number, host in enumerate(hosts)])
    spool.append(
        parcel := Parcel("00112233445566ff", 5, hosts[0], 0, encode_frame(frame), len(hosts)), encode_record(parcel)
    )
    spool.close()
    keeper, backlog, lock = start(tmp_path, 4)
    try:
        eventually(lambda: len(backlog) == 2)
        with lock:
            parts = [one for one in (backlog.take(0.0) for _ in range(2)) if one]
        assert {part.partition for part in parts} == {0, 2}
        found = []
        for part in parts:
            blocks = decode_frame(part.value).blocks
            assert {partition_of(one.host, 4) for one in blocks} == {part.partition} == {partition_of(part.key, 4)}
            assert (part.seq, part.samples) == (5, len(blocks))
            found += [(one.host, one.ts) for one in blocks]
        assert sorted(found) == sorted((host, number) for number, host in enumerate(hosts))
        with lock:
            backlog.settle(parts[0])
        for _ in range(5):
            keeper.wake()
            time.sleep(0.1)
            assert list((tmp_path / "p").glob("*.seg")), "the other part is under way"
        with lock:
            backlog.settle(parts[1])
        eventually(lambda: not list((tmp_path / "p").glob("*.seg")))
    finally:
        assert keeper.finish(10.0)


def test_an_id_is_closed_only_once_its_last_frame_is_through(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    spool = Spool(tmp_path / "p", MIB)
    frame = encode_frame(Frame(VERSION, 0, [make_block("web", {}, b"m", 0, [0.0])]))
    spool.append(parcel := Parcel("00112233445566ff", 1, "web", 0, frame, 1), encode_record(parcel))
    spool.close()
    keeper, backlog, lock = start(tmp_path, 4)

    def taken() -> Parcel | None:
        with lock:
            return backlog.take(0.0)

    try:
        first = eventually(taken)
        assert first is not None
        with lock:  # as when its segment goes because the spool is full: it stays in memory alone
            backlog.keep(first)
            keeper._spool.drop_oldest()
        for _ in range(5):
            keeper.wake()
            time.sleep(0.1)
            assert taken() is None, "closed with a frame under way"
        with lock:
            backlog.settle(first)
        keeper.wake()
        last = eventually(taken)
        assert last is not None
        control = decode_frame(last.value).control
        assert control is not None
        assert control.closed
    finally:
        assert keeper.finish(10.0)


def test_a_segment_that_cannot_be_read_is_kept_aside_and_what_follows_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fleetpulse.publish.keeper.RETRY_SECONDS", 0.05)
    (tmp_path / "p").mkdir()
    spool = Spool(tmp_path / "p", MIB)
    frame = encode_frame(Frame(VERSION, 0, [make_block("web", {}, b"m", 0, [0.0])]))
    for seq in range(1, 6001):
        spool.append(parcel := Parcel("00112233445566ff", seq, "web", 0, frame, 1), encode_record(parcel))
    spool.close()
    segments = sorted((tmp_path / "p").glob("*.seg"))
    assert len(segments) > 1
    bad, pread = os.stat(segments[0]).st_ino, os.pread

    def fails(file: int, size: int, offset: int) -> bytes:
        if os.fstat(file).st_ino == bad:
            raise OSError(errno.EIO, "Input/output error")
        return pread(file, size, offset)

    monkeypatch.setattr(os, "pread", fails)
    keeper, backlog, lock = start(tmp_path, 4)
    found = {"read": 0, "dropped": 0}
    try:
        eventually(lambda: drain(backlog, lock, found) == 6000)
        assert found["dropped"] == whole_records(segments[0].with_suffix(".unreadable"))
        assert not segments[0].exists()
        told = [record for record in caplog.records if "cannot be read and is passed over" in record.getMessage()]
        assert len(told) == 1
        assert told[0].__dict__["fields"]["file"] == str(segments[0])
        assert told[0].__dict__["fields"]["samples"] == found["dropped"]
    finally:
        assert keeper.finish(10.0)


def holds(backlog: Backlog, count: int) -> bool:
    return len(backlog) >= count


def drain(backlog: Backlog, lock: threading.RLock, found: dict[str, int]) -> int:
    """Deliver what is there; how many samples came through or were said to be dropped so far."""
    with lock:
        while (parcel := backlog.take(0.0)) is not None:
            control = decode_frame(parcel.value).control
            found["dropped"] += sum(loss.samples for loss in control.dropped) if control else 0
            found["read"] += parcel.samples
            backlog.settle(parcel)
    return found["read"] + found["dropped"]


def whole_records(segment: Path) -> int:
    raw, at, count = segment.read_bytes(), 0, 0
    while at < len(raw):
        at += HEAD_BYTES + body_bytes(raw[at : at + HEAD_BYTES])
        count += 1
    return count


def test_a_full_spool_drops_an_oldest_segment_that_cannot_be_read_and_counts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetpulse.publish.keeper.RETRY_SECONDS", 0.05)
    (tmp_path / "p").mkdir()
    spool = Spool(tmp_path / "p", MIB)
    frame = encode_frame(Frame(VERSION, 0, [make_block("web", {}, b"m", 0, [0.0])]))

    def parcel(seq: int) -> Parcel:
        return Parcel("00112233445566ff", seq, "web", 0, frame, 1, seen=seq % 100 == 0)

    for seq in range(1, 6001):
        spool.append(one := parcel(seq), encode_record(one))
    spool.close()
    first = min((tmp_path / "p").glob("*.seg"))
    bad, pread = os.stat(first).st_ino, os.pread

    def fails(file: int, size: int, offset: int) -> bytes:
        if os.fstat(file).st_ino == bad:
            raise OSError(errno.EIO, "Input/output error")
        return pread(file, size, offset)

    inside = whole_records(first)
    monkeypatch.setattr(os, "pread", fails)
    keeper, backlog, lock = start(tmp_path, 4, there=False, budget=spool.bytes)
    try:
        with lock:
            assert backlog.add(parcel(6001)) == []
        eventually(lambda: not first.exists() and backlog.bytes == 0)
        memo = read_memo(tmp_path / "p")
        assert memo is not None
        assert sum(samples for *_, samples in memo.losses) == inside
    finally:
        assert keeper.finish(10.0)


def test_a_record_that_is_not_what_was_written_is_counted_once_over_a_restart(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    spool = Spool(tmp_path / "p", MIB)
    frame = encode_frame(Frame(VERSION, 0, [make_block("web", {}, b"m", 7_200_001, [0.0, 1.0])]))
    for seq in range(1, 4):
        spool.append(one := Parcel("00112233445566ff", seq, "web", 0, frame, 2), encode_record(one))
    spool.close()
    [segment] = (tmp_path / "p").glob("*.seg")
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 2] ^= 1
    segment.write_bytes(raw)
    for _ in range(2):
        keeper, backlog, _ = start(tmp_path, 4)
        try:
            eventually(partial(holds, backlog, 3))  # the two frames that are whole, and what is said of the other
            memo = read_memo(tmp_path / "p")
            assert memo is not None
            said = [decode_frame(control.value).control for control in memo.controls]
            losses = [loss for control in said if control for loss in control.dropped]
            assert losses == [Dropped("web", 7_200_000, 2)]
        finally:
            assert keeper.finish(10.0)


def test_what_was_given_up_is_written_down_before_a_later_frame_may_go(tmp_path: Path) -> None:
    clock, lock = SystemClock(), threading.RLock()
    keeper = Keeper(
        claim(PublishSettings(spool_dir=str(tmp_path)), "p", several=False), "t", MIB, 0.1, SelfMetrics(), clock
    )
    backlog, announcements = Backlog(8 * MIB, 4 * MIB), Announcements(keeper.origin, 4, clock)
    frame = encode_frame(Frame(VERSION, 0, [make_block("web", {}, b"m", 0, [0.0])]))
    announcements.count_loss(Parcel(keeper.origin.producer, 1, "web", 0, frame, 1))
    backlog.add(Parcel(keeper.origin.producer, 2, "web", 0, frame, 1, after=announcements.lost))
    assert backlog.take(0.0, keeper.written_lost) is None
    keeper.start(Shared(lock, backlog, announcements, clock.monotonic, lambda: False, lambda: None))
    try:
        eventually(lambda: keeper.written_lost == 1)
        memo = read_memo(tmp_path / "p")
        assert memo is not None
        assert memo.losses == [(keeper.origin.producer, "web", 0, 1)]
        with lock:
            assert backlog.take(0.0, keeper.written_lost) is not None
    finally:
        assert keeper.finish(10.0)
