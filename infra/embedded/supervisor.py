"""Starts the services in order, restarts those that crash, and stops them in order within a bound."""

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from fleetpulse.errors import FatalError
from infra.embedded.child import Child, keep_bounded, tail
from infra.embedded.display import Screen
from infra.embedded.guard import Guard
from infra.embedded.memory import resident_bytes
from infra.embedded.service import READY_SECONDS, Running, Service, State
from infra.embedded.wait import POLL_SECONDS, why_not_done, why_not_ready

FIRST_BACK_OFF, LONGEST_BACK_OFF = 1.0, 30.0
PATIENT_SECONDS = 5.0  # after so long the wait names its cause
STEADY_SECONDS = 60.0  # a child that ran this long starts again at the first back-off


class StopRequested(Exception):
    """Somebody asked to stop while the system was still starting."""


class Supervisor:
    """Owns the children. Everything happens in the caller's thread; ``changed`` is called when a state changes."""

    def __init__(
        self,
        services: Sequence[Service],
        guard: Guard,
        stop_requested: threading.Event,
        screen: Screen,
        changed: Callable[[Sequence[Running]], None],
        log_command: Callable[[str], str],
    ) -> None:
        self.running = [Running(service) for service in sorted(services, key=lambda service: service.stage)]
        self._guard = guard
        self._stop_requested = stop_requested
        self._progress = screen.status
        self._tell = screen.tell
        self._record = changed
        self._log_command = log_command

    def start(self) -> None:
        """Start stage after stage; raises FatalError when one is not ready in time, StopRequested when asked to."""
        for _, stage in groupby(self.running, key=lambda running: running.service.stage):
            members = list(stage)
            for running in members:
                self._launch(running)
            self._wait([running for running in members if running.service.awaited])

    def check(self) -> None:
        """Notice crashes, start again what is due, notice readiness; called a few times a second."""
        self._check(self.running)

    def _check(self, members: Sequence[Running]) -> None:
        for running in members:
            if running.state in (State.READY, State.STARTING):
                self._check_alive(running)
            elif running.state is State.CRASHED and time.monotonic() >= running.start_again_at:
                self._start_again(running)
            if running.child is not None:
                keep_bounded(running.child.command.log_file)

    def stop(self) -> None:
        """End everything in the order of the plan; what does not end in its time is killed."""
        begin = time.monotonic()
        order = sorted(self.running, key=lambda running: running.service.stop_order)
        for _, group in groupby(order, key=lambda running: running.service.stop_order):
            members = [running for running in group if running.child is not None]
            for running in members:
                assert running.child is not None
                running.child.terminate()
            for running in members:
                self._stop_one(running, begin)

    def _stop_one(self, running: Running, begin: float) -> None:
        child, service = running.child, running.service
        assert child is not None
        alive = child.exit_code() is None
        if alive:
            self._progress(f"stopping {service.name}")
        if not child.stop(begin + service.stop_until - time.monotonic()):
            self._tell(f"{service.name} did not end within {service.stop_until:.0f} s and was killed")
        if running.state is not State.DONE:
            running.state = State.STOPPED

    def _launch(self, running: Running) -> None:
        if self._stop_requested.is_set():
            raise StopRequested
        running.child = Child(running.service.prepare(), self._guard)
        running.state = State.STARTING
        self._record(self.running)

    def _wait(self, members: Sequence[Running]) -> None:
        """Until all of a stage are ready, each within its bound."""
        begin = time.monotonic()
        while waiting := [running for running in members if running.state is State.STARTING]:
            causes = {}
            for running in waiting:
                if self._stop_requested.is_set():
                    raise StopRequested
                cause = self._why_not_up(running)
                if cause is None:
                    self._note_ready(running)
                else:
                    causes[running.service.name] = cause
            # what became ready before may crash while the rest is still starting
            self._check([running for running in self.running if running not in waiting])
            if causes:
                self._progress(_waiting_line(causes, time.monotonic() - begin))
            time.sleep(POLL_SECONDS)

    def _why_not_up(self, running: Running) -> str | None:
        assert running.child is not None
        if running.service.once:
            return why_not_done(running.child, READY_SECONDS)
        return why_not_ready(running.child, running.service.not_ready, READY_SECONDS)

    def _note_ready(self, running: Running) -> None:
        assert running.child is not None
        running.state = State.DONE if running.service.once else State.READY
        running.ready_after = time.monotonic() - running.child.started_at
        self._record(self.running)
        self._tell(_ready_line(running))

    def _check_alive(self, running: Running) -> None:
        assert running.child is not None
        code = running.child.exit_code()
        if code is not None:
            self._ended(running, code)
        elif running.state is State.STARTING and running.service.not_ready() is None:
            running.state = State.READY
            self._record(self.running)
            self._tell(f"{running.service.name} is ready{' again' if running.restarts else ''}")

    def _start_again(self, running: Running) -> None:
        running.restarts += 1
        try:
            self._launch(running)
        except (FatalError, OSError) as error:
            self._crashed(running, f"cannot be started: {error}", "")

    def _ended(self, running: Running, code: int) -> None:
        assert running.child is not None
        if time.monotonic() - running.child.started_at >= STEADY_SECONDS:
            running.failures = 0
        running.child.stop(0.0)  # its group: what it left behind
        # of a process that ended by itself, its last line says why
        last_line = tail(running.child.command.log_file, 1) if code > 0 else ""
        self._crashed(running, describe_exit(code), last_line)

    def _crashed(self, running: Running, what: str, last_line: str) -> None:
        name = running.service.name
        running.failures += 1
        pause = min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2 ** (running.failures - 1))
        running.start_again_at = time.monotonic() + pause
        running.state = State.CRASHED
        running.last_exit = what
        self._record(self.running)
        because = f": {last_line}" if last_line else ""
        self._tell(f"{name} {what}; it starts again in {pause:.0f} s ({self._log_command(name)}){because}")


def describe_exit(code: int) -> str:
    """``ended with exit code 1`` or ``was ended by SIGKILL``."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _waiting_line(causes: Mapping[str, str], seconds: float) -> str:
    line = f"  starting {', '.join(causes)}, {seconds:.0f} s"
    if seconds > PATIENT_SECONDS:
        name, cause = next(iter(causes.items()))
        line += f" ({name}: {cause})"
    return line


def _ready_line(running: Running) -> str:
    service = running.service
    if service.once:
        return f"  {service.name:<11} done  in {running.ready_after:4.1f} s"
    memory = f"{resident_bytes(running.pid) / 1e6:.0f} MB"
    return f"  {service.name:<11} ready in {running.ready_after:4.1f} s   {memory:>6}   {service.address}".rstrip()
