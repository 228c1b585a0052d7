"""`up` while it runs: restarts, a second `up`, status, logs, reset, and starts that fail."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from clickhouse_driver import Client

from tests.support.eventually import eventually
from tests.support.patience import patient
from tests.support.up import Up, fleetpulse, ports, up

pytestmark = pytest.mark.servers


def _restarted(running: Up, name: str, old_pid: int) -> bool:
    found = next(one for one in running.state()["processes"] if one["name"] == name)
    return found["state"] == "ready" and found["pid"] not in (None, old_pid) and found["restarts"] == 1


def test_a_crashed_child_starts_again_with_its_data(tmp_path: Path) -> None:
    with up(tmp_path / "data", ["clickhouse", "migrate"]) as running:
        running.wait_until_ready()
        url = (running.folder.secrets / "clickhouse-fleetpulse.url").read_text()
        client = Client.from_url(url)
        client.execute("CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a")
        client.execute("INSERT INTO kept VALUES", [(7,)])
        client.disconnect()
        pid = running.pid_of("clickhouse")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: running.state()["processes"][0]["state"] == "crashed", 10.0, 0.02)
        with running.held():  # it would start ClickHouse again before a slow machine has asked
            assert running.command("status").returncode == 1
        eventually(lambda: _restarted(running, "clickhouse", pid), 20.0)
        assert "clickhouse was ended by SIGKILL; it starts again in 1 s" in running.text()
        client = Client.from_url(url)
        assert client.execute("SELECT a FROM kept") == [(7,)]
        client.disconnect()
        assert running.command("status").returncode == 0
        running.seen.add(running.pid_of("clickhouse"))
        # and it ends in time with ClickHouse dead
        os.kill(running.pid_of("clickhouse"), signal.SIGKILL)
        begin = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.wait(10.0) == 0
        assert time.monotonic() - begin < patient(10.0)
        assert running.left() == []


def test_commands_on_a_folder_where_up_runs(tmp_path: Path) -> None:
    with up(tmp_path / "data", ["clickhouse", "migrate"]) as running:
        running.wait_until_ready()

        second = running.command("up")
        assert second.returncode == 2
        assert f"already runs on {running.folder.root} (pid {running.process.pid})" in second.stderr

        refused = running.command("reset", "--yes")
        assert refused.returncode == 2
        assert "stop it first" in refused.stderr

        status = running.command("status", "--json")
        assert status.returncode == 0
        report = json.loads(status.stdout)
        assert report["healthy"]
        assert report["versions"]["clickhouse"].startswith("26.")
        (process,) = report["processes"]
        assert process["pid"] == running.pid_of("clickhouse")
        assert process["resident_bytes"] > 50_000_000
        assert "clickhouse" in running.command("status").stdout

        shown = running.command("grafana")
        password = running.folder.secrets / "clickhouse-grafana"
        assert str(password) in shown.stdout
        assert password.read_text() not in shown.stdout
        values = json.loads(running.command("grafana", "--json").stdout)
        grafana = Client(values["host"], values["port"], values["database"], values["user"], password.read_text())
        assert grafana.execute("SELECT count() FROM hosts") == [(0,)]
        grafana.disconnect()

        # other commands find the servers through run/env, which holds no secret
        env = running.folder.env_file.read_text()
        assert not any(path.read_text() in env for path in running.folder.secrets.iterdir())
        assert running.command("migrate").returncode == 0

        assert "migrate" in running.command("logs").stdout
        assert running.command("logs", "clickhouse").returncode == 0

        running.process.send_signal(signal.SIGINT)
        assert running.wait(10.0) == 0
        assert running.command("status").returncode == 1
        assert running.command("grafana").returncode == 2


def test_reset_asks_and_removes_only_what_is_ours(tmp_path: Path) -> None:
    with up(tmp_path / "data", ["clickhouse"]) as running:
        running.wait_until_ready()
        running.process.send_signal(signal.SIGINT)
        assert running.wait(10.0) == 0
        kept = running.folder.root / "notes.txt"
        kept.write_text("mine")
        for answer in ("", "n\n", "no\n"):
            refused = running.command("reset", text=answer)
            assert refused.returncode == 1
            assert "Nothing was removed" in refused.stdout
        assert running.folder.clickhouse.exists()
        assert running.command("reset", text="y\n").returncode == 0
        assert [path.name for path in running.folder.root.iterdir()] == ["notes.txt"]
        again = running.command("reset", "--yes")
        assert (again.returncode, "no data" in again.stdout) == (0, True)


def test_ports_in_use_are_all_named_and_nothing_starts(tmp_path: Path) -> None:
    environment = {**ports(), "FLEETPULSE_DATA_DIR": str(tmp_path / "data")}
    api, native = (int(environment[f"FLEETPULSE_{name}"]) for name in ("API_PORT", "EMBEDDED_CLICKHOUSE_PORT"))
    with socket.create_server(("127.0.0.1", api)), socket.create_server(("127.0.0.1", native)):
        result = fleetpulse("up", environment=environment)
    assert result.returncode == 2
    assert f"{api} " in result.stderr
    assert f"{native} " in result.stderr
    assert result.stderr.count(f"pid {os.getpid()}") == 2
    assert "--ports auto" in result.stderr
    assert not list((tmp_path / "data" / "logs").iterdir())


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    unreachable = {"FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    with up(tmp_path / "data", ["clickhouse", "migrate", "topics"], env=unreachable) as running:
        eventually(lambda: running.folder.state_file.exists() and running.state()["processes"][0]["pid"], 30.0)
        running.seen.add(running.pid_of("clickhouse"))
        assert running.wait(60.0) == 2
        assert "topics failed with exit code 2" in running.text()
        assert "127.0.0.1:9" in running.text()
        assert running.left() == []
        assert not (running.folder.kafka / "server.properties").exists()  # an external Kafka: none was set up


def test_auto_ports_go_on_beside_another_server(tmp_path: Path) -> None:
    taken = ports()
    with (
        socket.create_server(("127.0.0.1", int(taken["FLEETPULSE_EMBEDDED_CLICKHOUSE_PORT"]))),
        up(tmp_path / "data", ["clickhouse"], ["--ports", "auto"], env=taken) as running,
    ):
        running.wait_until_ready()
        report = json.loads(running.command("status", "--json").stdout)
        assert report["healthy"]
        assert taken["FLEETPULSE_EMBEDDED_CLICKHOUSE_PORT"] not in report["addresses"]["clickhouse"]
        assert taken["FLEETPULSE_EMBEDDED_CLICKHOUSE_HTTP_PORT"] in report["addresses"]["clickhouse_http"]
