"""The spool on real files: whatever was written whole is read again, in order, and nothing else."""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fleetpulse.publish.contents import Entry
from fleetpulse.publish.parcel import Parcel
from fleetpulse.publish.record import decode_record, encode_record
from fleetpulse.publish.spool import LEAST_SEGMENT_BYTES, Spool

BUDGET = 16 * 1024 * 1024
FRAME = 1000


def parcel(seq: int, size: int = FRAME, seen: bool = False) -> Parcel:
    value = bytes((seq + n) % 256 for n in range(size))
    return Parcel("00112233445566ff", seq, f"host-{seq}", seq % 7, value, 10 * seq, derived=seq % 2 == 0, seen=seen)


def put(spool: Spool, *parcels: Parcel) -> None:
    for one in parcels:
        spool.append(one, encode_record(one))


def all_of(spool: Spool) -> list[Parcel]:
    found = []
    while part := spool.read(10 * FRAME):
        found += [record.parcel for record in part]
    return found


def same(one: Parcel, other: Parcel) -> bool:
    names = ("producer", "seq", "key", "partition", "value", "samples", "derived")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def seqs(parcels: Sequence[Parcel | Entry]) -> list[int]:
    return [one.seq for one in parcels]


def fail(*_: object, **__: object) -> Any:
    raise OSError(errno.EIO, "Input/output error")


def test_frames_come_back_as_they_were_and_the_folder_is_empty_when_all_are_settled(tmp_path: Path) -> None:
    spool = Spool(tmp_path, BUDGET)
    written = [parcel(seq) for seq in range(1, 301)]
    put(spool, *written)
    assert spool.segments == 1
    found = all_of(spool)
    assert all(same(one, other) for one, other in zip(found, written, strict=True))
    for one in found[:-1]:
        one.settled = True
    spool.tidy(0.0)
    assert spool.bytes > 0
    found[-1].settled = True
    spool.tidy(0.0)
    assert (spool.bytes, spool.segments, list(tmp_path.glob("*.seg"))) == (0, 0, [])
    assert (spool.unread, spool.read(FRAME)) == (False, [])
    put(spool, parcel(400))
    assert seqs(all_of(spool)) == [400]
    spool.close()


def test_what_was_not_settled_is_read_by_the_next_run(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 8 * LEAST_SEGMENT_BYTES)
    put(spool, *(parcel(seq) for seq in range(1, 301)))
    assert spool.segments > 3
    first = spool.read(100 * FRAME)
    for record in first:
        assert not record.inherited
        record.parcel.settled = True
    spool.tidy(100.0)
    spool.close()
    again = Spool(tmp_path, BUDGET)
    assert again.inherited
    rest = again.read(BUDGET)
    assert seqs([record.parcel for record in rest]) == list(range(len(first) + 1, 301))
    assert all(record.inherited for record in rest)
    for record in rest:
        record.parcel.settled = True
    again.tidy(0.0)
    assert not again.inherited
    again.close()
    for fresh in (Spool(tmp_path, BUDGET), Spool(tmp_path, BUDGET)):  # numbers go on: new segments are not settled ones
        put(fresh, parcel(999))
        assert seqs(all_of(fresh)) == [999]
        fresh.tidy(0.0)
        fresh._reading[0][0].settled = True
        fresh.close()


def test_a_process_that_dies_at_any_byte_loses_the_torn_record_only(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    spool = Spool(source, BUDGET)
    ends = [0]
    for seq in range(1, 4):
        put(spool, parcel(seq, size=40))
        ends.append(spool.bytes)
    spool.close()
    [segment] = source.glob("*.seg")
    whole = segment.read_bytes()
    for cut in range(len(whole) + 1):
        folder = tmp_path / "cut"
        folder.mkdir()
        (folder / segment.name).write_bytes(whole[:cut])
        spool = Spool(folder, BUDGET)
        complete = sum(end <= cut for end in ends[1:])
        assert spool.torn_bytes == cut - ends[complete]
        put(spool, parcel(9, size=40))
        assert seqs(all_of(spool)) == [*range(1, complete + 1), 9]
        spool.close()
        shutil.rmtree(folder)


def test_a_changed_byte_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    record = encode_record(parcel(5, size=30))
    assert decode_record(record[:8], record[8:]) is not None
    for at in range(len(record)):
        changed = bytearray(record)
        changed[at] ^= 1
        assert decode_record(bytes(changed[:8]), bytes(changed[8:])) is None


def break_fourth_record(folder: Path) -> Path:
    """200 records, of which the fourth is not what was written; returns the first segment."""
    spool = Spool(folder, 8 * LEAST_SEGMENT_BYTES)
    put(spool, *(parcel(seq) for seq in range(1, 201)))
    spool.close()
    first = min(folder.glob("*.seg"))
    with first.open("r+b") as file:
        file.seek(3 * len(encode_record(parcel(1))) + 500)
        file.write(b"\xff\xff")
    return first


def test_a_broken_place_costs_its_record_alone_and_is_counted(tmp_path: Path) -> None:
    break_fourth_record(tmp_path)
    spool = Spool(tmp_path, BUDGET)
    assert seqs(all_of(spool)) == [1, 2, 3, *range(5, 201)]
    assert [(one.entry.seq, one.entry.samples, one.uncertain) for one in spool.gone] == [(4, 40, False)]
    spool.close()


def test_a_broken_place_of_an_older_version_costs_the_rest_of_its_segment_and_is_told(tmp_path: Path) -> None:
    first = break_fourth_record(tmp_path)
    first.with_suffix(".contents").unlink()
    spool = Spool(tmp_path, BUDGET)
    found = seqs(all_of(spool))
    assert found[:3] == [1, 2, 3]
    assert found[3] > 50
    assert found[3:] == list(range(found[3], 201))
    [gone] = spool.gone
    assert gone.entry.end - gone.entry.start == first.stat().st_size - 3 * len(encode_record(parcel(1)))
    assert (gone.entry.samples, gone.uncertain) == (0, True)
    spool.close()


@pytest.mark.parametrize("damage", ["none", "cut", "gone"])
def test_what_cannot_be_read_at_all_is_passed_over_and_counted_as_far_as_its_contents_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    spool = Spool(tmp_path, BUDGET)
    put(spool, *(parcel(seq) for seq in range(1, 101)))
    [segment] = tmp_path.glob("*.seg")
    contents = segment.with_suffix(".contents")
    if damage == "cut":
        contents.write_bytes(contents.read_bytes()[:-10])
    elif damage == "gone":
        contents.unlink()
    first = seqs([record.parcel for record in spool.read(10 * FRAME)])
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        with pytest.raises(OSError, match="Input/output"):
            spool.read(FRAME)
        assert not spool.doubtful
        spool.pass_over(20 * len(encode_record(parcel(1))))
        assert spool.doubtful or damage == "gone"
    known = {"none": 20, "cut": 20, "gone": 0}[damage]
    assert sum(one.entry.samples for one in spool.gone) == sum(10 * seq for seq in range(11, 11 + known))
    rest = seqs(all_of(spool))
    assert first + list(range(11, 11 + known)) + rest == list(range(1, 101 if known else 11))
    spool.close()


def test_the_oldest_segment_is_counted_without_being_read_but_for_what_may_have_arrived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, BUDGET)
    put(spool, *(parcel(seq, seen=seq == 7) for seq in range(1, 21)))
    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(OSError, match="Input/output"):
        spool.oldest(whatever_fails=False)
    oldest = spool.oldest(whatever_fails=True)
    assert seqs(oldest.lost) == [seq for seq in range(1, 21) if seq != 7]
    assert [(one.entry.seq, one.uncertain) for one in oldest.gone] == [(7, True)]
    assert not oldest.kept
    spool.drop_oldest()
    assert list(tmp_path.glob("*.seg")) == list(tmp_path.glob("*.contents")) == []
    spool.close()


@pytest.mark.parametrize("damage", ["cut", "zeros", "gone"])
def test_a_position_that_is_not_whole_means_reading_everything_again(tmp_path: Path, damage: str) -> None:
    spool = Spool(tmp_path, BUDGET)
    put(spool, *(parcel(seq) for seq in range(1, 21)))
    for record in spool.read(10 * FRAME):
        record.parcel.settled = True
    spool.tidy(100.0)
    spool.close()
    position = tmp_path / "position"
    raw = position.read_bytes()
    if damage == "gone":
        position.unlink()
    else:
        position.write_bytes(raw[:7] if damage == "cut" else bytes(len(raw)))
    again = Spool(tmp_path, BUDGET)
    assert seqs(all_of(again)) == list(range(1, 21))
    again.close()


def test_one_torn_slot_of_the_position_leaves_the_one_before(tmp_path: Path) -> None:
    spool = Spool(tmp_path, BUDGET)
    put(spool, *(parcel(seq) for seq in range(1, 21)))
    for count, now in ((5, 10.0), (5, 20.0)):
        for record in spool.read(count * FRAME):
            record.parcel.settled = True
        spool.tidy(now)
    spool.close()
    position = tmp_path / "position"
    raw = position.read_bytes()
    for cut in range(0, len(raw), 3):
        torn = bytearray(raw)
        torn[cut] ^= 0xFF
        position.write_bytes(bytes(torn))
        again = Spool(tmp_path, BUDGET)
        assert seqs(all_of(again))[-1] == 20
        again.close()
        position.write_bytes(raw)


def test_the_oldest_segment_says_what_may_go_and_what_may_have_arrived(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 8 * LEAST_SEGMENT_BYTES)
    had = parcel(1, seen=True)
    put(spool, had, *(parcel(seq) for seq in range(2, 101)))
    number, lost, kept, gone = spool.oldest(whatever_fails=False)
    assert not gone
    assert (number, len(kept), kept[0].held is had, kept[0].parcel.value == had.value) == (1, 1, True, True)
    assert seqs(lost) == list(range(2, lost[-1].seq + 1))
    spool.drop_oldest()
    assert seqs(all_of(spool))[0] == lost[-1].seq + 1
    spool.close()


def test_what_was_read_but_not_settled_before_a_crash_is_never_given_up(tmp_path: Path) -> None:
    spool = Spool(tmp_path, BUDGET)
    put(spool, *(parcel(seq) for seq in range(1, 51)))
    handed = spool.read(10 * FRAME)
    os.close(spool._writing or 0)  # as a kill leaves it
    again = Spool(tmp_path, BUDGET)
    _, lost, kept, _ = again.oldest(whatever_fails=False)
    assert seqs([record.parcel for record in kept]) == seqs([record.parcel for record in handed])
    assert seqs(lost) == list(range(len(handed) + 1, 51))
    again.close()


def test_a_record_comes_with_the_object_that_a_client_had(tmp_path: Path) -> None:
    spool = Spool(tmp_path, BUDGET)
    had = parcel(2, seen=True)
    put(spool, parcel(1), had)
    first, second = spool.read(10 * FRAME)
    assert (first.held, second.held is had) == (None, True)
    spool.stands_for(second.parcel, had)
    first.parcel.settled = had.settled = True
    spool.tidy(0.0)
    assert spool.bytes == 0
    spool.close()


def test_segments_that_are_counted_as_dropped_already_are_not_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 8 * LEAST_SEGMENT_BYTES)
    put(spool, *(parcel(seq) for seq in range(1, 201)))
    spool.close()
    again = Spool(tmp_path, BUDGET, first_segment=3)
    assert seqs(all_of(again))[0] > 100
    assert min(tmp_path.glob("*.seg")).name == "0000000003.seg"
    again.close()


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    import resource
    import signal

    spool = Spool(tmp_path, BUDGET)
    put(spool, parcel(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))  # the next record is torn by the kernel
    try:
        with pytest.raises(OSError, match="File too large"):
            put(spool, parcel(2))
        with pytest.raises(OSError, match="File too large"):
            put(spool, parcel(3, size=5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    put(spool, parcel(4))
    assert seqs(all_of(spool)) == [1, 4]
    assert len(list(tmp_path.glob("*.seg"))) == 2
    spool.close()


def test_a_segment_that_cannot_be_deleted_is_out_of_the_books_and_gone_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, 2 * LEAST_SEGMENT_BYTES)
    put(spool, *(parcel(seq, LEAST_SEGMENT_BYTES // 4) for seq in range(1, 9)))
    assert spool.segments > 1
    first, lost, _, _ = spool.oldest(whatever_fails=False)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fail)
        with pytest.raises(OSError, match="Input/output"):
            spool.drop_oldest()
    assert spool.oldest(whatever_fails=False).number == first + 1
    left = seqs(all_of(spool))
    assert seqs(lost) + left == list(range(1, 9))
    spool.close()
    again = Spool(tmp_path, 2 * LEAST_SEGMENT_BYTES, first + 1)
    assert seqs(all_of(again)) == left
    assert not (tmp_path / f"{first:010}.seg").exists()
    again.close()
