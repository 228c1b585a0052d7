"""What the audit's tests share: a numbered producer, the settings of their worker, and the command as a judge."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clickhouse_driver import Client

from fleetpulse.settings import KafkaSettings
from fleetpulse.storage.client import connect
from stream_processors.audit.command import main
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.ingested import ingest_env
from tests.support.numbered import NumberedSender

Judge = Callable[..., dict[str, Any]]


@pytest.fixture
def sender(topics: KafkaSettings) -> Iterator[NumberedSender]:
    """A producer."""
    producer = NumberedSender(topics)
    yield producer
    producer.close()


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    """A connection to the test's database."""
    client = connect(database.url)
    yield client
    client.disconnect()


@pytest.fixture
def env(topics: KafkaSettings, database: Database) -> dict[str, str]:
    """Settings of the ingest worker and of the audit."""
    return ingest_env(topics, database.url) | {"FLEETPULSE_KAFKA_SESSION_TIMEOUT_SECONDS": "3"}


@pytest.fixture
def judge(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Run the command; its JSON, with the exit code."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> dict[str, Any]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = main(["--json", "--all", "--since", "3h", *arguments])
        return {**json.loads(out.getvalue()), "code": code}

    return run


@pytest.fixture
def settled(judge: Judge) -> Judge:
    """The audit once nothing waits any more."""

    def run() -> dict[str, Any]:
        def nothing_waits() -> dict[str, Any] | None:
            found = judge()
            return found if not found["waiting_messages"] else None

        return eventually(nothing_waits, 90, 1.0)

    return run
