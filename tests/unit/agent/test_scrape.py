"""A scrape: every collector timed, none stopping the rest, a hanging one abandoned once and not piled up."""

import logging
import os
import threading
import time

import pytest

from producers.agent.collectors.filesystem import Filesystem
from producers.agent.loop import TickBlock, next_tick
from producers.agent.patience import Patience
from producers.agent.proc import Roots
from producers.agent.samples import NoDataError, Samples, series
from producers.agent.scrape import Scrape
from tests.support.eventually import eventually


def good(roots: Roots) -> Samples:
    return [(series("node_load1"), 0.5)]


def broken(roots: Roots) -> Samples:
    raise ValueError("not a number")


def misnamed(roots: Roots) -> Samples:
    return [(series("node_good"), 1.0), (series("node-bad"), 1.0)]


def absent(roots: Roots) -> Samples:
    raise NoDataError("no such file")


def test_a_failing_collector_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    scrape = Scrape({"broken": broken, "misnamed": misnamed, "absent": absent, "good": good}, Roots(), 5.0)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            found = dict(scrape())
    scrape.close()
    assert found["up"] == 1
    assert found["node_load1"] == 0.5
    assert "node_good" not in found
    for name, success in {"broken": 0, "misnamed": 0, "absent": 0, "good": 1}.items():
        assert found[f'node_scrape_collector_success{{collector="{name}"}}'] == success
        assert found[f'node_scrape_collector_duration_seconds{{collector="{name}"}}'] >= 0
    causes = [record.fields["cause"] for record in caplog.records]  # type: ignore[attr-defined]
    assert len(causes) == 2  # once each, not once a tick; what a machine does not have is not worth a line
    assert causes[0] == "ValueError: not a number"
    assert "'node-bad' is not valid" in causes[1]


def test_a_hanging_collector_costs_one_timeout_and_one_thread() -> None:
    release = threading.Event()
    started = []

    def hanging(roots: Roots) -> Samples:
        started.append(1)
        release.wait(30)
        return [(series("node_back"), 1.0)]

    scrape = Scrape({"hanging": hanging, "good": good}, Roots(), 2.0)
    threads = set(threading.enumerate())  # the last test's may still be ending
    durations = []
    for _ in range(5):
        begin = time.monotonic()
        found = dict(scrape())
        durations.append(time.monotonic() - begin)
        assert found["node_load1"] == 0.5
        assert found['node_scrape_collector_success{collector="hanging"}'] == 0
    assert len(started) == 1
    assert durations[0] >= 2.0
    assert sorted(durations[1:])[2] < 1.9  # it is waited for once; a busy machine may be late once
    assert len(set(threading.enumerate()) - threads) == 2
    release.set()
    eventually(lambda: dict(scrape())['node_scrape_collector_success{collector="hanging"}'] == 1)
    scrape.close()


def test_a_stuck_mount_does_not_hide_the_others(tmp_path: os.PathLike[str]) -> None:
    release = threading.Event()

    def statvfs(path: str) -> os.statvfs_result:
        if path == "/stuck":
            release.wait(30)
        return os.statvfs("/")

    proc = f"{tmp_path}"
    with open(f"{proc}/mounts", "w") as mounts:
        mounts.write("a /stuck nfs rw 0 0\nb / ext4 rw 0 0\n")
    collect = Filesystem(statvfs, timeout_seconds=0.2)
    for cause in ("no answer within 0.2 s", "still out since an earlier tick"):
        found = dict(collect(Roots(proc)))
        error = f'device="a",device_error="{cause}",fstype="nfs",mountpoint="/stuck"'
        assert found[f"node_filesystem_device_error{{{error}}}"] == 1
        assert found['node_filesystem_size_bytes{device="b",fstype="ext4",mountpoint="/"}'] > 0
    release.set()


def test_calls_keep_their_order_and_their_errors() -> None:
    patience = Patience[int]("test", 1.0)
    outcomes = patience.run({"one": lambda: 1, "fails": lambda: 1 // 0, "two": lambda: 2})
    patience.close()
    assert [(name, outcome.value) for name, outcome in outcomes.items()] == [("one", 1), ("fails", None), ("two", 2)]
    assert isinstance(outcomes["fails"].error, ZeroDivisionError)


@pytest.mark.parametrize(
    ("now", "interval", "tick"),
    [(0, 10_000, 10_000), (9_999, 10_000, 10_000), (10_000, 10_000, 20_000), (1_234, 500, 1_500)],
)
def test_ticks_are_multiples_of_the_interval(now: int, interval: int, tick: int) -> None:
    assert next_tick(now, interval) == tick


def test_a_tick_is_one_block_with_job_and_instance() -> None:
    block = TickBlock("node", "web-1:9100")
    first = block([("up", 1.0), ("node_load1", 0.5)], 1000)
    assert (first.host, first.common) == ("web-1", {"instance": "web-1:9100", "job": "node"})
    assert (first.series, first.ts) == (b"up\nnode_load1", 1000)
    again = block([("up", 1.0), ("node_load1", 0.7)], 2000)
    assert again.series is first.series
    assert block([("up", 1.0)], 3000).series == b"up"
