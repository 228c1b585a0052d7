"""`make faults`: servers of its own, every group of faults in turn, a table of what came out."""

import argparse
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from infra.embedded.guard import Guard
from tests.faults.matrix import SCENARIOS
from tests.faults.runner import Outcome, run_group
from tests.faults.scenario import Scenario
from tests.faults.world import Brokers, World
from tests.support.servers import start_clickhouse, start_kafka


def main(argv: list[str]) -> int:
    """Run and report; exit 1 unless every fault that was played passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these faults, or groups of them")
    parser.add_argument("--seed", type=int, help="of the load and of every random time (drawn and printed)")
    parser.add_argument("--short", action="store_true", help="only the short ones, as `make test` runs them")
    parser.add_argument("--keep", type=Path, help="put logs and data here, and keep them")
    arguments = parser.parse_args(argv)
    seed = arguments.seed if arguments.seed is not None else random.randrange(10_000)
    chosen = [s for s in SCENARIOS if not arguments.names or {s.name, s.group} & set(arguments.names)]
    chosen = [s for s in chosen if s.short or not arguments.short]
    print(f"seed {seed}, {len(chosen)} faults", flush=True)
    with ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        outcomes = _run(folder, chosen, seed, arguments.short)
    return 0 if all(outcome.passed or outcome.skipped for outcome in outcomes) else 1


def _run(folder: Path, scenarios: list[Scenario], seed: int, short: bool) -> list[Outcome]:
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} {text}", flush=True)

    outcomes: list[Outcome] = []
    guard = Guard()
    try:
        kafka, clickhouse = start_kafka(folder / "kafka", guard), start_clickhouse(folder / "clickhouse", guard)
        for group, members in groupby(scenarios, lambda one: "short" if short else one.group):
            say(f"group {group}")
            brokers = Brokers(kafka.bootstrap_servers, kafka.bootstrap_servers)
            world = World(brokers, clickhouse, folder / group, closes_in=30.0)
            try:
                outcomes += run_group(world, list(members), seed, say, short)
            finally:
                world.close()
        kafka.server.stop()
        clickhouse.server.stop()
    finally:
        guard.close()
    return outcomes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
