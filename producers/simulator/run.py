"""The simulation's ticks: every host at each multiple of the interval, in real time or as fast as Kafka takes it."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fleetpulse.clock import Clock
from fleetpulse.publish.packer import Packer
from fleetpulse.publish.publisher import Publisher
from fleetpulse.wire import Block
from producers.simulator.fleet import Fleet

_ROOM_POLL_SECONDS = 0.01


def ticks(start_s: int, interval_s: int, backfill_s: int, duration_s: int | None) -> Iterator[int]:
    """Tick times in Unix seconds: the history before `start_s`, then from it on, to the end or for ever."""
    tick = start_s - backfill_s // interval_s * interval_s
    while duration_s is None or tick < start_s + duration_s:
        yield tick
        tick += interval_s


@dataclass(frozen=True, slots=True)
class Pace:
    """When to send: with `real_time` each tick at its own time, else as fast as Kafka takes it.

    Waits while more than `most_waiting_bytes` wait for Kafka; in real time only what waits in memory counts, the wait
    ends after one interval, and what does not fit then is dropped and counted.
    """

    interval_s: int
    real_time: bool
    most_waiting_bytes: int


def run(
    fleet: Fleet,
    times: Iterable[int],
    pace: Pace,
    packer: Packer,
    publisher: Publisher,
    clock: Clock,
    stop: threading.Event,
    progress: Callable[[int], None],
) -> None:
    """Send every tick's frames until the ticks end or `stop` is set."""
    for tick in times:
        if pace.real_time and stop.wait(max(0.0, tick - clock.now_ms() / 1000)):
            return
        deadline = clock.monotonic() + pace.interval_s if pace.real_time else float("inf")
        for blocks in frames(fleet, tick, packer):
            while _waiting(publisher, pace) > pace.most_waiting_bytes and clock.monotonic() < deadline:
                progress(tick)
                if stop.wait(_ROOM_POLL_SECONDS):
                    return
            publisher.send(blocks)
            if stop.is_set():
                return
        progress(tick)


def _waiting(publisher: Publisher, pace: Pace) -> int:
    return publisher.memory_bytes if pace.real_time else publisher.waiting_bytes


def frames(fleet: Fleet, tick: int, packer: Packer) -> Iterator[list[Block]]:
    """The frames of one tick."""
    for host in fleet.hosts:
        block = fleet.block(host, tick)
        full = packer.add(block) if block else None
        if full:
            yield full
    yield from packer.drain()
