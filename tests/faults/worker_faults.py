"""Ingest workers that die, freeze, come and go."""

import signal
import time
from contextlib import suppress
from functools import partial

from tests.faults.scenario import Scenario
from tests.faults.stage import NotInjected, Stage
from tests.faults.world import PARTITIONS, owned_by
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.running import Running


def killed(stage: Stage) -> str:
    """SIGKILL at random times of the load, each time another worker, which starts again at once."""
    world, times = stage.world, 2 if stage.short else 6
    world.settle("a", "b")
    load = stage.load(stage.steps())
    for number in range(times):
        load.reach(5)
        time.sleep(stage.random.uniform(0.3, 3.0))
        name = "ab"[number % 2]
        world.kill_worker(name)
        world.start_worker(name)
    stage.enough(load)
    stage.healed()
    return f"{times} kills under load"


def all_killed(stage: Stage) -> str:
    """Every worker in turn, with none left for a moment."""
    world = stage.world
    world.settle("a", "b")
    load = stage.load(stage.steps())
    load.reach(10)
    world.kill_worker("a")
    load.reach(20)
    world.kill_worker("b")
    before = stage.stored()
    time.sleep(3.0)
    if stage.stored() != before:
        raise NotInjected("something was stored with every worker dead")
    for name in "ab":
        world.start_worker(name)
    stage.enough(load)
    stage.healed()
    return "both workers killed, none for three seconds and more"


def terminated(stage: Stage) -> str:
    """SIGTERM of each worker under load; the other takes over, and it starts again."""
    world = stage.world
    world.settle("a", "b")
    load = stage.load(stage.steps())
    codes = []
    for steps, name in ((5, "a"), (15, "b")):
        load.reach(steps)
        codes.append(world.stop_worker(name))
        world.start_worker(name)
    stage.enough(load)
    stage.healed()
    assert codes == [0, 0], f"exit codes {codes}"
    return "both ended with 0 under load"


def moved_and_back(stage: Stage) -> str:
    """Partitions go from A to B and back to A, which lives all the time."""
    world = stage.world
    world.settle("a")
    load = stage.load(stage.steps())
    load.reach(5)
    world.start_worker("b")
    eventually(lambda: world.shared("a", "b"), 30)
    moved = owned_by(world.workers["b"])
    load.reach(load.result.steps + 10)
    assert world.stop_worker("b") == 0
    eventually(lambda: world.shared("a"), 30)
    stage.enough(load)
    stage.healed()
    if not moved or not set(moved) <= set(owned_by(world.workers["a"])):
        raise NotInjected("no partition moved")
    return f"partitions {', '.join(map(str, moved))} moved and came back"


def zombie(stage: Stage) -> str:
    """A worker is stopped with an insert on the way, expelled, replaced; the insert arrives late, then it goes on."""
    world = stage.world
    with Proxy(("127.0.0.1", world.clickhouse.port)) as own:
        world.settle()
        old = world.start_worker("z", proxy=own)
        eventually(partial(_owns_all, old), 60)
        load = stage.load(stage.steps())
        load.reach(10)
        own.blackhole()  # its next insert is under way and does not arrive
        load.reach(load.result.steps + 10)
        old.signal(signal.SIGSTOP)
        successor = world.start_worker("a")
        eventually(partial(_owns_all, successor), 60)
        stage.enough(load)
        eventually(lambda: stage.stored() == len(stage.expected), 60)
        rows = stage.rows()
        own.resume()
        old.signal(signal.SIGCONT)
        late = _late_rows(stage, rows)
        eventually(lambda: world.shared("a", "z"), 60)
        stage.healed()
        world.kill_worker("z")
    if not late:
        raise NotInjected("nothing of the zombie arrived late")
    return f"{late:,} rows of the zombie arrived after its successor had stored them"


def _late_rows(stage: Stage, before: int) -> int:
    with suppress(AssertionError):
        eventually(lambda: stage.rows() > before, 10)
    return stage.rows() - before


def _owns_all(worker: Running) -> bool:
    return len(owned_by(worker)) == PARTITIONS


def frozen(stage: Stage) -> str:
    """SIGSTOP for longer than the session, then SIGCONT, under load."""
    world = stage.world
    world.settle("a", "b")
    load = stage.load(stage.steps())
    for name, other in (("a", "b"), ("b", "a")):
        load.reach(load.result.steps + 5)
        world.workers[name].signal(signal.SIGSTOP)
        eventually(partial(_owns_all, world.workers[other]), 60)
        load.reach(load.result.steps + 5)
        world.workers[name].signal(signal.SIGCONT)
        eventually(lambda: world.shared("a", "b"), 60)
    stage.enough(load)
    stage.healed()
    return "each worker was expelled, replaced, and came back"


def grown(stage: Stage) -> str:
    """Workers 1 → 3 → 1 under load."""
    world = stage.world
    world.settle("a")
    load = stage.load(stage.steps())
    load.reach(5)
    world.start_worker("b")
    world.start_worker("c")
    eventually(lambda: world.shared("a", "b", "c"), 60)
    parts = [len(owned_by(worker)) for worker in world.workers.values()]
    load.reach(load.result.steps + 20)
    for name in "bc":
        assert world.stop_worker(name) == 0
    eventually(lambda: world.shared("a"), 60)
    stage.enough(load)
    stage.healed()
    return f"three workers had {', '.join(map(str, parts))} of the partitions, then one had all"


SCENARIOS = (
    Scenario("worker-killed", "ingest workers killed with SIGKILL at random times under load, each restarted", killed,
             "workers", short=True),
    Scenario("all-workers-killed", "all ingest workers killed in turn, none left for seconds", all_killed, "workers"),
    Scenario("terminated", "SIGTERM of each ingest worker under load", terminated, "workers", short=True),
    Scenario("moved-back", "partitions moved A → B → A under load", moved_and_back, "workers", short=True),
    Scenario("zombie", "a worker stopped with SIGSTOP in the middle of an insert, replaced, the insert arrives late, "
             "SIGCONT", zombie, "workers"),
    Scenario("frozen", "each worker stopped with SIGSTOP for longer than its session, then SIGCONT", frozen, "workers"),
    Scenario("grown", "workers 1 → 3 → 1 under load", grown, "workers"),
)  # fmt: skip
