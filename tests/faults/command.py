"""`make faults`: servers of its own, every group of faults in turn, a table of what came out."""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path

from infra.embedded.guard import Guard
from tests.faults.brokers import Brokers, broker_behind, one_broker, three_brokers
from tests.faults.link import link
from tests.faults.matrix import SCENARIOS
from tests.faults.report import remember, report
from tests.faults.runner import Outcome, run_group
from tests.faults.scenario import Place, Scenario
from tests.faults.verdict import NeedsError, Verdict
from tests.faults.world import World
from tests.support.servers import ClickHouseServer, start_clickhouse

DOCS = Path(__file__).parents[2] / "docs" / "faults.md"
BOUND_SECONDS = 1800.0
GROUP_SECONDS = 240.0  # what is left of the bound must hold a group
SMALL_DISK = "size=600m"


def main(argv: list[str]) -> int:
    """Run and report; exit 1 unless every fault that was played passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="*", help="only these faults, or groups of them")
    parser.add_argument("--seed", type=int, help="of the load and of every random time (drawn and printed)")
    parser.add_argument("--short", action="store_true", help="only the short ones, as `make test` runs them")
    parser.add_argument("--keep", type=Path, help="put logs and data here, and keep them")
    parser.add_argument("--write", action="store_true", help="write docs/faults.md")
    parser.add_argument("--results", type=Path, help="a file that keeps the newest outcome of each fault")
    parser.add_argument("--bound", type=float, default=BOUND_SECONDS, help="seconds after which no group begins (1800)")
    arguments = parser.parse_args(argv)
    seed = arguments.seed if arguments.seed is not None else random.randrange(10_000)
    chosen = [s for s in SCENARIOS if not arguments.names or {s.name, s.group} & set(arguments.names)]
    chosen = [s for s in chosen if s.short or not arguments.short]
    print(f"seed {seed}, {len(chosen)} faults", flush=True)
    begun = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the children would be left behind
    with ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        outcomes = _Run(folder, seed, arguments.short, begun + arguments.bound).play(chosen)
    known = remember(arguments.results, outcomes) if arguments.results else outcomes
    if arguments.write:
        DOCS.write_text(report(known))
    failed = [outcome.scenario.name for outcome in outcomes if not outcome.passed and not outcome.skipped]
    skipped = [f"{outcome.scenario.name} ({outcome.skipped})" for outcome in outcomes if outcome.skipped]
    print(f"{len(outcomes) - len(failed) - len(skipped)} passed; failed: {', '.join(failed) or 'none'}; "
          f"skipped: {', '.join(skipped) or 'none'}")  # fmt: skip
    return 1 if failed else 0


class _Run:
    """Servers are started when the first group needs them; each group has a world of its own."""

    def __init__(self, folder: Path, seed: int, short: bool, ends: float) -> None:
        self._folder, self._seed, self._short, self._ends = folder, seed, short, ends
        self._begun = time.monotonic()
        self._outcomes: list[Outcome] = []

    def play(self, scenarios: list[Scenario]) -> list[Outcome]:
        guard = Guard()
        try:
            for place in Place:
                here = [scenario for scenario in scenarios if scenario.place is place]
                if here:
                    self._in_place(place, here, guard)
        finally:
            guard.close()
        return self._outcomes

    def _in_place(self, place: Place, scenarios: list[Scenario], guard: Guard) -> None:
        with ExitStack() as stack:
            root = self._folder / place.name.lower()
            root.mkdir(parents=True, exist_ok=True)
            if place is Place.SMALL_DISK and os.geteuid() != 0:
                return self._skip(scenarios, "needs root")
            if place is Place.SMALL_DISK:
                stack.enter_context(small_disk(root / "clickhouse"))
            try:
                brokers = _brokers(place, root / "kafka", guard, stack)
            except NeedsError as error:
                return self._skip(scenarios, str(error))
            stack.callback(brokers.stop)
            clickhouse = start_clickhouse(root / "clickhouse", guard)
            stack.callback(clickhouse.server.stop)
            for group, members in groupby(scenarios, lambda one: "short" if self._short else one.group):
                self._group(group, list(members), brokers, clickhouse)
        return None

    def _group(self, name: str, scenarios: list[Scenario], brokers: Brokers, clickhouse: ClickHouseServer) -> None:
        if time.monotonic() + GROUP_SECONDS > self._ends:
            return self._skip(scenarios, "the time was up")
        if os.geteuid() != 0:
            self._skip([scenario for scenario in scenarios if scenario.root], "needs root")
            scenarios = [scenario for scenario in scenarios if not scenario.root]
        self._say(f"group {name}")
        world = World(brokers, clickhouse, self._folder / name, closes_in=30.0)
        try:
            self._outcomes += run_group(world, scenarios, self._seed, self._say, self._short)
        finally:
            world.close()
        return None

    def _skip(self, scenarios: list[Scenario], why: str) -> None:
        self._outcomes += [Outcome(scenario, Verdict(), 0.0, self._seed, why) for scenario in scenarios]

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._begun:6.1f} {text}", flush=True)


def _brokers(place: Place, root: Path, guard: Guard, stack: ExitStack) -> Brokers:
    if place is Place.CLUSTER:
        return three_brokers(root, guard)
    if place is Place.LINK:
        return broker_behind(stack.enter_context(link()), root, guard)
    return one_broker(root, guard)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A tmpfs of a few hundred MiB; needs root."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL_DISK, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)
