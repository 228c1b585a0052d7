"""Keeps run/state.json true while `up` runs, and reads the figures that `up` shows."""

import contextlib
import os
import threading
from collections.abc import Sequence

from fleetpulse import __version__
from fleetpulse.clock import SystemClock
from infra.embedded import observe, state
from infra.embedded.folder import DataFolder
from infra.embedded.guard import Guard
from infra.embedded.plan import Plan
from infra.embedded.service import Running

READ_SECONDS = 2.0


class Journal:
    """The state file of one run."""

    def __init__(self, plan: Plan, guard: Guard) -> None:
        self._guard_pid = guard.pid
        self._folder: DataFolder = plan.folder
        self._addresses = plan.shown_addresses()
        self._started_ms = SystemClock().now_ms()

    def write(self, running: Sequence[Running], samples_per_second: float | None = None) -> None:
        """Replace the state file; a full disk is no reason to end what runs."""
        pid = os.getpid()
        now = state.RunState(
            version=__version__,
            pid=pid,
            create_time=state.create_time(pid),
            started_ms=self._started_ms,
            addresses=self._addresses,
            guard_pid=self._guard_pid,
            guard_create_time=state.create_time(self._guard_pid),
            processes=[_process_state(one) for one in running if not one.service.once],
            samples_per_second=samples_per_second,
        )
        with contextlib.suppress(OSError):
            state.write(self._folder, now)


class Observer:
    """Reads the children's /metrics in a thread of its own, so that a hanging child never holds up the supervisor."""

    def __init__(self, running: Sequence[Running]) -> None:
        self._urls = {one.service.name: one.service.self_url for one in running if one.service.self_url}
        self._rate = observe.Rate()
        self._latest: tuple[observe.Reading, float | None] | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name="observer", daemon=True)

    def __enter__(self) -> "Observer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()

    def latest(self) -> tuple[observe.Reading, float | None] | None:
        """The last reading and the samples a second; None before the first."""
        return self._latest

    def _read(self) -> None:
        while not self._closing.is_set():
            reading = observe.read(self._urls)
            self._rate.add(reading)
            self._latest = reading, self._rate.value()
            self._closing.wait(READ_SECONDS)


def _process_state(running: Running) -> state.ProcessState:
    pid = running.pid
    return state.ProcessState(
        name=running.service.name,
        state=running.state.value,
        pid=pid,
        create_time=state.create_time(pid),
        address=running.service.address,
        self_url=running.service.self_url,
        restarts=running.restarts,
        last_exit=running.last_exit,
    )
