"""Make the recording that the benchmarks replay: ``python -m bench.record URL SECONDS`` scrapes a node_exporter.

``python -m bench.record --files FOLDER`` makes it of scrapes kept before, one file a scrape, named by its time in
milliseconds. The file (`bench/recorded.py` reads it): zstd of one line of JSON and the columns' bytes, shuffled.
"""

import argparse
import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zstandard

from bench.recorded import FILE, shuffled
from fleetpulse.metric import canonical_key, parse_key

INTERVAL_SECONDS = 10
LEAST_TICKS = 120
# Labels of these say who was recorded; a value that changes once a release teaches nothing about storage.
_LEFT_OUT = ("_info",)
# Counters by nature that node_exporter types as gauges or not at all.
_RISING = ("node_time_seconds", "node_vmstat_", "node_netstat_", "node_nf_conntrack_stat_")
_NOT_RISING = ("node_netstat_Tcp_CurrEstab", "node_netstat_Ip_Forwarding", "node_netstat_Ip6_Forwarding")


def main(argv: list[str]) -> int:
    """Scrape or read, then write the recording."""
    parser = argparse.ArgumentParser(prog="python -m bench.record", description=__doc__, allow_abbrev=False)
    parser.add_argument("url", nargs="?", help="the exporter's /metrics")
    parser.add_argument("seconds", nargs="?", type=int, default=1800, help="how long (default 1800)")
    parser.add_argument("--files", type=Path, help="scrapes kept before")
    arguments = parser.parse_args(argv)
    if (arguments.url is None) == (arguments.files is None):
        parser.error("give a URL or --files")
    scrapes = list(_kept(arguments.files) if arguments.files else _scrape(arguments.url, arguments.seconds))
    if len(scrapes) < LEAST_TICKS:
        print(f"{len(scrapes)} scrapes are too few: at least {LEAST_TICKS}", file=sys.stderr)
        return 1
    raw = encode(scrapes)
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(raw)
    print(f"{FILE}: {len(scrapes)} scrapes, {len(raw)} bytes")
    return 0


def encode(scrapes: list[str]) -> bytes:
    """The recording of these expositions: the series that are in every one of them."""
    tables = [dict(_samples(text)) for text in scrapes]
    keys = [key for key in tables[0] if all(key in table for table in tables)]
    counters = _counters(scrapes[0])
    rising = [_is_counter(key.partition("{")[0], counters) for key in keys]
    values = np.array([[table[key] for key in keys] for table in tables])
    head = {
        "source": "prometheus-node-exporter (Debian), scraped on a machine at work",
        "interval_seconds": INTERVAL_SECONDS,
        "ticks": len(tables),
        "series": keys,
        "rising": rising,
    }
    body = json.dumps(head, separators=(",", ":")).encode() + b"\n" + shuffled(values)
    return zstandard.ZstdCompressor(level=19).compress(body)


def _scrape(url: str, seconds: int) -> Iterator[str]:
    begun = time.monotonic()
    for tick in range(seconds // INTERVAL_SECONDS):
        time.sleep(max(0.0, begun + tick * INTERVAL_SECONDS - time.monotonic()))
        with urllib.request.urlopen(url, timeout=5) as answer:
            yield answer.read().decode()


def _kept(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.txt")):
        yield path.read_text()


def _samples(text: str) -> Iterator[tuple[str, float]]:
    for line in text.splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.rpartition(" ")
            name, labels = parse_key(key)
            if not name.endswith(_LEFT_OUT):
                yield canonical_key(name, labels), float(value)


def _counters(text: str) -> frozenset[str]:
    types = [line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE ")]
    return frozenset(name for name, kind in types if kind == "counter")


def _is_counter(name: str, counters: frozenset[str]) -> bool:
    if name in counters or name.endswith(("_sum", "_count")):
        return True
    return name.startswith(_RISING) and not name.startswith(_NOT_RISING)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
