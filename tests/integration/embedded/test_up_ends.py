"""However `up` ends, it ends in time and leaves no process."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.patience import patient
from tests.support.up import up

pytestmark = pytest.mark.servers

WITHIN = 10.0


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """The tests may run under nohup: what `up` inherits as ignored it goes on ignoring."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_with_exit_code_0(tmp_path: Path, number: signal.Signals) -> None:
    with up(tmp_path / "data", ["clickhouse", "migrate", "agent"]) as running:
        running.wait_until_ready()
        begin = time.monotonic()
        running.process.send_signal(number)
        assert running.wait(WITHIN) == 0
        assert time.monotonic() - begin < patient(WITHIN)
        assert running.left() == []
        assert not running.folder.state_file.exists()
        assert not running.folder.env_file.exists()


def test_a_kill_leaves_no_process_and_the_next_start_works(tmp_path: Path) -> None:
    with up(tmp_path / "data", ["clickhouse", "agent"]) as first:
        first.wait_until_ready()
        assert len(first.seen) >= 3  # both and the guard
        first.process.kill()
        first.process.wait()
        # at once, while the guard still ends the servers: it waits for them
        with up(tmp_path / "data", ["clickhouse"], env=first.environment) as second:
            second.wait_until_ready()
            assert first.left() == []
            assert second.command("status").returncode == 0


def test_a_kill_leaves_no_process_within_ten_seconds(tmp_path: Path) -> None:
    with up(tmp_path / "data", ["kafka", "clickhouse", "topics", "agent"]) as running:
        running.wait_until_ready()
        os.kill(running.pid_of("agent"), signal.SIGSTOP)  # one that cannot answer SIGTERM
        running.process.kill()
        running.process.wait()
        eventually(lambda: not running.left(), WITHIN)
        eventually(lambda: not running.folder.state_file.exists(), WITHIN)


def test_a_child_that_hangs_does_not_delay_the_end(tmp_path: Path) -> None:
    with up(tmp_path / "data", ["kafka", "clickhouse"]) as running:
        running.wait_until_ready()
        os.kill(running.pid_of("clickhouse"), signal.SIGSTOP)
        os.kill(running.pid_of("kafka"), signal.SIGSTOP)
        running.process.send_signal(signal.SIGTERM)
        assert running.wait(WITHIN) == 0
        assert running.left() == []
        assert "clickhouse did not end" in running.text()


def test_it_ends_while_it_is_starting(tmp_path: Path) -> None:
    with up(tmp_path / "data", ["kafka", "clickhouse"]) as running:
        eventually(lambda: running.folder.state_file.exists() and running.state()["processes"][0]["pid"], 30.0)
        running.seen |= {one["pid"] for one in running.state()["processes"] if one["pid"]}
        running.process.send_signal(signal.SIGINT)
        assert running.wait(WITHIN) == 0
        assert running.left() == []


def test_ctrl_c_reaches_only_up(tmp_path: Path) -> None:
    with up(tmp_path / "data", ["clickhouse", "agent"]) as running:
        running.wait_until_ready()
        own = os.getpgid(running.process.pid)
        groups = {os.getpgid(pid) for pid in running.seen}
        assert own not in groups
        assert len(groups) == len(running.seen)
        os.killpg(own, signal.SIGINT)
        assert running.wait(WITHIN) == 0
        assert running.left() == []
