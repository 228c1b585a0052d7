"""What is waiting between Kafka and the sink is counted in rows, messages and bytes, and whether more is to come."""

import resource
import subprocess
import sys

import pytest

from fleetpulse.partition import partition_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from fleetpulse.wire import Frame, encode_frame, make_block
from stream_processors.inbox import Message
from stream_processors.ingest.intake import Intake

HOST = "h"
PARTITION = partition_of(HOST, 4)
NOW = 1_700_000_000_000


def message(offset: int, rows: int) -> Message:
    block = make_block(HOST, {"instance": HOST}, b"\n".join(b"m%d" % n for n in range(rows)), NOW, [1.0] * rows)
    return Message("t", PARTITION, offset, NOW, None, encode_frame(Frame(1, NOW, [block])), ())


@pytest.mark.parametrize("given_up", [False, True])
def test_rows_messages_and_bytes_are_counted_until_they_leave(given_up: bool) -> None:
    intake = Intake(IngestSettings(), 4, SelfMetrics())
    messages = [message(offset, 10 * (offset + 1)) for offset in range(3)]
    for one in messages:
        intake.take(one)
    assert (intake.rows, intake.waiting) == (60, 3)
    assert intake.bytes == sum(len(one.value or b"") for one in messages) > 60 * 8
    if given_up:
        intake.keep_only([])
    else:
        intake.cut()
    assert (intake.rows, intake.waiting, intake.bytes) == (0, 0, 0)


@pytest.mark.parametrize(("end", "behind"), [(2, False), (3, False), (4, True), (None, False)])
def test_behind_is_when_as_much_is_unread_as_was_taken(end: int | None, behind: bool) -> None:
    intake = Intake(IngestSettings(), 4, SelfMetrics(), lambda partition: end)
    for offset in range(2):
        intake.take(message(offset, 1))
    assert intake.behind is behind


@pytest.mark.skipif(sys.platform != "linux", reason="the switch is glibc's")
def test_freed_memory_is_not_faulted_in_again() -> None:
    program = """
import resource, sys
if sys.argv[1] == "keep":
    from stream_processors.memory import keep_freed_memory
    assert keep_freed_memory()
def work():
    kept = [bytearray(40_000_000) for _ in range(2)]
for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {
        how: int(subprocess.run([sys.executable, "-c", program, how], capture_output=True, check=True).stdout)
        for how in ("keep", "default")
    }
    pages = 5 * 2 * 40_000_000 // resource.getpagesize()
    assert faults["keep"] < pages // 10 < pages // 2 < faults["default"], faults
