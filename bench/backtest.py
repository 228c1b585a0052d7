"""Back-test speed, a part of `rules`: weeks of one-minute rows of a fleet, and one rule over them.

Alone: ``python -m bench.backtest [DAYS] [HOSTS] [--profile FILE]``.
"""

import argparse
import cProfile
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.procfs import Meter, peak_bytes, reset_peak
from bench.servers import Database, Servers
from fleetpulse.clock import to_datetime
from fleetpulse.hindsight.backtested import Progress, Request, Result, backtest
from fleetpulse.identity import series_id
from fleetpulse.metric import canonical_key
from fleetpulse.rules.conduct import Conduct
from fleetpulse.rules.flapping import Flapping
from fleetpulse.rules.model import Rule, RuleKind, Threshold
from fleetpulse.storage import tables
from fleetpulse.storage.client import connect
from fleetpulse.storage.history import History
from fleetpulse.storage.native import insert_arrays
from fleetpulse.storage.tiers import DAY_MS, MINUTE_MS

DAYS, HOSTS = 30, 1_000
METRIC = "host_busy_ratio"
RULE = Rule(
    name="Busy",
    kind=RuleKind.ALERT,
    expr=METRIC,
    file="bench.yaml",
    line=1,
    group="bench",
    for_ms=300_000,
    warning=Threshold(">", 0.9),
    critical=Threshold(">", 0.97),
    annotations={"summary": "{{ $labels.instance }} is at {{ $value }}"},
)
HOT_SHARE = 0.002  # of the hours of a host it is hot for 7 to 40 minutes
_MINUTES_A_DAY = DAY_MS // MINUTE_MS


def measure(servers: Servers, days: int = DAYS, hosts: int = HOSTS, profile: Path | None = None) -> dict[str, Any]:
    """Wall time, CPU of this process and of ClickHouse, and what was found."""
    database = servers.database()
    end_ms = int(time.time() * 1000) // DAY_MS * DAY_MS
    _fill(database, end_ms - days * DAY_MS, days, hosts)
    request = Request(RULE, None, end_ms - days * DAY_MS, end_ms, tier="1m", conduct=Conduct(Flapping()))
    history = History(database.url_of("api"))
    reset_peak(os.getpid())
    meter = Meter({"ours": os.getpid(), "clickhouse": servers.clickhouse.pid})
    profiler = cProfile.Profile() if profile else None
    try:
        found = list(_run(history, request) if profiler is None else profiler.runcall(list, _run(history, request)))
    finally:
        history.close()
        database.drop()
    spent = meter.read()
    if profiler is not None:
        profiler.dump_stats(str(profile))
    result = found[-1]
    if not isinstance(result, Result) or result.samples != days * hosts * _MINUTES_A_DAY:
        raise RuntimeError(f"the back-test read {getattr(result, 'samples', None)} samples")
    return {
        "days": days,
        "hosts": hosts,
        "samples": result.samples,
        "tier": result.tier,
        "seconds": spent["wall"],
        "our_cpu_seconds": spent["ours"],
        "clickhouse_cpu_seconds": spent["clickhouse"],
        "samples_per_second": result.samples / spent["wall"],
        "episodes": len(result.new.episodes.all),
        "notifications": sum(result.new.notifications.values()),
        "progress_lines": len(found) - 1,
        "peak_bytes": peak_bytes(os.getpid()),
    }


def _run(history: History, request: Request) -> Iterator[Progress | Result]:
    return backtest(history, request, lambda: False)


def _fill(database: Database, start_ms: int, days: int, hosts: int) -> None:
    """One-minute rows of every host, as ingest writes them: a day an insert, by id and time, then merged."""
    labels = [{"instance": f"bench-{number:06}", "job": "node"} for number in range(hosts)]
    keys = [canonical_key(METRIC, each) for each in labels]
    ids = np.array([series_id(key) for key in keys], dtype=np.uint64)
    client = connect(database.url)
    rows = [
        (int(id_), key, METRIC, each["instance"], {"__name__": METRIC, **each}, to_datetime(start_ms), to_datetime(0))
        for id_, key, each in zip(ids.tolist(), keys, labels, strict=True)
    ]
    client.execute(f"INSERT INTO {tables.SERIES} ({', '.join(tables.SERIES_COLUMNS)}) VALUES", rows)
    order = np.argsort(ids)
    random = np.random.default_rng(11)
    for day in range(days):
        value = random.uniform(0.1, 0.8, (hosts, _MINUTES_A_DAY))
        for host, minute in zip(*np.nonzero(random.random(value.shape) < HOT_SHARE / 60), strict=True):
            value[host, minute : minute + int(random.integers(7, 40))] = random.uniform(0.91, 1.0)
        _insert_day(client, ids[order], value, start_ms + day * DAY_MS)
    client.disconnect()
    bench = database.client
    bench.execute(f"OPTIMIZE TABLE {database.name}.samples_1m FINAL")


def _insert_day(client: Any, ids: Any, value: Any, start_ms: int) -> None:
    minutes = value.shape[1]
    ones = np.ones(value.size)
    last = np.round(value.ravel(), 3)
    times = np.tile(np.arange(start_ms // 1000, start_ms // 1000 + 60 * minutes, 60).astype(np.uint32), len(ids))
    columns = {"id": np.repeat(ids, minutes), "timestamp": times, "count": (6 * ones).astype(np.uint32)}
    columns |= {"nans": (0 * ones).astype(np.uint32), "sum": last * 6}
    columns |= dict.fromkeys(("min", "max", "first", "last"), last)
    columns |= {"increase": 0 * ones, "version": (6 * ones).astype(np.uint64)}
    insert_arrays(client, tables.SAMPLES_1M, columns, {})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.backtest", description=__doc__, allow_abbrev=False)
    parser.add_argument("days", nargs="?", type=int, default=DAYS)
    parser.add_argument("hosts", nargs="?", type=int, default=HOSTS)
    parser.add_argument("--profile", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleetpulse-bench-") as folder, Servers(Path(folder)) as started:
        print(json.dumps(measure(started, asked.days, asked.hosts, asked.profile), indent=1))
