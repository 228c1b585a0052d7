"""The table of docs/sizing.md from the files of the benchmarks: ``python -m bench.sizing FILE.json…``.

Everything in it is computed from measured costs a sample; nothing in it was run at that size.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOSTS = (100, 1_000, 10_000, 100_000)
SERIES_PER_HOST = 500
INTERVAL_SECONDS = 10
DAY_SECONDS = 86_400
KAFKA_DAYS, RAW_DAYS, MINUTE_DAYS, HOUR_DAYS = 2, 15, 90, 730
BUSY = 0.5  # of the cores that are planned for: the other half is for queries, merges and catching up
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured: CPU µs a sample, bytes a sample, bytes a series."""

    ingest_us: float
    clickhouse_us: float
    rules_us: float
    broker_us: float
    kafka_bytes: float
    raw_bytes: float
    minute_bytes: float
    hour_bytes: float
    series_bytes: float

    @property
    def all_us(self) -> float:
        """CPU of everything."""
        return self.ingest_us + self.clickhouse_us + self.rules_us + self.broker_us


def costs_of(reports: Sequence[Mapping[str, Any]]) -> Costs:
    """From the reports of `ingest`, `storage` and `engine`; raises KeyError naming the one that is missing."""
    named = {report["benchmark"]: report["figures"] for report in reports}
    case = named["ingest"]["ours"][0]
    count, both, rules = case["samples"], case["with_derived"]["cpu_seconds"], case["rules"]
    stores = {
        row["what"]: row["bytes_per_sample"] for row in named["storage"]["stores"] if row["values"] == "recording"
    }
    share = 1e6 / rules["samples"]
    return Costs(
        ingest_us=both["ingest"] / count * 1e6,
        clickhouse_us=both["clickhouse"] / count * 1e6,
        rules_us=rules["cpu_seconds"]["rules"] * share,
        broker_us=both["broker"] / count * 1e6 + rules["cpu_seconds"]["broker_out"] * share,
        kafka_bytes=stores["Kafka's log, all frames of it"],
        raw_bytes=stores["ours: raw samples"],
        minute_bytes=stores["ours: samples_1m"],
        hour_bytes=stores["ours: samples_1h"],
        series_bytes=named["engine"]["cases"][-1]["bytes_per_series"],
    )


def measured(costs: Costs) -> str:
    """The measured costs as a Markdown table."""
    rows = [
        ("CPU, ingest worker", costs.ingest_us, "µs a sample"),
        ("CPU, ClickHouse, merges included", costs.clickhouse_us, "µs a sample"),
        ("CPU, rules worker, shipped pack", costs.rules_us, "µs a sample"),
        ("CPU, broker, in and out", costs.broker_us, "µs a sample"),
        ("Kafka's log (zstd, one replica)", costs.kafka_bytes, "bytes a sample"),
        ("ClickHouse, raw", costs.raw_bytes, "bytes a sample"),
        ("ClickHouse, one-minute rows", costs.minute_bytes, "bytes a raw sample"),
        ("ClickHouse, one-hour rows", costs.hour_bytes, "bytes a raw sample"),
        ("memory of the ingest worker", costs.series_bytes, "bytes a series"),
    ]
    lines = [f"| {what} | {value:.3g} | {unit} |" for what, value, unit in rows]
    return "\n".join(["| cost | measured | |", "|---|---:|---|", *lines])


def computed(costs: Costs) -> str:
    """The table by number of hosts."""
    heads = (
        "hosts", "series", "samples/s", "cores", "Kafka, GiB", "raw, GiB", "1 minute, GiB", "1 hour, GiB",
        "ingest memory, GiB",
    )  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---:" * len(heads) + "|"]
    for hosts in HOSTS:
        series = hosts * SERIES_PER_HOST
        rate = series / INTERVAL_SECONDS
        a_day = rate * DAY_SECONDS
        cells = (
            f"{hosts:,}",
            f"{series:,}",
            f"{rate:,.0f}",
            _number(rate * costs.all_us / 1e6 / BUSY),
            _number(a_day * KAFKA_DAYS * costs.kafka_bytes / GIB),
            _number(a_day * RAW_DAYS * costs.raw_bytes / GIB),
            _number(a_day * MINUTE_DAYS * costs.minute_bytes / GIB),
            _number(a_day * HOUR_DAYS * costs.hour_bytes / GIB),
            _number(series * costs.series_bytes / GIB),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def main(argv: list[str]) -> int:
    """Print both tables."""
    reports: list[Any] = []
    for name in argv:
        told = json.loads(Path(name).read_text())
        reports += told if isinstance(told, list) else [told]
    costs = costs_of(reports)
    print(f"{measured(costs)}\n\n{computed(costs)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
