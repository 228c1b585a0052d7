"""Our side of a measurement: a stream through the real broker, the real workers and the real ClickHouse.

An hour of samples is sent in seconds. The processors' only clock is Kafka's message time, so the topic keeps the
times that the bench gives: the workers see a fleet that lives through that hour, minutes close and rules run as they
would, only faster. Values that recording rules derive are measured in two steps: a rules worker reads the stream,
and what it wrote is then put back at its place in time for the ingest worker; side by side, at this speed, every
second of delay would look like minutes of lateness.
"""

import json
import pickle
import time
from pathlib import Path
from typing import Any

from bench.derived import derived as derived_of
from bench.load import Load, Plan
from bench.procfs import MERGES_SECONDS, Meter, peak_bytes, reset_peak, settle
from bench.servers import Database, Process, Servers, until
from bench.stream import Shape
from fleetpulse.cli import COMMANDS
from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from fleetpulse.storage.pending import pending
from fleetpulse.storage.recompute import HOUR_SECONDS, HOURS
from fleetpulse.topics import Topic

PARSES = "msgpack columns from Kafka; a block's labels once, then a hash of them"
MINUTE_MS = 60_000
AGO_SECONDS = 180  # the stream ends at least so long before now: every minute of it can close
DRAIN_SECONDS = 900.0
# An hour is part of what storing a sample costs: it is built soon, so that it is within the measured time.
HOURS_SOON = {"INGEST_HOUR_CHECK_SECONDS": "10", "INGEST_HOUR_SETTLE_SECONDS": "8"}
DAY_SECONDS = 86_400


def start_of(shape: Shape, ticks: int) -> int:
    """The first tick's time in ms, so that the last one ends an hour, `AGO_SECONDS` or more ago.

    So every sample is in an hour that is over, and what building it costs is measured at any time of the day.
    """
    over = int(time.time() - AGO_SECONDS) // HOUR_SECONDS * HOUR_SECONDS
    begin = over - ticks * shape.interval_seconds
    return int(begin // 60) * 60_000


def plan_of(topics: KafkaSettings, shape: Shape, ticks: range, start_ms: int, agents: bool, derived: str = "") -> Plan:
    """What the load sends to these topics."""
    fields = {name: getattr(shape, name) for name in Shape.__dataclass_fields__}
    return Plan(
        topics.bootstrap_servers,
        topics.topic_prefix,
        topics.partitions,
        fields,
        ticks.start,
        ticks.stop,
        start_ms,
        agents=agents,
        derived=derived,
        closing=ticks.start > 0,
    )


def ingest_pass(
    servers: Servers,
    shape: Shape,
    ticks: int,
    start_ms: int,
    agents: bool,
    derived: str = "",
    merges_seconds: float = MERGES_SECONDS,
) -> dict[str, Any]:
    """One ingest worker stores the stream: registration (the first tick) and steady state apart, then the audit."""
    topics, database = servers.topics(), servers.database()
    with servers.process("ingest", topics, database, HOURS_SOON) as worker:
        worker.wait_assigned()
        servers.keep_times(topics)
        trees = {"ingest": worker.pid, "clickhouse": servers.clickhouse.pid, "broker": servers.kafka.pid}
        for pid in trees.values():
            reset_peak(pid)
        meter = Meter(trees)
        # A minute earlier than the rest: its minute ends while this partition is idle.
        plan = plan_of(topics, shape, range(1), start_ms - MINUTE_MS, agents)
        first = _drain(servers, worker, plan, database, 0)
        settle(servers.clickhouse.pid, database.merging, at_least=min(3.0, merges_seconds))
        registration = meter.read()
        meter = Meter(trees)
        begun = time.monotonic()
        plan = plan_of(topics, shape, range(1, ticks), start_ms, agents, derived)
        sent = _drain(servers, worker, plan, database, first["samples"])
        seconds = time.monotonic() - begun
        total = first["samples"] + sent["samples"]
        until(lambda: rolled_up(database, total), 120.0, "every minute is rolled up", 0.5)
        until(lambda: hours_built(database, topics), 120.0, "every hour is rolled up", 0.5)
        settle(servers.clickhouse.pid, database.merging, at_least=merges_seconds)
        steady = meter.read()
        figures = {
            "samples": sent["samples"],
            "frames": sent["frames"],
            "frame_bytes": sent["bytes"],
            "cpu_seconds": {name: steady[name] for name in trees},
            "registration_us_per_series": 1e6 * (registration["ingest"] + registration["clickhouse"]) / shape.series,
            "samples_per_second": sent["samples"] / seconds,
            "peak_bytes": {name: peak_bytes(pid) for name, pid in trees.items()},
            "worker_bytes_per_series": (peak_bytes(worker.pid) - worker.base_bytes) / shape.series,
            "recomputed": worker.log().count("recomputed from raw"),
            "exact": exact(database, total),
            "stored": total,
        }
    figures["audit"] = audit(servers, topics, database)
    database.drop()
    return figures


def _drain(servers: Servers, worker: Process, plan: Plan, database: Database, before: int) -> dict[str, Any]:
    load = Load(plan, servers.root)
    sent = load.wait(DRAIN_SECONDS)
    expected = before + sent["samples"]
    until(lambda: stored(database) >= expected or worker.dead(), DRAIN_SECONDS, f"{expected} samples are stored", 0.5)
    return sent


def stored(database: Database) -> int:
    """Samples by the ledger: raw rows that are in, redelivered ones twice."""
    return int(database.ask("SELECT sum(stored) FROM {db}.ledger"))


def rolled_up(database: Database, samples: int) -> bool:
    """Whether the one-minute rows hold so many samples."""
    return int(database.ask("SELECT sum(count + nans) FROM {db}.samples_1m")) >= samples


def hours_built(database: Database, topics: KafkaSettings) -> bool:
    """Whether every hour of the stream stands in the tier of hours, as the ledger has it."""
    before = int(time.time() - AGO_SECONDS) // HOUR_SECONDS * HOUR_SECONDS
    client = connect(database.url)
    try:
        return not pending(client, Topic.METRICS.named(topics.topic_prefix), HOURS, before - DAY_SECONDS, before)
    finally:
        client.disconnect()


def exact(database: Database, samples: int) -> bool:
    """Whether raw rows and rollups, each seen once, are exactly the samples that were sent."""
    raw = int(database.ask("SELECT count() FROM {db}.samples FINAL"))
    rolled = int(database.ask("SELECT sum(count + nans) FROM {db}.samples_1m FINAL"))
    return raw == rolled == samples


def audit(servers: Servers, topics: KafkaSettings, database: Database) -> dict[str, Any] | None:
    """What `fleetpulse audit` says: its exit code and its JSON; None in a build without it."""
    if "audit" not in COMMANDS:
        return None
    code, text = servers.command("audit", topics, database, "--json")
    try:
        told = json.loads(text)
    except ValueError:
        told = text[-2000:]
    return {"exit_code": code, "says": told}


def rules_pass(servers: Servers, shape: Shape, ticks: int, start_ms: int, agents: bool) -> tuple[dict[str, Any], Path]:
    """One rules worker with the shipped pack reads the stream; its figures, and a file of what it recorded.

    The stream is all there before the worker starts, so that the broker's CPU for taking it and for giving it out
    are told apart.
    """
    topics = servers.topics()
    servers.keep_times(topics)
    taking = Meter({"broker": servers.kafka.pid})
    sent = Load(plan_of(topics, shape, range(ticks), start_ms, agents), servers.root).wait(DRAIN_SECONDS)
    time.sleep(1.0)
    produce = taking.read()["broker"]
    with servers.process("rules", topics) as worker:
        servers_meter = Meter({"broker": servers.kafka.pid})
        worker.wait_assigned()
        meter = Meter({"rules": worker.pid})
        begun = time.monotonic()
        until(lambda: _done(worker), DRAIN_SECONDS, "the rules worker has read everything", 0.5)
        seconds = time.monotonic() - begun
        spent, broker = meter.read()["rules"], servers_meter.read()["broker"]
        figures = {
            "samples": sent["samples"],
            "cpu_seconds": {"rules": spent, "broker_in": produce, "broker_out": broker},
            "samples_per_second": sent["samples"] / seconds,
            "peak_bytes": {"rules": peak_bytes(worker.pid)},
            "recorded_samples": worker.metric("fleetpulse_rules_recorded_samples_total"),
            "evaluations": worker.metric("fleetpulse_rules_evaluations_total"),
            "events": worker.metric("fleetpulse_rules_events_total"),
        }
    path = servers.root / f"derived-{time.monotonic_ns()}"
    path.write_bytes(pickle.dumps(derived_of(topics)))
    return figures, path


def _done(worker: Process) -> bool:
    if worker.metric("fleetpulse_rules_samples_total") == 0:
        return False
    for _ in range(4):  # the gauge is two seconds old
        if worker.metric("fleetpulse_consumer_lag_messages") > 0:
            return False
        time.sleep(1.0)
    return True
