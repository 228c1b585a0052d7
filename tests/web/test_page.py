"""The page in Chromium, served by the API with real data: `web/e2e/*.test.mjs` under the Node that builds the page."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from infra.embedded.ports import free_port
from infra.setup import layout
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.running import Running, running
from tests.web.fleet import store_fleet

pytestmark = [pytest.mark.servers, pytest.mark.debian("chromium")]


@pytest.mark.parametrize("script", ["pages.test.mjs", "outage.test.mjs"])
def test_page_with_a_fleet(script: str, database: Database, tmp_path: Path) -> None:
    """Table, sorting, charts, alerts, keyboard, themes and axe; then what is shown when the API stops."""
    store_fleet(database.url)
    with _api(database, tmp_path) as (api, url):
        _run(script, url, api.pid)


def test_page_takes_care_of_alerts(database: Database, tmp_path: Path) -> None:
    """Acknowledge, silence, end a silence, rules, and why an alert fires."""
    store_fleet(database.url)
    with _api(database, tmp_path) as (api, url):
        _run("care.test.mjs", url, api.pid)


def test_page_of_an_empty_fleet(database: Database, tmp_path: Path) -> None:
    """Nothing stored yet."""
    with _api(database, tmp_path) as (api, url):
        _run("empty.test.mjs", url, api.pid)


@contextmanager
def _api(database: Database, folder: Path) -> Iterator[tuple[Running, str]]:
    assert (layout.PAGE / "index.html").exists(), "the page is not built: run make setup"
    port = free_port()
    env = {"FLEETPULSE_CLICKHOUSE_URL": database.url_for("api"), "FLEETPULSE_API_PORT": str(port)}
    # No Kafka: only /health/ready asks for it.
    env |= {"FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "FLEETPULSE_SELF_INTERVAL_SECONDS": "0"}
    url = f"http://127.0.0.1:{port}/"
    with running("api", env, folder) as api:
        eventually(lambda: _is_live(url), timeout=20)
        yield api, url


def _is_live(url: str) -> bool:
    try:
        return httpx.get(f"{url}health/live", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def _run(script: str, url: str, api_pid: int) -> None:
    node = layout.NODE / "bin" / "node"
    assert node.exists(), "Node is not installed: run make setup"
    result = subprocess.run(
        [node, "--test", "--test-reporter=spec", f"e2e/{script}"],
        cwd=layout.WEB,
        env={**os.environ, "FLEETPULSE_PAGE_URL": url, "FLEETPULSE_API_PID": str(api_pid)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
