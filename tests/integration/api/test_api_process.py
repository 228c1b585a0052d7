"""`fleetpulse api` as a process: it starts, answers, says why it cannot, and ends within its bound."""

import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from infra.embedded.ports import free_port
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.patience import patient
from tests.support.running import running

pytestmark = pytest.mark.servers


def environment(port: int, clickhouse_url: str = "clickhouse://api@127.0.0.1:1/fleetpulse") -> dict[str, str]:
    return {
        "FLEETPULSE_API_PORT": str(port),
        "FLEETPULSE_CLICKHOUSE_URL": clickhouse_url,
        "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "FLEETPULSE_SELF_INTERVAL_SECONDS": "0",
    }


def live(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_it_serves_counts_itself_and_ends_on_sigterm(database: Database, tmp_path: Path) -> None:
    port = free_port()
    with running("api", environment(port, database.url_for("api")), tmp_path) as api:
        eventually(lambda: live(port))
        assert httpx.get(f"http://127.0.0.1:{port}/api/fleet/v1/hosts", timeout=60).json()["hosts"] == []
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
        assert 'fleetpulse_api_requests_total{route="/api/fleet/v1/hosts",status="200"} 1.0' in metrics
        assert "fleetpulse_build_info" in metrics
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=60).status_code in (
            200,
            503,
        )  # built in this clone or not
        assert api.stop(within=5) == 0
        assert "Traceback" not in api.log()


def test_it_ends_on_sigterm_with_both_servers_away_and_a_client_that_does_not_read(tmp_path: Path) -> None:
    port = free_port()
    with running("api", environment(port), tmp_path) as api:
        eventually(lambda: live(port))
        assert httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=60).status_code == 503
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n")  # a request that never ends
            started = time.monotonic()
            api.signal(signal.SIGTERM)
            assert api.wait(within=9) == 0
            assert time.monotonic() - started < patient(9)
            assert "Traceback" not in api.log()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running("api", environment(port), tmp_path) as api:
            assert api.wait(within=20) == 2
            assert f"127.0.0.1:{port}" in api.log()
            assert "FLEETPULSE_API_PORT" in api.log()


def test_it_is_bound_to_loopback(tmp_path: Path) -> None:
    port = free_port()
    with running("api", environment(port), tmp_path):
        eventually(lambda: live(port))
        # All of 127/8 is this machine: only the one address that it was told answers.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=2)
