"""`engine`: the worker's own work alone, without servers: from a message's bytes to columns and finished minutes.

Each number of series runs in a process of its own, so that its memory is its own: ``python -m bench.engine SERIES N``.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from bench import recorded
from bench.load import HERE
from bench.messages import Messages
from bench.procfs import resident_bytes
from bench.report import Options, Report
from bench.stream import Shape, Stream, ticks_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import IngestSettings
from stream_processors.inbox import Message
from stream_processors.ingest.gather import gather
from stream_processors.ingest.intake import Intake
from stream_processors.ingest.naming import bind_chunks
from stream_processors.ingest.partition import Partition
from stream_processors.ingest.registration import NewSeries

DEFAULT_SAMPLES = 5_000_000
SERIES = (1_000, 10_000, 100_000, 1_000_000)
SERIES_PER_HOST = 100
PARTITIONS = 12
LEAST_TICKS = 8
CASE_SECONDS = 300.0


def run(options: Options) -> Report:
    """Every number of series, each in a child."""
    samples = options.samples or DEFAULT_SAMPLES
    report = Report("engine")
    cases = [_child(series, samples) for series in SERIES if series <= samples]
    report.figures = {"cases": cases}
    head = ("series", "samples", "per CPU-second", "register µs/series", "bytes/series")
    names = ("series", "samples", "samples_per_cpu_second", "register_us", "bytes_per_series")
    report.tables = [
        ("Decoding, looking up, counting and closing minutes", head, [[c[n] for n in names] for c in cases])
    ]
    report.notes = [
        f"Frames of up to 5,000 samples, {SERIES_PER_HOST} series a host, {PARTITIONS} partitions in one process, "
        f"batches of {IngestSettings().flush_rows:,} rows. Nothing is inserted.",
    ]
    return report


def _child(series: int, samples: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.engine", str(series), str(samples)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=CASE_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the engine with {series} series failed:\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def measure(series: int, samples: int) -> dict[str, Any]:
    """CPU of this process for registration (the first tick) and for the rest, and its memory."""
    shape = Shape(max(1, series // SERIES_PER_HOST), SERIES_PER_HOST)
    ticks = max(LEAST_TICKS, ticks_of(shape, samples))
    now_ms = time.time_ns() // 1_000_000
    start_ms = now_ms // 60_000 * 60_000 - ticks * 10_000
    engine = Engine()
    messages = Messages(Stream(recorded.load(), shape), PARTITIONS, "be4c000000000001")
    engine.take(list(_to_messages(messages, 0, start_ms))[:1])  # warm: imports, first allocations
    base = resident_bytes(os.getpid())
    engine = Engine()
    registration = engine.take(list(_to_messages(messages, 0, start_ms))) + engine.flush()
    spent, counted = 0.0, 0
    for tick in range(1, ticks):
        batch = list(_to_messages(messages, tick, start_ms + tick * 10_000))
        spent += engine.take(batch)
        counted += shape.series
    spent += engine.flush()
    return {
        "series": shape.series,
        "samples": counted,
        "samples_per_cpu_second": counted / spent,
        "register_us": registration / shape.series * 1e6,
        "bytes_per_series": (resident_bytes(os.getpid()) - base) / shape.series if series >= 100_000 else None,
        "rollup_rows": engine.rolled_up,
    }


class Engine:
    """Intake and partitions as the ingest worker has them."""

    def __init__(self) -> None:
        self._settings = IngestSettings()
        self._intake = Intake(self._settings, PARTITIONS, SelfMetrics())
        lateness_ms = int(self._settings.lateness_seconds * 1000)
        self._partitions = {number: Partition(number, lateness_ms) for number in range(PARTITIONS)}
        self._offsets = dict.fromkeys(range(PARTITIONS), 0)
        self.rolled_up = 0

    def take(self, messages: list[Message]) -> float:
        """CPU seconds of these messages, in batches as large as an insert; the last one may stay open."""
        numbered = [self._number(message) for message in messages]
        begun = time.process_time()
        for message in numbered:
            self._intake.take(message)
            if self._intake.rows >= self._settings.flush_rows:
                self._apply()
        return time.process_time() - begun

    def flush(self) -> float:
        """CPU seconds of what is left."""
        begun = time.process_time()
        self._apply()
        return time.process_time() - begun

    def _apply(self) -> None:
        for chunk in self._intake.cut():
            partition = self._partitions[chunk.partition]
            if chunk.letters:
                raise RuntimeError(f"dead letter: {chunk.letters[0].reason}")
            bind_chunks([(partition.registry, chunk)], _all_new)
            samples, _ = partition.apply(gather(partition.registry, chunk), chunk)
            if (stored := sum(part.value.size for part in samples)) != chunk.samples:
                raise RuntimeError(f"{chunk.samples} samples became {stored} rows")
            rows, _ = partition.close(partition.append_ms, time.monotonic())
            self.rolled_up += sum(len(one.id) for one in rows)

    def _number(self, message: Message) -> Message:
        offset = self._offsets[message.partition]
        self._offsets[message.partition] = offset + 1
        return message._replace(offset=offset)


def _all_new(new: Mapping[int, list[NewSeries]]) -> Mapping[str, str]:
    """The answer of a registration that refuses nothing."""
    return {}


def _to_messages(messages: Messages, tick: int, ts_ms: int) -> Iterator[Message]:
    for one in messages.tick(tick, ts_ms):
        yield Message("bench", one.partition, 0, one.ts_ms, one.key, one.value, one.headers)


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
