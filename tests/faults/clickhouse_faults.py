"""ClickHouse that answers late, not at all, or not in full; that dies, freezes, or has no room."""

import re
import signal
import time
from functools import partial

from tests.faults.scenario import Place, Scenario
from tests.faults.stage import NotInjected, Stage
from tests.support.eventually import eventually
from tests.support.proxy import Proxy

INSERTS = (b"INSERT INTO samples (", b"INSERT INTO ledger (", b"INSERT INTO samples_1m (")


def failures(stage: Stage) -> int:
    """How often the workers were told, or found, that ClickHouse does not take what they have."""
    logs = [worker.log() for worker in stage.world.workers.values()]
    return sum(len(re.findall('msg="will try again"', log)) for log in logs)


def answer_cut(stage: Stage) -> str:
    """The connection is cut after the insert and before the answer: of raw rows, of the ledger, of rollups."""
    world, proxy = stage.world, stage.world.proxy
    world.settle("a", "b")
    load = stage.load(stage.steps())
    withheld = proxy.withheld
    for request in INSERTS[:2] * (1 if stage.short else 3):
        before = proxy.withheld
        proxy.cut_before_answer(request, skip=1)
        eventually(partial(_withheld, proxy, before), 60)
    stage.enough(load)
    stage.healed()
    stage.visible()
    return f"{proxy.withheld - withheld} answers withheld, {failures(stage)} retries"


def _withheld(proxy: Proxy, before: int) -> bool:
    return proxy.withheld > before


def slow(stage: Stage) -> str:
    """Every insert takes two seconds and more."""
    world = stage.world
    world.settle("a", "b")
    load = stage.load(stage.steps())
    load.reach(5)
    world.proxy.delay(0.5)  # each way; an insert asks and answers twice
    before = len(stage.ledger("first_offset"))
    begun = time.monotonic()
    load.reach(load.result.steps + (20 if stage.short else 60))
    eventually(lambda: len(stage.ledger("first_offset")) > before, 120)
    seconds = time.monotonic() - begun
    inserts = len(stage.ledger("first_offset")) - before
    stage.enough(load)
    world.proxy.resume()
    stage.healed()
    if inserts > 6 * seconds:  # of six partitions and two workers, every two seconds and more
        raise NotInjected(f"{inserts} ledger rows in {seconds:.0f} s")
    return f"{inserts} ledger rows in {seconds:.0f} s"


def unreachable(stage: Stage) -> str:
    """ClickHouse neither reads nor answers nor resets, for some seconds."""
    world = stage.world
    world.settle("a", "b")
    load = stage.load(stage.steps())
    load.reach(5)
    world.proxy.blackhole()
    time.sleep(0.5)
    before = stage.stored()
    time.sleep(3.0 if stage.short else 15.0)
    if stage.stored() != before:
        raise NotInjected("something was stored all the same")
    world.proxy.resume()
    stage.healed()
    stage.enough(load)
    return "nothing was stored while it was unreachable"


def refused(stage: Stage) -> str:
    """Connections are reset, again and again, in the middle of inserts."""
    world, proxy = stage.world, stage.world.proxy
    world.settle("a", "b")
    load = stage.load(stage.steps())
    for _ in range(2 if stage.short else 8):
        load.reach(load.result.steps + 5)
        proxy.cut_after(stage.random.randrange(100, 20_000))
        time.sleep(stage.random.uniform(0.2, 1.0))
        proxy.refuse()
        time.sleep(stage.random.uniform(0.2, 1.0))
        proxy.resume()
    stage.enough(load)
    stage.healed()
    if not failures(stage):
        raise NotInjected("no insert failed")
    return f"{failures(stage)} attempts failed"


def killed(stage: Stage) -> str:
    """SIGKILL of ClickHouse under load, three times."""
    world, server = stage.world, stage.world.clickhouse.server
    world.settle("a", "b")
    load = stage.load(stage.steps())
    for _ in range(3):
        load.reach(load.result.steps + 8)
        time.sleep(stage.random.uniform(0.0, 1.0))
        server.kill()
        time.sleep(2.0)
        server.start()
        world.stop_merges()
    stage.enough(load)
    stage.healed()
    if not failures(stage):
        raise NotInjected("no insert failed")
    return f"3 kills, {failures(stage)} attempts failed"


def frozen(stage: Stage) -> str:
    """SIGSTOP of ClickHouse for 15 seconds, then SIGCONT."""
    world, process = stage.world, stage.world.clickhouse.server.child.process
    world.settle("a", "b")
    load = stage.load(stage.steps())
    load.reach(10)
    process.send_signal(signal.SIGSTOP)
    steps = load.result.steps
    time.sleep(15.0)
    sent = load.result.steps - steps
    process.send_signal(signal.SIGCONT)
    stage.healed()
    stage.enough(load)
    if not sent:
        raise NotInjected("nothing was sent meanwhile")
    return f"15 s frozen, {sent} scrapes sent meanwhile"


def disk_full(stage: Stage) -> str:
    """The file system of ClickHouse's data folder has no room for a while."""
    world = stage.world
    world.settle("a", "b")
    load = stage.load(stage.steps())
    load.reach(10)
    filler = world.clickhouse.folder.root / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
        except OSError:  # full, as wanted
            pass
    eventually(lambda: failures(stage) > 3, 60)
    logs = "".join(worker.log() for worker in world.workers.values())
    causes = set(re.findall(r"No space left|NOT_ENOUGH_SPACE|Cannot reserve", logs))
    filler.unlink()
    stage.healed()
    stage.enough(load)
    return f"{failures(stage)} attempts failed ({', '.join(sorted(causes)) or 'without room'})"


SCENARIOS = (
    Scenario("answer-cut", "the connection cut after an insert and before its answer (raw rows, ledger)", answer_cut,
             "clickhouse", short=True),
    Scenario("slow", "ClickHouse takes two seconds and more an insert", slow, "clickhouse"),
    Scenario("unreachable", "ClickHouse neither reads nor answers nor resets", unreachable, "clickhouse", short=True),
    Scenario("refused", "connections to ClickHouse reset in the middle of inserts, and refused", refused, "clickhouse"),
    Scenario("clickhouse-killed", "ClickHouse killed with SIGKILL under load, three times", killed, "clickhouse"),
    Scenario("clickhouse-frozen", "ClickHouse stopped with SIGSTOP for 15 s", frozen, "clickhouse"),
    Scenario("disk-full", "ClickHouse's file system full (tmpfs)", disk_full, "disk",
             place=Place.SMALL_DISK, root=True),
)  # fmt: skip
