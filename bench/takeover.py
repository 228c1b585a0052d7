"""`takeover`: a worker of two is killed with SIGKILL under load; how long until the other goes on with its partitions.

Once for ingest and once for the rules. A partition goes on when the group commits a later offset of it than before: its
samples are stored, or its rules evaluated, again.
"""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from bench import ours
from bench.goals import Goal
from bench.live import INGEST, WARM_SECONDS, kept_up, shape_of
from bench.load import Load
from bench.machine import load
from bench.ours import plan_of, stored
from bench.report import Options, Report
from bench.servers import Process, Servers, until
from fleetpulse.publish.topic_admin import admin_client
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic

RATE = 200_000
TARGET_SECONDS = 30.0
MOST_SECONDS = 120.0
CATCH_UP_SECONDS = 300.0
PROCESSES = ("ingest", "rules")


def run(options: Options) -> Report:
    """Both kinds of worker at the rated load; with ``--samples`` at so many samples a second."""
    rate = options.samples or RATE
    report = Report("takeover")
    with Servers(options.folder) as servers:
        cases, audit = _cases(servers, rate)
    report.figures = {"rate": rate, "cases": cases, "audit": audit, "load": load()}
    head = ("worker killed", "its partitions", "every partition goes on s", "keeps up again s")
    rows = [(one["process"], one["partitions"], one["seconds"], one["kept_up"]) for one in cases]
    report.tables = [(f"Seconds from SIGKILL, at {rate:,} samples/s", head, rows)]
    report.goals = [
        Goal(f"every partition of a killed {one['process']} worker goes on", "<=", TARGET_SECONDS, one["seconds"], "s")
        for one in cases
    ]
    report.goals.append(Goal("audit's exit code", "==", 0, audit["exit_code"] if audit else None))
    report.notes = [
        "Two ingest and two rules workers share the cores with the load, Kafka and ClickHouse; Kafka's group believes "
        "a silent member for 10 s.",
    ]
    return report


def _cases(servers: Servers, rate: int) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    shape, topics, database = shape_of(rate), servers.topics(), servers.database()
    with ExitStack() as stack:
        workers: dict[str, list[Process]] = {name: [] for name in PROCESSES}
        for name, of_name in workers.items():
            needs = (database, INGEST) if name == "ingest" else (None, None)
            of_name += [stack.enter_context(servers.process(name, topics, *needs)) for _ in range(2)]
            until(partial(_shared, of_name, topics), 60.0, f"two {name} workers share the partitions", 0.5)
        ticks = int((2 * WARM_SECONDS + 2 * (MOST_SECONDS + CATCH_UP_SECONDS)) / shape.interval_seconds)
        sending = Load(plan_of(topics, shape, range(ticks), 0, agents=False), servers.root)
        stack.callback(sending.stop)
        everybody = [one for of_name in workers.values() for one in of_name]
        until(
            lambda: stored(database) > 2 * shape.series and kept_up(everybody),
            2 * WARM_SECONDS,
            "every series is registered and nobody lags",
            2.0,
        )
        cases = []
        for name, (killed, other) in workers.items():
            cases.append(_kill(topics, name, killed, other))
            everybody.remove(killed)
            until(lambda: kept_up(everybody), CATCH_UP_SECONDS, "nobody lags", 1.0)
        sending.stop()
        _, other = workers["ingest"]
        until(lambda: other.metric("fleetpulse_consumer_lag_messages") == 0, MOST_SECONDS, "all is stored", 2.0)
        return cases, ours.audit(servers, topics, database)


def _kill(topics: KafkaSettings, name: str, killed: Process, other: Process) -> dict[str, Any]:
    lost = int(killed.metric("fleetpulse_consumer_assigned_partitions"))
    os.kill(killed.pid, signal.SIGKILL)
    begun = time.monotonic()
    time.sleep(1.0)  # a commit that it had sent is through, or lost
    before = _committed(topics, name)
    waiting = set(range(topics.partitions))
    while waiting:
        time.sleep(0.2)
        other.dead()
        now = _committed(topics, name)
        waiting -= {partition for partition in waiting if now.get(partition, 0) > before.get(partition, 0)}
        if time.monotonic() - begun > MOST_SECONDS:
            raise TimeoutError(f"partitions {sorted(waiting)} were not taken over within {MOST_SECONDS:.0f} s")
    seconds = time.monotonic() - begun
    until(lambda: kept_up([other]), CATCH_UP_SECONDS, f"{name} keeps up", 0.5)
    return {"process": name, "partitions": lost, "seconds": seconds, "kept_up": time.monotonic() - begun}


def _committed(topics: KafkaSettings, name: str) -> dict[int, int]:
    """Partition → the offset that the workers' group has committed."""
    group, topic = f"{topics.topic_prefix}.{name}", Topic.METRICS.named(topics.topic_prefix)
    with admin_client(topics) as admin:
        found = admin.list_group_offsets(group).get(group, {})
    return {place.partition: mark.offset for place, mark in found.items() if place.topic == topic}


def _shared(workers: Sequence[Process], topics: KafkaSettings) -> bool:
    owned = [one.metric("fleetpulse_consumer_assigned_partitions") for one in workers]
    return all(owned) and sum(owned) == topics.partitions
