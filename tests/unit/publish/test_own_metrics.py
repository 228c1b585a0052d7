"""A process's own metrics and health over HTTP, without any server behind it."""

import json
import socket
import urllib.error
import urllib.request

import pytest

from fleetpulse.errors import SettingsError
from fleetpulse.frames import columns_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.selfserver import own_block, own_metrics
from fleetpulse.settings import SelfSettings

QUIET = SelfSettings(interval_seconds=0.0)


def get(port: int, path: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.headers["Content-Type"], response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_metrics_and_health_are_served_while_the_block_runs() -> None:
    metrics = SelfMetrics()
    causes: list[str | None] = [None, "Kafka is away"]
    with own_metrics("tests", metrics, lambda: causes.pop(0), QUIET) as port:
        metrics.add("fleetpulse_agent_ticks_total", 3)
        status, content_type, text = get(port, "/metrics")
        assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert "fleetpulse_agent_ticks_total 3.0\n" in text
        assert "fleetpulse_process_resident_memory_bytes" in text
        assert get(port, "/health/live")[0] == 200
        assert json.loads(get(port, "/health/ready")[2]) == {"ready": True}
        status, _, text = get(port, "/health/ready")
        assert (status, json.loads(text)) == (503, {"ready": False, "cause": "Kafka is away"})
        assert get(port, "/nonsense")[0] == 404
    with pytest.raises(OSError, match="refused"):
        get(port, "/metrics")


def test_it_listens_on_this_machine_alone() -> None:
    with own_metrics("tests", SelfMetrics(), lambda: None, QUIET) as port, socket.socket() as other:
        other.bind(("127.0.0.2", port))  # free: the server has not taken every address


def test_a_port_in_use_is_said_by_the_settings_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = SelfSettings(port=port, interval_seconds=0.0)
        with (
            pytest.raises(SettingsError, match=f"FLEETPULSE_SELF_PORT {port} .*in use"),
            own_metrics("tests", SelfMetrics(), lambda: None, settings),
        ):
            pass


def test_own_metrics_are_one_block_of_this_machine() -> None:
    metrics = SelfMetrics()
    metrics.set("fleetpulse_alerts_active", 2, severity="critical")
    metrics.set("fleetpulse_ingest_series", 7)
    block = own_block("ingest", metrics, 1_000)
    host = socket.gethostname()
    assert (block.host, block.ts) == (host, 1_000)
    assert block.common == {"host": host, "instance": f"{host}/ingest", "job": "fleetpulse"}
    assert block.series == b'fleetpulse_alerts_active{severity="critical"}\nfleetpulse_ingest_series'
    assert columns_of(block).value.tolist() == [2.0, 7.0]
