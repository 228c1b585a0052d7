"""Kafka that dies, loses nodes, or cannot be reached; producers that wait on a disk, and die."""

import signal
import subprocess
import time
from collections import Counter
from functools import partial

from tests.faults.brokers import start_together
from tests.faults.expected import HOUR_MS, KEY_SHIFT
from tests.faults.generator import Step
from tests.faults.oracle import Oracle
from tests.faults.producer import ENOUGH
from tests.faults.scenario import Place, Scenario
from tests.faults.stage import Load, NotInjected, Stage
from tests.faults.world import World
from tests.support.eventually import eventually
from tests.support.metrics_topic import read_all
from tests.support.proxy import Proxy

DELIVERY = {
    "FLEETPULSE_PUBLISH_DELIVERY_TIMEOUT_SECONDS": "20",
    "FLEETPULSE_PUBLISH_STALL_SECONDS": "20",
}
AWAY_SECONDS = 30.0
MIB = 1024 * 1024


def broker_killed(stage: Stage) -> str:
    """SIGKILL of the only broker's process under load, twice, five seconds each."""
    world, server = stage.world, stage.world.brokers.servers[0]
    world.settle("a", "b")
    load = stage.load(stage.steps(), env=DELIVERY)
    for _ in range(2):
        load.reach(load.result.steps + 10)
        server.kill()
        steps = load.result.steps
        time.sleep(5.0)
        if load.result.steps == steps:
            raise NotInjected("nothing was sent meanwhile")
        server.start()
    stage.healed()
    stage.enough(load)
    return "killed twice for 5 s"


def unreachable(stage: Stage) -> str:
    """Kafka neither reads nor answers nor resets, for longer than the delivery timeout."""
    proxy = _proxy(stage.world)
    stage.world.settle("a", "b")
    load = stage.load(stage.steps(), env=DELIVERY)
    load.reach(15)
    proxy.blackhole()
    delivered = load.result.delivered_samples_total
    time.sleep(AWAY_SECONDS)
    result = load.result
    waiting = result.samples_total - result.delivered_samples_total
    proxy.resume()
    stage.healed()
    stage.enough(load)
    if waiting <= 0:
        raise NotInjected("nothing waited")
    return f"{AWAY_SECONDS:.0f} s without an answer, {waiting:,} samples waited, {delivered:,} were delivered before"


def one_of_three(stage: Stage) -> str:
    """A broker is killed under load, comes back, then the next."""
    world = stage.world
    world.settle("a", "b")
    load = stage.load(stage.steps(), env=DELIVERY)
    for server in world.brokers.servers[:2]:
        load.reach(load.result.steps + 10)
        server.kill()
        delivered = load.result.delivered_samples_total
        eventually(partial(_delivers, load, delivered), 60)
        server.start()
    stage.healed()
    stage.enough(load)
    return "two brokers killed in turn, each time the other two took what was sent"


def _delivers(load: Load, before: int) -> bool:
    return load.result.delivered_samples_total > before


def two_of_three(stage: Stage) -> str:
    """Two brokers of three are away for longer than the delivery timeout: nothing can be acknowledged."""
    world = stage.world
    world.settle("a", "b")
    load = stage.load(stage.steps(), env=DELIVERY)
    load.reach(15)
    for server in world.brokers.servers[:2]:
        server.kill()
    time.sleep(3.0)
    delivered = load.result.delivered_samples_total
    time.sleep(AWAY_SECONDS)
    result = load.result
    if result.delivered_samples_total != delivered or result.samples_total == delivered:
        raise NotInjected(f"delivered {result.delivered_samples_total - delivered} samples all the same")
    start_together(world.brokers.servers[:2])
    stage.healed()
    stage.enough(load)
    return f"{AWAY_SECONDS:.0f} s without two of three, {result.samples_total - delivered:,} samples waited"


def spool_replayed(stage: Stage) -> str:
    """An hour of scrapes waits in a real spool while Kafka is away; fresh scrapes go ahead of it."""
    proxy = _proxy(stage.world)
    stage.world.settle("a", "b")
    minute = stage.world.live_minute(30.0)
    old = [Step(minute - HOUR_MS + number * 30_000) for number in range(120)]
    fresh = [Step(minute + number * 2000) for number in range(30)]
    proxy.refuse()
    load = stage.load(old + fresh, pace=0.1, env=DELIVERY)
    load.reach(len(old))
    spooled = sum(file.stat().st_size for file in load.result_file.parent.rglob("*.seg"))
    proxy.resume()
    stage.healed()
    stage.finish(load)
    if not spooled:
        raise NotInjected("nothing was on the disk")
    return f"{spooled / MIB:.1f} MiB on the disk when Kafka came back"


def producer_killed(stage: Stage) -> str:
    """A producer with a spool is killed while Kafka is away, and starts again."""
    proxy = _proxy(stage.world)
    stage.world.settle("a", "b")
    steps = stage.steps()
    proxy.refuse()
    load = stage.load(steps[:40], pace=0.1, env=DELIVERY)
    load.reach(40)
    eventually(lambda: list(load.result_file.parent.rglob("*.seg")), 30)
    time.sleep(5.0)  # what was accepted in the last moment before a SIGKILL is nowhere: docs say so
    load.process.send_signal(signal.SIGKILL)
    load.process.wait()
    before = load.result
    if before.delivered_samples_total:
        raise NotInjected("Kafka was not away")
    stage.expected.add(load.spec.steps)
    load.counted = True
    proxy.resume()
    stage.healed()
    follower = stage.again(load, steps[40:60], DELIVERY)
    stage.finish(follower)
    return f"killed with {before.samples_total:,} samples waiting, which its successor sent"


def spool_full(stage: Stage) -> str:
    """Kafka is away until a spool on a small file system overflows: the oldest are dropped, and counted exactly."""
    proxy = _proxy(stage.world)
    stage.world.settle("a", "b")
    folder = stage.world.folder / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=True)
    try:
        env = DELIVERY | {
            "FLEETPULSE_PUBLISH_SPOOL_DIR": str(folder),
            "FLEETPULSE_PUBLISH_SPOOL_BYTES": str(64 * MIB),
            "FLEETPULSE_PUBLISH_BUFFER_BYTES": str(MIB),
        }
        proxy.refuse()
        load = stage.load(stage.steps(live=1200, minutes=1), pace=0.02, env=env)
        eventually(lambda: load.result.dropped_samples_total > 20_000 or load.over, 120)
        proxy.resume()
        stage.healed()
        load.result_file.with_name(ENOUGH).touch()
        result = stage.finish(load, delivered=False)
        assert result.delivered, load.log_file.read_text()[-2000:]
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)
    if not result.dropped_samples_total:
        raise NotInjected("nothing was dropped")
    return _forget_dropped(stage, result.dropped_samples_total)


def _forget_dropped(stage: Stage, dropped: int) -> str:
    """What is missing must be, by host and hour, what the producer says in its control frames that it gave up."""
    eventually(lambda: stage.stored() >= len(stage.expected) - dropped, 60)
    missing = [int(key) for key in stage.oracle(Oracle.missing)]
    lost: Counter[tuple[str, int]] = Counter()
    for key in missing:
        host = (key >> KEY_SHIFT) // stage.hosts.series
        lost[stage.hosts.names[host], (key & ((1 << KEY_SHIFT) - 1)) // HOUR_MS * HOUR_MS] += 1
    told: Counter[tuple[str, int]] = Counter()
    for message in read_all(stage.world.topics):
        for one in message.frame.control.dropped if message.frame.control else ():
            if one.host.startswith(f"{stage.name}-"):
                told[one.host, one.hour_ms] += one.samples
    assert told == lost, f"told {sum(told.values()):,}, lost {sum(lost.values()):,}"
    assert sum(told.values()) == dropped
    for host, ts in {((key >> KEY_SHIFT) // stage.hosts.series, key & ((1 << KEY_SHIFT) - 1)) for key in missing}:
        stage.expected.forget(host, ts)
    return f"{dropped:,} samples dropped, each told by host and hour"


def dropped_packets(stage: Stage) -> str:
    """Every packet to the broker is dropped in a network namespace, for longer than the delivery timeout."""
    link = stage.world.brokers.link
    assert link is not None
    stage.world.settle("a", "b")
    load = stage.load(stage.steps(), env=DELIVERY)
    load.reach(15)
    how = link.drop()
    try:
        time.sleep(3.0)
        delivered, packets = load.result.delivered_samples_total, link.packets()
        time.sleep(AWAY_SECONDS)
        result, sent = load.result, link.packets() - packets
    finally:
        link.restore()
    stage.healed()
    stage.enough(load)
    waiting = result.samples_total - delivered
    if result.delivered_samples_total != delivered or waiting <= 0:
        raise NotInjected(f"delivered {result.delivered_samples_total - delivered} samples all the same")
    return f"{AWAY_SECONDS:.0f} s, {sent:,} packets dropped by {how}, {waiting:,} samples waited"


def _proxy(world: World) -> Proxy:
    assert world.brokers.proxy is not None
    return world.brokers.proxy


SCENARIOS = (
    Scenario("kafka-killed", "the only broker killed with SIGKILL under load, twice for 5 s", broker_killed, "kafka"),
    Scenario("kafka-unreachable", "Kafka neither reads nor answers nor resets for 30 s (delivery timeout 20 s)",
             unreachable, "kafka"),
    Scenario("spool-replayed", "an hour waits in a spool and is replayed behind fresh data", spool_replayed, "kafka"),
    Scenario("producer-killed", "a producer killed with SIGKILL while its spool holds everything", producer_killed,
             "kafka"),
    Scenario("spool-full", "a spool on a file system of 4 MiB overflows", spool_full, "kafka", root=True),
    Scenario("broker-killed", "brokers of a cluster killed in turn under load", one_of_three, "cluster",
             place=Place.CLUSTER),
    Scenario("nft", "packets to the broker dropped in a network namespace for 33 s (delivery timeout 20 s)",
             dropped_packets, "nft", place=Place.LINK, root=True),
    Scenario("two-brokers-away", "two of three brokers away for 33 s (delivery timeout 20 s)", two_of_three, "cluster",
             place=Place.CLUSTER),
)  # fmt: skip
