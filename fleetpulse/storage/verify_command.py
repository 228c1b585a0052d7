"""`fleetpulse verify`: recompute the rollups from the raw samples and compare; `--repair` mends what differs."""

import argparse
import json
import math
import re
import sys
import time
from typing import Any

from fleetpulse import settings
from fleetpulse.clock import to_rfc3339
from fleetpulse.metric import canonical_key
from fleetpulse.settings import ClickHouseSettings, IngestSettings, KafkaSettings
from fleetpulse.storage.client import CLICKHOUSE_ERRORS, connect, unavailable
from fleetpulse.storage.compare import TOLERANCE, Difference
from fleetpulse.storage.recompute import ROLLUPS, Rollup
from fleetpulse.storage.verify import Named, Progress, TierReport, Verifier
from fleetpulse.topics import Topic

DAY_SECONDS = 86_400
PRINTED = 20
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": DAY_SECONDS}
_STATEMENT_SECONDS = 600.0


def main(argv: list[str]) -> int:
    """Exit code 0 when every finished bucket is right (or was mended), 1 when one is not."""
    arguments = _arguments(argv)
    begun = time.monotonic()
    reports, bounds = verify(arguments)
    left = sum(report.differing - report.mended for report in reports)
    if arguments.json:
        print(json.dumps(_as_json(reports, bounds, time.monotonic() - begun), indent=2))
    else:
        _print(reports, bounds, time.monotonic() - begun)
    return 1 if left else 0


def verify(arguments: argparse.Namespace) -> tuple[list[TierReport], dict[str, tuple[int, int]]]:
    """A report a tier, and by tier the range (seconds since the epoch) that was looked at."""
    kafka, ingest = settings.load(KafkaSettings), settings.load(IngestSettings)
    url = settings.load(ClickHouseSettings).url
    client = connect(url, answer_timeout_seconds=_STATEMENT_SECONDS)
    bounds = {}
    reports = []
    try:
        verifier = Verifier(
            client,
            Topic.METRICS.named(kafka.topic_prefix),
            kafka.partitions,
            host=arguments.host,
            repair=arguments.repair,
            patience_seconds=arguments.patience,
            progress=_show if sys.stderr.isatty() else lambda _: None,
        )
        for rollup in ROLLUPS:
            bounds[rollup.name] = _range(rollup, arguments.since, ingest, time.time())
            reports.append(verifier.run(rollup, *bounds[rollup.name]))
    except CLICKHOUSE_ERRORS as error:
        raise unavailable(url, error) from error
    finally:
        client.disconnect()
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr)
    return reports, bounds


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fleetpulse verify", description=__doc__, allow_abbrev=False)
    parser.add_argument("--since", type=_seconds, default="24h", help="how far back, e.g. 90m, 24h, 14d (default 24h)")
    parser.add_argument("--host", default="", help="this host's series only")
    parser.add_argument("--repair", action="store_true", help="recompute what differs, and compare again")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--patience", type=float, default=10.0,
        help="seconds in which a difference is looked at again, because its sample may be in flight (default 10)",
    )  # fmt: skip
    return parser.parse_args(argv)


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write a number with s, m, h or d, e.g. 24h")
    return int(match[1]) * _UNITS[match[2]]


def _range(rollup: Rollup, since: int, ingest: IngestSettings, now: float) -> tuple[int, int]:
    """Whole buckets that began within `since`, whose raw samples are all kept, and that are closed."""
    width = rollup.seconds
    begin = max(now - since, now - ingest.raw_retention_days * DAY_SECONDS)
    start = math.ceil(begin / width) * width
    return start, max(start, int((now - ingest.lateness_seconds) // width * width))


def _show(progress: Progress) -> None:
    print(
        f"\r\x1b[K{progress.tier}: hour {to_rfc3339(progress.hour * 1000)[:13]}, {progress.hours_done} of "
        f"{progress.hours} done, {progress.differing} buckets differ",
        end="",
        file=sys.stderr,
        flush=True,
    )


def _print(reports: list[TierReport], bounds: dict[str, tuple[int, int]], seconds: float) -> None:
    for report in reports:
        start, end = bounds[report.tier]
        mended = f", {report.mended} mended" if report.mended else ""
        print(
            f"{report.tier}: {report.buckets} buckets of {report.samples} raw samples from "
            f"{to_rfc3339(start * 1000)[:16]}Z to {to_rfc3339(end * 1000)[:16]}Z: {report.differing} differ{mended}; "
            f"{report.pending} pending"
        )
    rows = [row for report in reports for row in _rows(report)]
    for row in rows[:PRINTED]:
        print("  ".join(row))
    if len(rows) > PRINTED:
        print(f"… and more; --json names the first of each tier ({len(rows)})")
    if not sum(report.differing for report in reports):
        print(f"every finished bucket is what the raw samples say ({seconds:.1f} s)")


def _rows(report: TierReport) -> list[tuple[str, ...]]:
    return [
        (
            report.tier,
            to_rfc3339(difference.bucket * 1000)[:19] + "Z",
            named.host or "?",
            _series(difference, named),
            column,
            f"stored {stored!r}",
            f"raw {raw!r}",
        )
        for difference, named in report.differences
        for column, (stored, raw) in difference.columns.items()
    ]


def _series(difference: Difference, named: Named) -> str:
    return canonical_key(named.metric, named.labels) if named.metric else f"id {difference.id:016x}, not registered"


def _as_json(reports: list[TierReport], bounds: dict[str, tuple[int, int]], seconds: float) -> dict[str, Any]:
    return {
        "ok": not any(report.differing - report.mended for report in reports),
        "seconds": round(seconds, 3),
        "tolerance": TOLERANCE,
        "tiers": [
            {
                "tier": report.tier,
                "start": to_rfc3339(bounds[report.tier][0] * 1000),
                "end": to_rfc3339(bounds[report.tier][1] * 1000),
                "buckets": report.buckets,
                "samples": report.samples,
                "differing": report.differing,
                "mended": report.mended,
                "pending": report.pending,
                "differences": [
                    {
                        "host": named.host,
                        "metric": named.metric,
                        "labels": named.labels,
                        "id": f"{difference.id:016x}",
                        "bucket": to_rfc3339(difference.bucket * 1000),
                        "columns": {
                            column: {"stored": _plain(stored), "raw": _plain(raw)}
                            for column, (stored, raw) in difference.columns.items()
                        },
                    }
                    for difference, named in report.differences
                ],
            }
            for report in reports
        ],
    }


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: text, as in Prometheus."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return value
