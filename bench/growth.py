"""`growth`: the cost of a sample as series and hosts grow by powers of ten. Flat is what one wants to see."""

from pathlib import Path
from typing import Any

from bench import ours
from bench.goals import Goal
from bench.load import HERE
from bench.report import Options, Report
from bench.servers import Servers
from bench.stream import Shape, ticks_of
from bench.svg import chart

DEFAULT_SAMPLES = 5_000_000
SERIES = (1_000, 10_000, 100_000, 1_000_000)
SERIES_PER_HOST = 100
LEAST_TICKS = 8
PICTURE = HERE / "docs" / "growth.svg"


def run(options: Options) -> Report:
    """One ingest worker for each number of series; draws the picture when the default number of samples was used."""
    samples = options.samples or DEFAULT_SAMPLES
    report = Report("growth")
    with Servers(options.folder) as servers:
        cases = [_case(servers, series, samples) for series in SERIES if series * LEAST_TICKS <= 2 * samples]
    report.figures = {"cases": cases}
    head = ("series", "hosts", "samples", "samples/frame", "ingest µs", "ClickHouse µs", "broker µs", "bytes/series")
    names = ("series", "hosts", "samples", "samples_a_frame", "ingest_us", "clickhouse_us", "broker_us", "series_bytes")
    report.tables = [("CPU a sample, steady state", head, [[case[name] for name in names] for case in cases])]
    large = [case for case in cases if case["series"] >= 10_000]
    if len(large) > 1:
        rise = large[-1]["worker_and_clickhouse_us"] / large[0]["worker_and_clickhouse_us"]
        name = f"cost a sample at {large[-1]['series']:,} series over {large[0]['series']:,}"
        report.goals = [Goal(name, "<=", 1.5, rise, "x")]
    report.notes = ["Few hosts send small frames, so their samples cost more: that is Kafka's cost a message."]
    _draw(cases, options.folder / PICTURE.name if options.samples else PICTURE)
    return report


def _case(servers: Servers, series: int, samples: int) -> dict[str, Any]:
    shape = Shape(series // SERIES_PER_HOST, SERIES_PER_HOST)
    ticks = max(LEAST_TICKS, ticks_of(shape, samples))
    found = ours.ingest_pass(servers, shape, ticks, ours.start_of(shape, ticks), agents=False)
    each = {name: spent / found["samples"] * 1e6 for name, spent in found["cpu_seconds"].items()}
    return {
        "series": shape.series,
        "hosts": shape.hosts,
        "samples": found["samples"],
        "samples_a_frame": found["samples"] / found["frames"],
        "ingest_us": each["ingest"],
        "clickhouse_us": each["clickhouse"],
        "broker_us": each["broker"],
        "worker_and_clickhouse_us": each["ingest"] + each["clickhouse"],
        "series_bytes": found["worker_bytes_per_series"] if series >= 100_000 else None,
        "register_us": found["registration_us_per_series"],
        "exact": found["exact"],
    }


def _draw(cases: list[dict[str, Any]], path: Path) -> None:
    lines = {
        "ingest + ClickHouse": [(case["series"], case["worker_and_clickhouse_us"]) for case in cases],
        "ingest worker": [(case["series"], case["ingest_us"]) for case in cases],
        "ClickHouse": [(case["series"], case["clickhouse_us"]) for case in cases],
    }
    if len(cases) > 1:
        path.write_text(chart("CPU a sample as the fleet grows", "active series", "µs of CPU a sample", lines))
