"""The peers take our remote_write requests, and give back the values that went in."""

import json
import urllib.parse
from pathlib import Path

import pytest

from bench import ours, peers, recorded
from bench.peers import Running
from bench.stream import Shape, Stream
from infra.embedded.guard import Guard

SHAPE = Shape(hosts=3, series_per_host=40)
TICKS = 4


def _store(name: str, folder: Path, guard: Guard) -> None:
    peer = peers.find(name, {})
    assert peer is not None
    assert peer.version[0].isdigit()
    start_ms = ours.start_of(SHAPE, TICKS)
    with peers.running(peer, folder / name, guard) as started:
        figures = peers.store(started, SHAPE, TICKS, start_ms, merges_seconds=0.0)
        assert figures["exact"], figures["stored"]
        assert figures["samples"] == SHAPE.series * (TICKS - 1)
        if name == peers.NAMES[0]:
            started.get("/internal/force_flush")
        last_ms = start_ms + (TICKS - 1) * 10_000
        host = "bench-000001"
        found = _values(started, f'{{instance="{host}"}}', last_ms)
    stream = Stream(recorded.load(), SHAPE)
    wanted = dict(zip(stream.keys, stream.values(TICKS - 1)[1], strict=True))
    assert len(found) == len(wanted) == 40
    assert sorted(found.values()) == sorted(map(float, wanted.values()))


def _values(started: Running, selector: str, ms: int) -> dict[str, float]:
    query = urllib.parse.urlencode({"query": selector, "time": f"{ms / 1000:.3f}"})
    rows = json.loads(started.get(f"/api/v1/query?{query}"))["data"]["result"]
    return {json.dumps(row["metric"]): float(row["value"][1]) for row in rows}


@pytest.mark.debian("prometheus")
def test_prometheus(tmp_path: Path, guard: Guard) -> None:
    _store("prometheus", tmp_path, guard)


@pytest.mark.debian("victoria-metrics")
def test_victoria_metrics(tmp_path: Path, guard: Guard) -> None:
    _store("victoria-metrics", tmp_path, guard)


def test_a_peer_that_is_not_there_is_not_guessed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert peers.find("victoria-metrics", {}) is None
