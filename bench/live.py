"""A fleet that sends at its own pace, the processors that follow it, and what they use meanwhile."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.load import Load
from bench.ours import plan_of, stored
from bench.procfs import Meter, resident_bytes
from bench.servers import Database, Process, Servers, until
from bench.stream import Shape
from fleetpulse.settings import KafkaSettings

SERIES_PER_HOST = 100
WARM_SECONDS = 300.0
# 200k samples/s are two million series at 10 s, the default limit of a worker, and the rules record more.
INGEST = {"INGEST_MAX_SERIES": "4000000"}


def shape_of(samples_a_second: int, interval_seconds: float = 10.0) -> Shape:
    """A fleet that sends so much: every host 100 series at this interval."""
    hosts = max(1, round(samples_a_second * interval_seconds / SERIES_PER_HOST))
    return Shape(hosts, SERIES_PER_HOST, interval_seconds)


@dataclass
class Fleet:
    """A running system under load."""

    servers: Servers
    topics: KafkaSettings
    database: Database
    shape: Shape
    ingest: Process
    rules: Process
    load: Load

    @property
    def trees(self) -> dict[str, int]:
        """The processes that count, by name."""
        return {
            "ingest": self.ingest.pid,
            "rules": self.rules.pid,
            "clickhouse": self.servers.clickhouse.pid,
            "broker": self.servers.kafka.pid,
        }

    def meter(self) -> Meter:
        """CPU from now on."""
        return Meter(self.trees)

    def look(self) -> dict[str, Any]:
        """Memory, lag and parts at this moment."""
        return {
            "at": time.time(),
            "resident_bytes": {name: resident_bytes(pid) for name, pid in self.trees.items()},
            "lag_seconds": {
                name: one.metric("fleetpulse_consumer_oldest_unprocessed_seconds")
                for name, one in (("ingest", self.ingest), ("rules", self.rules))
            },
            "stored": stored(self.database),
            "parts": self.database.ask(
                "SELECT count() FROM system.parts WHERE active AND database = '{db}' AND table = 'samples'"
            ),
        }

    def alive(self) -> None:
        """Raises RuntimeError when a worker or the load has ended."""
        self.ingest.dead()
        self.rules.dead()
        if self.load.process.poll() is not None:
            raise RuntimeError(f"the load ended with exit code {self.load.process.poll()}")


@contextmanager
def fleet(
    servers: Servers, shape: Shape, seconds: float, environment: Mapping[str, str] | None = None
) -> Iterator[Fleet]:
    """The load, an ingest and a rules worker; ready when every series is registered and nobody lags.

    The load sends for ``seconds`` after at most `WARM_SECONDS` of warming up; raises TimeoutError when that is not
    enough. ``environment``: more settings of the rules worker.
    """
    topics, database = servers.topics(), servers.database()
    ticks = int((WARM_SECONDS + seconds) / shape.interval_seconds) + 1
    with (
        servers.process("ingest", topics, database, INGEST) as ingest,
        servers.process("rules", topics, environment={"RULES_FLAPPING": "false", **(environment or {})}) as rules,
    ):
        ingest.wait_assigned()
        rules.wait_assigned()
        load = Load(plan_of(topics, shape, range(ticks), 0, agents=False), servers.root)
        started = Fleet(servers, topics, database, shape, ingest, rules, load)
        try:
            until(lambda: _warm(started), WARM_SECONDS, "every series is registered and nobody lags", 2.0)
            yield started
        finally:
            load.stop()
            database.drop()


def _warm(started: Fleet) -> bool:
    started.alive()
    if stored(started.database) < 1.2 * started.shape.series:
        return False
    return kept_up((started.ingest, started.rules))


def kept_up(workers: Iterable[Process]) -> bool:
    """Whether none of them lags."""
    return all(one.metric("fleetpulse_consumer_oldest_unprocessed_seconds") < 3.0 for one in workers)
