"""What the page is tested with: five hosts with known figures, stored where the pipeline stores them."""

import time
from collections.abc import Callable, Iterator
from functools import partial

from tests.support.stored import Stored, event_at, store, store_events

TICK_MS = 10_000
MINUTES = 12
GIB = float(2**30)

# metric, labels, value at the n-th tick
Sampled = tuple[str, dict[str, str], Callable[[int], float]]


def store_fleet(url: str) -> None:
    """Twelve minutes until now of every host; db-1 stopped an hour ago. web-1 alerts, web-2 did."""
    now_ms = int(time.time() * 1000)
    hour_ago_ms = now_ms - 3_600_000
    rows: list[Stored] = [
        *_rows("web-1", now_ms, cpu=0.96),
        *_rows("web-2", now_ms, cpu=0.25),
        *_rows("web-10", now_ms, cpu=0.4),
        *_rows("db-1", hour_ago_ms, cpu=0.1),
        *_rows("sim-1", now_ms, cpu=0.5, simulated="true"),
    ]
    store(url, rows)
    store_events(
        url,
        [
            event_at("web-2", hour_ago_ms),
            event_at("web-2", hour_ago_ms, 2, hour_ago_ms + 60_000, resolved=True),
            event_at("web-1", now_ms - 120_000, severity="critical"),
        ],
    )


def _rows(host: str, end_ms: int, cpu: float, **labels: str) -> Iterator[Stored]:
    end_ms -= end_ms % TICK_MS
    ticks = range(MINUTES * 60_000 // TICK_MS + 1)
    first_ms = end_ms - ticks[-1] * TICK_MS
    for metric, own, value in (*_recorded(cpu), *_sent(), *_processor(cpu)):
        all_labels = {"instance": host, "job": "node", **labels, **own}
        yield metric, all_labels, [(first_ms + tick * TICK_MS, value(tick)) for tick in ticks]


def _recorded(cpu: float) -> list[Sampled]:
    return [
        ("host:cpu_utilisation:ratio_rate1m", {}, lambda _: cpu),
        ("host:memory_utilisation:ratio_avg1m", {}, lambda _: 0.75),
        ("host:filesystem_utilisation:ratio_avg1m", {}, lambda _: 0.75),
        ("host:disk_utilisation:ratio_rate1m", {}, lambda _: 0.05),
        ("host:network_receive_bytes:rate1m", {}, lambda _: 2048.0),
        ("host:network_transmit_bytes:rate1m", {}, lambda _: 1024.0),
        ("host:load_per_core:ratio_avg1m", {}, lambda _: 0.5),
    ]


def _processor(cpu: float) -> list[Sampled]:
    """What `HostCpuHigh` reads."""
    modes = {"idle": 1 - cpu, "user": cpu}
    return [
        ("node_cpu_seconds_total", {"cpu": "0", "mode": mode}, partial(_grows, share * TICK_MS / 1000))
        for mode, share in modes.items()
    ]


def _grows(by: float, tick: int) -> float:
    return 100 + by * tick


def _sent() -> list[Sampled]:
    disk, network, data = {"device": "sda"}, {"device": "eth0"}, {"device": "sdb", "mountpoint": "/data"}
    return [
        ("up", {}, lambda _: 1.0),
        ("node_memory_MemTotal_bytes", {}, lambda _: 8 * GIB),
        ("node_memory_MemAvailable_bytes", {}, lambda _: 2 * GIB),
        ("node_filesystem_size_bytes", data, lambda _: 100 * GIB),
        ("node_filesystem_avail_bytes", data, lambda _: 25 * GIB),
        ("node_disk_read_bytes_total", disk, lambda tick: tick * 40_960.0),
        ("node_disk_written_bytes_total", disk, lambda tick: tick * 81_920.0),
        ("node_network_receive_bytes_total", network, lambda tick: tick * 20_480.0),
        ("node_network_transmit_bytes_total", network, lambda tick: tick * 10_240.0),
        ("node_load1", {}, lambda tick: 1.0 + tick % 7 / 10),
        ("node_load5", {}, lambda _: 1.2),
        ("node_load15", {}, lambda _: 0.8),
    ]
