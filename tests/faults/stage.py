"""What one fault is played on: its own hosts in a shared world, a load, and what must be visible of it in the end."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

from fleetpulse.settings import PREFIX
from fleetpulse.storage.client import CLICKHOUSE_ERRORS
from tests.faults.expected import HOUR_MS, MINUTE_MS, Expected
from tests.faults.generator import Hosts, Step
from tests.faults.oracle import Oracle
from tests.faults.producer import ENOUGH, Result, Spec
from tests.faults.verdict import Verdict
from tests.faults.world import ROOT, World
from tests.support.eventually import eventually
from tests.support.patience import patient

T = TypeVar("T")

HOSTS, SERIES = 30, 12
PACE_SECONDS = 0.2
LEAST_STEPS = 40
LIVE_STEPS = 240
VISIBLE_SECONDS = 120.0
ANY_TIME = (-math.inf, math.inf)


class NotInjected(Exception):
    """The fault did not happen, so that nothing was shown."""


@dataclass
class Load:
    """A running producer."""

    spec: Spec
    process: subprocess.Popen[bytes]
    result_file: Path
    log_file: Path
    counted: bool = False

    @property
    def result(self) -> Result:
        """How far it is."""
        return Result.read(self.result_file)

    def reach(self, steps: int, timeout: float = 60.0) -> None:
        """Wait until so many steps are handed over, or all that there are."""
        steps = min(steps, len(self.spec.steps))
        eventually(lambda: self.result.steps >= steps or self.process.poll() is not None, timeout, 0.02)

    @property
    def over(self) -> bool:
        """Whether it has ended by itself: a fault after that hits nothing."""
        return self.process.poll() is not None


@dataclass
class Stage:
    """`random` is the scenario's own, from the run's seed."""

    world: World
    name: str
    seed: int
    short: bool
    hosts: Hosts = field(init=False)
    expected: Expected = field(init=False)
    random: Random = field(init=False)
    verdict: Verdict = field(init=False, default_factory=Verdict)
    loads: list[Load] = field(init=False, default_factory=list)
    healed_at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.random = Random(f"{self.seed}:{self.name}")
        self.use(Hosts(self.name, HOSTS, SERIES, self.seed))

    def use(self, hosts: Hosts) -> None:
        """Other hosts than the usual ones; before the first load."""
        self.hosts, self.expected = hosts, Expected(hosts)

    # ---- the load

    def steps(self, live: int = LIVE_STEPS, minutes: int = 3) -> list[Step]:
        """`live` scrapes a minute, from the one that closes next on, and between them a few of hours ago.

        A load of them goes on until the fault is over (`enough`), and rarely comes to the second minute.
        """
        minute = self.world.live_minute()
        steps = [Step(minute + number * MINUTE_MS // live) for number in range(minutes * live)]
        old = [Step(minute - hours * HOUR_MS + number * 10_000) for hours in (3, 2) for number in range(6)]
        for number, step in enumerate(old):
            steps.insert(3 * number + 2, step)
        return steps

    def load(
        self,
        steps: Sequence[Step],
        pace: float = PACE_SECONDS,
        env: Mapping[str, str] | None = None,
        fat: bool = True,
        close_seconds: float = 120.0,
    ) -> Load:
        """Start a producer of these steps."""
        number = len(self.loads)
        folder = self.world.folder / f"{self.name}-{number}"
        folder.mkdir()
        spec = Spec(self.hosts, list(steps), pace, fat, close_seconds)
        spec.write(folder / "spec.json")
        load = self._start(spec, folder, env or {})
        self.loads.append(load)
        return load

    def again(self, load: Load, steps: Sequence[Step], env: Mapping[str, str] | None = None) -> Load:
        """A producer that was killed starts again, in its old folder, with other steps."""
        spec = Spec(load.spec.hosts, list(steps), load.spec.pace_seconds, load.spec.fat, load.spec.close_seconds)
        folder = load.result_file.parent
        load.result_file.unlink(missing_ok=True)
        load.result_file.with_name(ENOUGH).unlink(missing_ok=True)
        spec.write(folder / "spec.json")
        follower = self._start(spec, folder, env or {})
        self.loads.append(follower)
        return follower

    def enough(self, load: Load) -> Result:
        """End a load that goes on until the fault is over; at least LEAST_STEPS of it."""
        if load.result.steps == len(load.spec.steps):
            raise NotInjected("the load was over before the fault")
        load.reach(LEAST_STEPS)
        load.result_file.with_name(ENOUGH).touch()
        return self.finish(load)

    def finish(
        self, load: Load, timeout: float = 180.0, delivered: bool = True, limits: tuple[float, float] = ANY_TIME
    ) -> Result:
        """Wait until the producer has ended, and expect what it handed over, within `limits` (ms) of time.

        Asserts that all was delivered.
        """
        code = load.process.wait(patient(timeout))
        result = load.result
        if delivered:
            log = load.log_file.read_text(errors="replace")[-2000:]
            lost = result.failed_samples_total + result.dropped_samples_total
            assert (result.delivered, lost) == (True, 0), f"the producer ended with {code}: {result}\n{log}"
        if not load.counted:
            load.counted = True
            self.expected.add(load.spec.steps[: result.steps], *limits)
        return result

    def play(self, steps: Sequence[Step], pace: float = 0.05) -> Result:
        """A load from beginning to end."""
        return self.finish(self.load(steps, pace))

    def _start(self, spec: Spec, folder: Path, env: Mapping[str, str]) -> Load:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        log_file, result_file = folder / "producer.log", folder / "result.json"
        settings = self.world.kafka_env | {f"{PREFIX}DATA_DIR": str(folder)} | dict(env)
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.faults.producer", str(folder / "spec.json"), str(result_file)],
                env={**inherited, "PYTHONPATH": str(ROOT), **settings},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
            )  # fmt: skip
        return Load(spec, process, result_file, log_file)

    # ---- what is seen

    def healed(self) -> None:
        """The fault is over: the time of recovery counts from here."""
        self.healed_at = time.monotonic()

    def visible(self, timeout: float = VISIBLE_SECONDS) -> None:
        """Wait until as many samples are visible as must be, or until the time is up: the oracle says what is not."""
        begun = self.healed_at or time.monotonic()
        try:
            eventually(lambda: self.stored() >= len(self.expected), timeout, 0.3)
        except AssertionError:
            self.verdict.notes.append(f"not everything was visible within {timeout:g} s")
        self.verdict.recovery_seconds = time.monotonic() - begun

    def stored(self) -> int:
        """How many samples of the hosts are visible now; 0 while ClickHouse is away."""
        try:
            return self.oracle(Oracle.stored)
        except CLICKHOUSE_ERRORS:
            return 0

    def oracle(self, ask: Callable[[Oracle], T], user: str = "grafana") -> T:
        """Ask the oracle over a connection of its own."""
        client = self.world.client(user)
        try:
            return ask(Oracle(client, self.expected))
        finally:
            client.disconnect()

    def rows(self) -> int:
        """How many raw rows lie in the table for these hosts, copies included."""
        return self.oracle(Oracle.rows, "fleetpulse")

    def end(self) -> None:
        """Kill what still runs of the load."""
        for load in self.loads:
            if load.process.poll() is None:
                load.process.kill()
                load.process.wait()

    def ledger(self, columns: str, where: str = "1") -> list[tuple[object, ...]]:
        """Rows of the ledger, for the proof that a fault happened."""
        client = self.world.client()
        try:
            rows: list[tuple[object, ...]] = client.execute(f"SELECT {columns} FROM ledger WHERE {where}")
            return rows
        finally:
            client.disconnect()
