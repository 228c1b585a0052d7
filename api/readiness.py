"""Whether this service can answer: a real query to both servers, each within a bound, and the workers' backlog."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from api.backlog import GROUPS, Backlog, Oldest
from api.models import ReadyCheck
from fleetpulse.clock import Clock, to_rfc3339
from fleetpulse.errors import FleetpulseError

BOUND_SECONDS = 2.0
Probe = Callable[[], list[ReadyCheck]]


class Readiness:
    """Runs the probes side by side. One that hangs is not started again before it ends."""

    def __init__(self, ping: Callable[[], None], backlog: Backlog, max_age_seconds: float, clock: Clock) -> None:
        self._ping = ping
        self._backlog = backlog
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._probes: dict[tuple[str, ...], Probe] = {
            ("clickhouse",): self._clickhouse,
            ("kafka", *GROUPS): self._kafka,
        }
        self._running: dict[tuple[str, ...], Future[list[ReadyCheck]]] = {}
        self._lock = threading.Lock()

    async def check(self) -> list[ReadyCheck]:
        """Every check, within `BOUND_SECONDS`."""
        futures = self._start()
        await asyncio.wait([asyncio.wrap_future(future) for future in futures.values()], timeout=BOUND_SECONDS)
        return self._collect(futures)

    def cause(self) -> str | None:
        """None when ready, else why not; for a thread."""
        futures = self._start()
        wait(futures.values(), timeout=BOUND_SECONDS)
        return "; ".join(f"{check.name}: {check.detail}" for check in self._collect(futures) if not check.ok) or None

    def close(self) -> None:
        """Close the connections, unless a probe still hangs on them."""
        running = list(self._running.values())
        if not wait(running, timeout=BOUND_SECONDS).not_done:
            self._backlog.close()

    def _start(self) -> dict[tuple[str, ...], Future[list[ReadyCheck]]]:
        with self._lock:
            for names, probe in self._probes.items():
                if names not in self._running or self._running[names].done():
                    self._running[names] = _in_thread(probe, names[0])
            return dict(self._running)

    def _collect(self, futures: dict[tuple[str, ...], Future[list[ReadyCheck]]]) -> list[ReadyCheck]:
        checks: list[ReadyCheck] = []
        for names, future in futures.items():
            if future.done():
                checks += future.result()
            else:
                late = f"no answer within {BOUND_SECONDS:g} s"
                checks.append(ReadyCheck(name=names[0], ok=False, detail=late, seconds=BOUND_SECONDS))
        return checks

    def _clickhouse(self) -> list[ReadyCheck]:
        started = self._clock.monotonic()
        try:
            self._ping()
            cause = ""
        except FleetpulseError as error:
            cause = str(error)
        return [self._check("clickhouse", cause, "answers a query", started)]

    def _kafka(self) -> list[ReadyCheck]:
        started = self._clock.monotonic()
        try:
            oldest = self._backlog.oldest()
        except FleetpulseError as error:
            return [self._check("kafka", str(error), "", started)]
        checks = [self._check("kafka", "", "answers offsets", started)]
        for name in GROUPS:
            cause, detail = self._lag(name, oldest[name])
            checks.append(self._check(name, cause, detail, started))
        return checks

    def _lag(self, name: str, oldest: Oldest) -> tuple[str, str]:
        """(cause, detail): one of them is empty."""
        if oldest.append_ms is None:
            return "", "everything is processed"
        age = max(0.0, (self._clock.now_ms() - oldest.append_ms) / 1000)
        count = "1 message waits" if oldest.messages == 1 else f"{oldest.messages} messages wait"
        if GROUPS[name].value.transactional:
            count = f"at most {count}"
        waits = f"{count}, the oldest for {age:.1f} s (since {to_rfc3339(oldest.append_ms)})"
        if age <= self._max_age_seconds:
            return "", waits
        hint = "" if oldest.started else "; it has never committed an offset: does it run?"
        return f"{waits}, more than FLEETPULSE_API_READY_MAX_AGE_SECONDS={self._max_age_seconds:g}{hint}", ""

    def _check(self, name: str, cause: str, detail: str, started: float) -> ReadyCheck:
        seconds = round(self._clock.monotonic() - started, 3)
        return ReadyCheck(name=name, ok=not cause, detail=cause or detail, seconds=seconds)


def _in_thread(probe: Probe, name: str) -> Future[list[ReadyCheck]]:
    # A thread of its own, and a daemon: a probe that hangs must neither hold up others nor the end of the process.
    future: Future[list[ReadyCheck]] = Future()

    future.set_running_or_notify_cancel()  # from here on nobody can cancel it

    def run() -> None:
        try:
            future.set_result(probe())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=f"ready-{name}", daemon=True).start()
    return future
