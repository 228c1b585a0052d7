"""The processors' own clock jumps: Debian's libfaketime, whose offset is changed while the process runs."""

from pathlib import Path

from tests.faults.scenario import Scenario
from tests.faults.stage import NotInjected, Stage
from tests.faults.verdict import NeedsError
from tests.support.eventually import eventually

LIBRARIES = "/usr/lib"
STEPS = ("+1h", "-2h", "+0")  # from the first to the last


def clock_stepped(stage: Stage) -> str:
    """Both workers' wall clocks jump by hours, forward and back, under load; the monotonic clock goes on."""
    library = next(iter(Path(LIBRARIES).glob("*/faketime/libfaketimeMT.so.1")), None)
    if library is None:
        raise NeedsError("needs libfaketime: apt-get install --no-install-recommends libfaketime")
    world = stage.world
    world.settle()
    offset = world.folder / "offset"
    offset.write_text("+0")
    env = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    for name in "ab":
        world.start_worker(name, env)
    eventually(lambda: world.shared("a", "b"), 90)
    load = stage.load(stage.steps())
    for step in STEPS:
        load.reach(load.result.steps + 25)
        offset.write_text(step)
    stage.enough(load)
    stage.healed()
    stage.visible()
    hours = {line[3:16] for worker in world.workers.values() for line in worker.log().splitlines() if line[:3] == "ts="}
    world.settle()  # the next fault gets workers with a clock of this world
    if len(hours) < 2:
        raise NotInjected(f"the workers' log lines are all of {', '.join(sorted(hours))}")
    return f"the workers wrote log lines in the hours {', '.join(sorted(hour[11:] for hour in hours))}"


SCENARIOS = (
    Scenario("clock-stepped", "the ingest workers' wall clock stepped by +1 h, -2 h and back (libfaketime)",
             clock_stepped, "clocks"),
)  # fmt: skip
