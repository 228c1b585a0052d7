"""The agent's ticks: on multiples of the interval, each stamped with its tick."""

import logging
import threading
from collections.abc import Callable

from fleetpulse.clock import Clock
from fleetpulse.logs import log_fields
from fleetpulse.metric import host_of
from fleetpulse.publish.publisher import Publisher
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.wire import Block, join_keys, make_block
from producers.agent.samples import Samples

log = logging.getLogger(__name__)


class TickBlock:
    """Turns the samples of a tick into a block; the joined keys are kept while the series stay the same."""

    def __init__(self, job: str, instance: str) -> None:
        self._common = {"instance": instance, "job": job}
        self._host = host_of(self._common)
        self._keys: list[str] = []
        self._series = b""

    def __call__(self, samples: Samples, tick_ms: int) -> Block:
        keys = [key for key, _ in samples]
        if keys != self._keys:
            self._keys, self._series = keys, join_keys(keys)
        return make_block(self._host, self._common, self._series, tick_ms, [value for _, value in samples])


def next_tick(now_ms: int, interval_ms: int) -> int:
    """The first multiple of the interval after `now_ms`."""
    return now_ms - now_ms % interval_ms + interval_ms


def run(
    scrape: Callable[[], Samples],
    block: TickBlock,
    publisher: Publisher,
    interval_ms: int,
    metrics: SelfMetrics,
    clock: Clock,
    stop: threading.Event,
) -> None:
    """Tick until `stop`. A tick that a slow scrape or a sleeping machine ran past is counted, not made up for."""
    last_ms = 0
    while True:
        now_ms = clock.now_ms()
        tick_ms = next_tick(now_ms, interval_ms)
        missed = (tick_ms - last_ms) // interval_ms - 1
        if last_ms and missed > 0:
            metrics.add("fleetpulse_agent_late_ticks_total", missed)
            log.warning("ticks missed", extra=log_fields(missed=missed))
        if stop.wait((tick_ms - now_ms) / 1000):
            return
        if not publisher.send([block(scrape(), tick_ms)]):
            log.debug("samples dropped", extra=log_fields(waiting_bytes=publisher.waiting_bytes))
        metrics.add("fleetpulse_agent_ticks_total")
        last_ms = tick_ms
