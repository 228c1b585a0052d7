"""CPU of whole process trees: a grandchild's work counts, also after it has ended."""

import os
import subprocess
import sys

from bench.procfs import Meter, cpu_seconds, peak_bytes, resident_bytes
from tests.support.eventually import eventually

_SPIN = "import time\nwhile time.process_time() < 0.3: pass\n"
_PARENT = f"""import subprocess, sys, time
subprocess.run([sys.executable, "-c", {_SPIN!r}])
print("done", flush=True)
time.sleep(60)
"""


def test_children_count_while_they_live_and_after() -> None:
    child = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE)
    try:
        meter = Meter({"it": child.pid})
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"
        assert meter.read()["it"] >= 0.25
        eventually(lambda: cpu_seconds([child.pid, child.pid]) == cpu_seconds([child.pid]))  # it may still go to sleep
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def test_memory_and_processes_that_are_gone() -> None:
    assert 0 < resident_bytes(os.getpid()) <= peak_bytes(os.getpid())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert resident_bytes(gone.pid) == 0
    assert cpu_seconds([gone.pid]) == 0.0
