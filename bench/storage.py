"""`storage`: bytes a sample of the same stream in ours, in VictoriaMetrics and in Prometheus, everything merged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import ours, peers
from bench.goals import Goal
from bench.load import Load
from bench.report import Options, Report, mib
from bench.servers import Database, Servers, until
from bench.stream import Shape, ticks_of

DEFAULT_SAMPLES = 4_000_000
SERIES_PER_HOST = 490  # all that node_exporter shows, constants too
# What node_exporter measures of itself: nearly random, and more than half of all bytes. Our agent has none of it.
OF_ITSELF = ("node_scrape_", "node_exporter_", "go_", "process_", "promhttp_")
OF_THE_HOST = 350
KINDS = ("recording", "recording, of the host", "noise")
LEAST_TICKS = 1_000
OUR_TABLES = ("samples", "samples_1m", "samples_1h", "registered_series")


def run(options: Options) -> Report:
    """Both kinds of values, in each store."""
    samples = options.samples or DEFAULT_SAMPLES
    hosts = max(1, samples // LEAST_TICKS // SERIES_PER_HOST)
    report = Report("storage")
    found: list[dict[str, Any]] = []
    programs = {name: peers.find(name, options.peers) for name in peers.NAMES}
    report.peers = {name: peer.version if peer else None for name, peer in programs.items()}
    with Servers(options.folder) as servers:
        for kind in KINDS:
            shape = _shape(hosts, kind)
            ticks = max(LEAST_TICKS, ticks_of(shape, samples))
            start_ms = ours.start_of(shape, ticks)
            stores = _ours(servers, shape, ticks, start_ms)
            for name, peer in programs.items():
                if peer is not None:
                    folder = options.folder / f"{name}-{KINDS.index(kind)}"
                    with peers.running(peer, folder, servers.guard) as started:
                        stores.append(_theirs(started, shape, ticks, start_ms))
            found += [store | {"values": kind} for store in stores]
    report.figures = {"stores": found}
    report.tables = [_table(found)]
    raw = {one["values"]: one["bytes_per_sample"] for one in found if one["what"] == "ours: raw samples"}
    report.goals = [
        Goal("bytes a raw sample of a recorded node_exporter", "<=", 0.6, raw[KINDS[0]]),
        Goal("bytes a raw sample, without what node_exporter measures of itself", "<=", 0.6, raw[KINDS[1]]),
    ]
    report.notes = [
        f"{hosts} hosts with {SERIES_PER_HOST} series each: every series that node_exporter shows, constants too. "
        "A tick has one time for all samples of a host.",
        "Ours after OPTIMIZE … FINAL; VictoriaMetrics after a forced merge, its index apart; Prometheus as the block "
        "that a snapshot of its head makes, chunks and index apart.",
    ]
    return report


def _shape(hosts: int, kind: str) -> Shape:
    if kind == KINDS[1]:
        return Shape(hosts, OF_THE_HOST, leave_out=OF_ITSELF)
    return Shape(hosts, SERIES_PER_HOST, noise=kind == KINDS[2])


def _ours(servers: Servers, shape: Shape, ticks: int, start_ms: int) -> list[dict[str, Any]]:
    topics, database = servers.topics(), servers.database()
    with servers.process("ingest", topics, database, ours.HOURS_SOON) as worker:
        worker.wait_assigned()
        servers.keep_times(topics)
        plan = ours.plan_of(topics, shape, range(ticks), start_ms, agents=False)
        sent = Load(plan, servers.root).wait(ours.DRAIN_SECONDS)
        until(lambda: ours.rolled_up(database, sent["samples"]) or worker.dead(), 300.0, "all is rolled up", 0.5)
        until(lambda: ours.hours_built(database, topics) or worker.dead(), 120.0, "every hour is rolled up", 0.5)
    log_bytes = _folder_bytes(servers.root / "kafka" / "kafka" / "data", f"{topics.topic_prefix}.metrics-")
    found = []
    for table in OUR_TABLES:
        if not database.ask(f"SELECT count() FROM system.tables WHERE database = '{{db}}' AND name = '{table}'"):
            continue
        database.client.execute(f"OPTIMIZE TABLE {database.name}.{table} FINAL")
        size, rows = _table_size(database, table)
        what = {"samples": "ours: raw samples", "registered_series": "ours: names"}.get(table, f"ours: {table}")
        found.append(_row(what, shape, sent["samples"], size, rows))
    found.append(_row("Kafka's log, all frames of it", shape, sent["samples"], log_bytes, sent["frames"]))
    database.drop()
    return found


def _table_size(database: Database, table: str) -> tuple[int, int]:
    [(size, rows)] = database.rows(
        "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts "
        f"WHERE active AND database = '{{db}}' AND table = '{table}'"
    )
    return int(size), int(rows)


def _theirs(started: peers.Running, shape: Shape, ticks: int, start_ms: int) -> dict[str, Any]:
    figures = peers.store(started, shape, ticks, start_ms)
    samples = shape.series * ticks
    if started.peer.name == peers.NAMES[0]:
        started.get("/internal/force_flush")
        started.get("/internal/force_merge")
        until(lambda: not started.merging(), 120.0, "VictoriaMetrics has merged", 1.0)
        size = int(started.metric("vm_data_size_bytes", type="storage/big")) + int(
            started.metric("vm_data_size_bytes", type="storage/small")
        )
        other = int(started.metric("vm_data_size_bytes", type="indexdb"))
    else:
        started.get("/api/v1/admin/tsdb/snapshot", "POST")
        blocks = started.folder / "data" / "snapshots"
        size = sum(path.stat().st_size for path in blocks.rglob("chunks/*"))
        other = sum(path.stat().st_size for path in blocks.rglob("index"))
    return _row(f"{started.peer.name} {started.peer.version}", shape, samples, size, samples) | {
        "index_bytes": other,
        "exact": figures["exact"],
    }


def _row(what: str, shape: Shape, samples: int, size: int, rows: int) -> dict[str, Any]:
    return {
        "what": what,
        "series": shape.series,
        "samples": samples,
        "rows": rows,
        "bytes": size,
        "bytes_per_sample": size / samples,
    }


def _table(found: Sequence[dict[str, Any]]) -> tuple[str, Sequence[str], Sequence[Sequence[Any]]]:
    rows: list[Sequence[Any]] = [
        (
            one["what"],
            one["values"],
            one["samples"],
            one["rows"],
            mib(one["bytes"]),
            one["bytes_per_sample"],
            one["index_bytes"] / one["samples"] if "index_bytes" in one else None,
        )
        for one in found
    ]
    return ("Bytes a raw sample", ("store", "values", "samples", "rows", "MiB", "bytes/sample", "index/sample"), rows)


def _folder_bytes(root: Path, prefix: str) -> int:
    """Bytes of the segments of the topic's partitions."""
    return sum(path.stat().st_size for path in root.glob(f"{prefix}*/*.log"))
