"""Data that come twice, late, in another order, with another value, from a wrong clock, or that are no data at all."""

import time
from itertools import pairwise

from tests.faults.generator import Hosts, Step
from tests.faults.scenario import Scenario
from tests.faults.stage import HOSTS, SERIES, NotInjected, Stage
from tests.support.eventually import eventually
from tests.support.frames import FrameSender

MINUTES = 60_000
HOUR_MS = 3_600_000
SCRAPES = 30
PRODUCER = b"00000000000bad00"


def scrapes(stage: Stage, count: int = SCRAPES) -> list[Step]:
    """Scrapes of the minute that closes next."""
    minute = stage.world.live_minute()
    return [Step(minute + number * MINUTES // count) for number in range(count)]


def duplicates(stage: Stage) -> str:
    """Everything is sent three times: at once, a little later, and all again at the end."""
    stage.world.settle("a", "b")
    once = scrapes(stage)
    stage.play([step for step in once for _ in range(2)] + once)
    return _stored_rows(stage, 2 * len(once) * HOSTS * SERIES)


def shuffled(stage: Stage) -> str:
    """The scrapes of a minute and of an older hour in any order."""
    stage.world.settle("a", "b")
    steps = stage.steps(live=SCRAPES, minutes=1)
    stage.random.shuffle(steps)
    stage.play(steps)
    falls = sum(b.ts < a.ts for a, b in pairwise(steps))
    return f"{falls} of {len(steps)} scrapes came after a newer one"


def other_value(stage: Stage) -> str:
    """The same times again with larger and with smaller values: of two the larger stays."""
    stage.world.settle("a", "b")
    once = scrapes(stage)
    again = [Step(step.ts, stage.random.choice((-3, 2, 7))) for step in once]
    stage.random.shuffle(again)
    stage.play(once + again)
    return _stored_rows(stage, len(once) * HOSTS * SERIES // 2)


def two_hours_late(stage: Stage) -> str:
    """Fresh scrapes, then some of two hours ago into hours that were closed long before."""
    stage.world.settle("a", "b")
    fresh = scrapes(stage)
    late = [Step(step.ts - 2 * HOUR_MS) for step in fresh]
    stage.play(fresh[:20] + late[:15])
    stage.visible()
    stage.play(fresh[20:] + late[15:])
    return f"{len(late)} scrapes two hours late, half of them after the other half was stored"


def hour_replayed(stage: Stage) -> str:
    """An hour that waited on disk comes behind and between fresh scrapes."""
    stage.world.settle("a", "b")
    fresh = scrapes(stage)
    old = [Step(fresh[0].ts - HOUR_MS + number * 30_000) for number in range(120)]
    steps: list[Step] = []
    for number, step in enumerate(fresh):
        steps += [step, *old[4 * number : 4 * number + 4]]
    stage.play(steps)
    return f"{len(old)} scrapes of the hour before among {len(fresh)} fresh ones"


def clocks_wrong(stage: Stage) -> str:
    """Hosts' clocks are minutes and hours wrong; what lies too far ahead or too long ago is refused and counted."""
    skews = (0, 60_000, -420_000, 2 * HOUR_MS, -5 * HOUR_MS, 20 * 60_000, -30 * 24 * HOUR_MS, -60_000)
    stage.use(Hosts(stage.name, HOSTS, SERIES, stage.seed, skews))
    stage.world.settle("a", "b")
    before = _refused(stage)
    now_ms = time.time_ns() // 1_000_000
    load = stage.load(scrapes(stage, 20), pace=0.05)
    stage.finish(load, limits=(now_ms - 14 * 24 * HOUR_MS, now_ms + 600_000))
    refused = stage.expected.refused
    eventually(lambda: _refused(stage) - before >= refused, 60)
    counted = _refused(stage) - before
    assert counted == refused, f"{counted:,} refused samples in the ledger, not {refused:,}"
    if not refused:
        raise NotInjected("nothing was refused")
    return f"{refused:,} samples refused and counted exactly"


def _refused(stage: Stage) -> int:
    [(refused,)] = stage.ledger("sum(refused)")
    return int(str(refused))


def poison_of_one(stage: Stage) -> str:
    """One producer sends garbage among the frames of all others."""
    world = stage.world
    world.settle("a", "b")
    before = _dead(stage)
    load = stage.load(scrapes(stage))
    sender = FrameSender(world.topics)
    sent = 0
    while not load.over and sent < 400:
        for partition in range(4):
            sender.send_raw(stage.random.randbytes(200), "poison", partition, [("fp-producer", PRODUCER)])
            sent += 1
        sender.flush()
        time.sleep(0.05)
    sender.close()
    stage.finish(load)
    stage.healed()
    eventually(lambda: _dead(stage) - before >= sent, 60)
    return f"{sent} undecodable messages, {_dead(stage) - before} dead letters"


def poison_of_all(stage: Stage) -> str:
    """Every producer sends garbage until partitions pause; `fleetpulse dead resume` goes on."""
    world = stage.world
    world.settle("a", "b")
    sender = FrameSender(world.topics)
    for number in range(1200):
        sender.send_raw(b"poison", "poison", number % 4, [("fp-producer", b"%016d" % (number % 12))])
    sender.flush()
    load = stage.load(scrapes(stage))
    sender.close()
    stage.finish(load)
    eventually(lambda: any("is paused" in worker.log() for worker in world.workers.values()), 60)
    before = stage.stored()
    stage.healed()
    for _ in range(20):
        assert world.command("dead", "resume").returncode == 0
        if stage.stored() == len(stage.expected):
            break
        time.sleep(2.0)
    if before == len(stage.expected):
        raise NotInjected("no partition paused")
    return f"{len(stage.expected) - before:,} samples waited behind the poison"


def _dead(stage: Stage) -> int:
    [(dead,)] = stage.ledger("sum(dead)")
    return int(str(dead))


def _stored_rows(stage: Stage, at_least: int) -> str:
    stage.visible()
    copies = stage.rows() - stage.stored()
    return f"{copies:,} copies in the table of {at_least:,} samples that were sent again"


SCENARIOS = (
    Scenario("duplicates", "every frame sent three times", duplicates, "data", short=True),
    Scenario("shuffled", "scrapes of a minute and of hours before in any order", shuffled, "data"),
    Scenario("other-value", "the same times again with larger and smaller values", other_value, "data", short=True),
    Scenario("late", "samples two hours late, twice", two_hours_late, "data", short=True),
    Scenario("replayed", "an hour replayed behind and between fresh data", hour_replayed, "data"),
    Scenario("clocks-wrong", "host clocks wrong by minutes, hours and days", clocks_wrong, "data", short=True),
    Scenario("poison-one", "poison from one producer", poison_of_one, "data", short=True),
    Scenario("poison-all", "poison from all producers, until partitions pause; then `dead resume`", poison_of_all,
             "poison"),
)  # fmt: skip
