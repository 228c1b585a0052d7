"""A small run of the ingest benchmark on real servers: everything arrives, is rolled up, and costs something."""

from pathlib import Path

import pytest

from bench import ours
from bench.servers import Servers
from bench.stream import Shape

pytestmark = pytest.mark.servers

SHAPE = Shape(hosts=20, series_per_host=50)
TICKS = 21


def test_every_sample_of_the_stream_is_stored_once_and_rolled_up(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        start_ms = ours.start_of(SHAPE, TICKS)
        figures = ours.ingest_pass(servers, SHAPE, TICKS, start_ms, agents=False, merges_seconds=0.0)
    assert figures["samples"] == 20 * 50 * (TICKS - 1)
    assert figures["exact"]
    assert figures["recomputed"] == 0
    assert all(figures["cpu_seconds"][name] > 0 for name in ("ingest", "clickhouse", "broker"))
    assert all(size > 0 for size in figures["peak_bytes"].values())
    if figures["audit"] is not None:
        assert figures["audit"]["exit_code"] == 0, figures["audit"]["says"]
