"""The supervisor on small real processes: order, back-off, bounds."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest

from fleetpulse.errors import FatalError
from infra.embedded.child import Command
from infra.embedded.display import Screen
from infra.embedded.guard import Guard
from infra.embedded.progress import Progress
from infra.embedded.service import Service, State
from infra.embedded.supervisor import StopRequested, Supervisor
from tests.support.patience import patient

SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)
# Ends when the process whose number is in a file is gone: its parent has noticed its end.
UNTIL_GONE = """
import os, time
try:
    while True:
        time.sleep(0.02)
        text = open({0!r}).read() if os.path.exists({0!r}) else ""
        if text:
            os.kill(int(text), 0)
except ProcessLookupError:
    pass
"""


class Stage:
    """Services in a folder, and the supervisor over them."""

    def __init__(self, folder: Path, guard: Guard) -> None:
        self.folder = folder
        self.out = StringIO()
        self.stop_requested = threading.Event()
        self._guard = guard

    def service(self, name: str, code: str, stage: int = 0, *, once: bool = False, stop_until: float = 2.0) -> Service:
        command = Command(name, (sys.executable, "-c", code), self.folder / f"{name}.log")
        return Service(name, stage, lambda: command, lambda: None, stop_order=-stage, stop_until=stop_until, once=once)

    def supervisor(self, *services: Service) -> Supervisor:
        screen = Screen(Progress(self.out))
        return Supervisor(
            services, self._guard, self.stop_requested, screen, lambda running: None, lambda name: f"logs {name}"
        )


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    guard = Guard()
    yield Stage(tmp_path, guard)
    guard.close()


def until(condition: Callable[[], bool], supervisor: Supervisor, within: float = 10.0) -> None:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < patient(within)
        supervisor.check()
        time.sleep(0.02)


def test_a_stage_starts_when_the_one_before_is_done(stage: Stage) -> None:
    mark = stage.folder / "mark"
    first = stage.service("first", f"import time; time.sleep(0.5); open({str(mark)!r}, 'w')", 0, once=True)
    second = stage.service("second", f"import os, time; print(os.path.exists({str(mark)!r}), flush=True); {SLEEP}", 1)
    supervisor = stage.supervisor(second, first)
    supervisor.start()
    log = stage.folder / "second.log"
    until(lambda: bool(log.read_text()), supervisor)
    supervisor.stop()
    assert log.read_text() == "True\n"
    assert stage.out.getvalue().index("first") < stage.out.getvalue().index("second")


def test_a_crashing_process_is_started_again_ever_more_slowly(stage: Stage) -> None:
    code = "import sys, time; time.sleep(0.2); print('no disk left', flush=True); sys.exit(3)"
    supervisor = stage.supervisor(stage.service("broken", code), stage.service("steady", SLEEP))
    supervisor.start()
    steady = supervisor.running[1].pid
    until(lambda: "starts again in 4 s" in stage.out.getvalue(), supervisor)
    assert supervisor.running[1].pid == steady
    supervisor.stop()
    said = [line for line in stage.out.getvalue().splitlines() if "starts again" in line]
    assert said == [
        f"broken ended with exit code 3; it starts again in {pause} s (logs broken): no disk left"
        for pause in (1, 2, 4)
    ]


def test_a_crash_during_the_start_of_others_is_noticed(stage: Stage) -> None:
    brief = stage.service("brief", f"import os; open({str(stage.folder / 'pid')!r}, 'w').write(str(os.getpid()))")
    slow = stage.service("slow", UNTIL_GONE.format(str(stage.folder / "pid")), 1, once=True)
    supervisor = stage.supervisor(brief, slow)
    supervisor.start()
    assert "brief ended with exit code 0; it starts again in 1 s" in stage.out.getvalue()
    supervisor.stop()


def test_a_process_that_cannot_be_started_again_does_not_end_the_others(stage: Stage) -> None:
    service = stage.service("fragile", SLEEP)
    supervisor = stage.supervisor(service)
    supervisor.start()
    running = supervisor.running[0]
    assert running.child is not None
    (stage.folder / "fragile.log").unlink()
    (stage.folder / "fragile.log").mkdir()  # its log cannot be opened any more
    running.child.kill()
    until(lambda: "cannot be started" in stage.out.getvalue(), supervisor)
    (stage.folder / "fragile.log").rmdir()
    until(lambda: running.state is State.READY, supervisor)
    supervisor.stop()


def test_a_start_that_fails_names_the_end_of_the_log(stage: Stage) -> None:
    supervisor = stage.supervisor(stage.service("broken", "raise SystemExit('the port is taken')", once=True))
    with pytest.raises(FatalError, match=r"broken failed with exit code 1(.|\n)*the port is taken"):
        supervisor.start()
    supervisor.stop()


def test_the_stop_is_bounded_and_in_order(stage: Stage) -> None:
    supervisor = stage.supervisor(
        stage.service("server", SLEEP, 0, stop_until=2.0), stage.service("deaf", STUBBORN, 1, stop_until=1.0)
    )
    supervisor.start()
    until(lambda: bool((stage.folder / "deaf.log").read_text()), supervisor)
    begin = time.monotonic()
    supervisor.stop()
    assert 0.9 < time.monotonic() - begin < patient(10)
    assert "deaf did not end within 1 s and was killed" in stage.out.getvalue()
    assert all(running.pid is None for running in supervisor.running)


def test_a_request_to_stop_ends_the_start(stage: Stage) -> None:
    supervisor = stage.supervisor(stage.service("slow", SLEEP, once=True))
    threading.Timer(0.3, stage.stop_requested.set).start()
    with pytest.raises(StopRequested):
        supervisor.start()
    supervisor.stop()
    assert supervisor.running[0].pid is None
