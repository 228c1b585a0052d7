"""The API behind a real server in this process, on the real ClickHouse and Kafka, as user `api`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.main import make_context
from fleetpulse.clock import Clock, SystemClock
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import ApiSettings, KafkaSettings
from infra.embedded.ports import free_port
from tests.support.databases import Database, drop_database, fresh_database
from tests.support.eventually import eventually
from tests.support.servers import ClickHouseServer


@pytest.fixture(scope="module")
def database(clickhouse: ClickHouseServer) -> Iterator[Database]:
    """One database a module: these tests read."""
    fresh = fresh_database(clickhouse.url)
    yield fresh
    drop_database(clickhouse.url("fleetpulse", "system"), fresh.name)


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page would be; empty."""
    return tmp_path_factory.mktemp("web") / "page"


@pytest.fixture(scope="module")
def limits() -> ApiSettings:
    """The defaults; a test module may have limits of its own."""
    return ApiSettings()


@pytest.fixture(scope="module")
def kafka_settings() -> KafkaSettings:
    """A Kafka that nobody needs but the module on readiness, which has its own."""
    return KafkaSettings(bootstrap_servers="127.0.0.1:1")


@pytest.fixture(scope="module")
def clock() -> Clock:
    """What the API takes for now; a test module may stop it."""
    return SystemClock()


@pytest.fixture(scope="module")
def client(
    database: Database, kafka_settings: KafkaSettings, page_folder: Path, limits: ApiSettings, clock: Clock
) -> Iterator[httpx.Client]:
    """A client of the API."""
    limits = replace(limits, database_url=f"sqlite:///{page_folder.parent}/api.sqlite")
    with (
        make_context(limits, kafka_settings, database.url_for("api"), SelfMetrics(), clock) as context,
        serving(create_app(context, page_folder)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an application from a thread; yields its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, name="api-under-test")
    thread.start()
    try:
        eventually(lambda: server.started, timeout=10, interval=0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
