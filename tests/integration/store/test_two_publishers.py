"""Two API processes on one database: one publishes, and none can put an old text back on the topic."""

import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.store import lease, outbox, rules
from api.store.engine import Database
from api.store.publisher import OutboxPublisher
from api.store.rules import Change
from api.store.topic_state import latest
from fleetpulse.rules.published import PublishedGroup, decode
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings
from fleetpulse.topics import Topic
from infra.embedded.ports import free_port
from tests.support.eventually import eventually
from tests.support.published_rules import group_text
from tests.support.running import running

pytestmark = pytest.mark.servers


def held(kafka: KafkaSettings, name: str) -> str | None:
    """The text of a group that a worker which starts now would read."""
    value = latest(kafka, Topic.RULES).get(name)
    record = None if value is None else decode(name, value)
    return record.text if isinstance(record, PublishedGroup) else None


class _Stalling(OutboxPublisher):
    """Stands still between reading what is owed and sending it, as a process does that is not scheduled."""

    stalled, go_on = threading.Event(), threading.Event()

    def _send(self, rows: Sequence[outbox.Row]) -> None:
        if any(row.key == "g" for row in rows):
            self.stalled.set()
            self.go_on.wait(120)
        super()._send(rows)


def test_what_an_overtaken_publisher_sends_late_is_refused(
    topics: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "EXPIRES_SECONDS", 1.0)
    stores = [Database(f"sqlite:///{tmp_path}/api.sqlite") for _ in range(2)]
    slow, next_one = _Stalling(stores[0], topics, SelfMetrics()), OutboxPublisher(stores[1], topics, SelfMetrics())

    def save(text: str) -> None:
        with stores[1].write() as connection:
            rules.save(connection, Change("g", "api", "", text), "ada", 0)

    try:
        with slow:
            save("one")
            assert slow.stalled.wait(120)
            with next_one:
                save("two")
                eventually(lambda: held(topics, "g") == "two", timeout=60)
                slow.go_on.set()
                eventually(lambda: slow._metrics.get("fleetpulse_outbox_failures_total") >= 1, timeout=60)
                assert held(topics, "g") == "two"
                save("three")
                eventually(lambda: held(topics, "g") == "three", timeout=60)
    finally:
        slow.go_on.set()
        for store in stores:
            store.close()


def test_two_processes_publish_in_turn_and_take_over_from_each_other(topics: KafkaSettings, tmp_path: Path) -> None:
    environment = {
        "FLEETPULSE_API_DATABASE_URL": f"sqlite:///{tmp_path}/api.sqlite",
        "FLEETPULSE_CLICKHOUSE_URL": "clickhouse://api@127.0.0.1:1/fleetpulse",
        "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": topics.bootstrap_servers,
        "FLEETPULSE_KAFKA_TOPIC_PREFIX": topics.topic_prefix,
        "FLEETPULSE_KAFKA_PARTITIONS": str(topics.partitions),
        "FLEETPULSE_SELF_INTERVAL_SECONDS": "0",
    }
    with ExitStack() as stack:
        started: list[tuple[Any, str]] = []
        for name in ("one", "two"):
            port = free_port()
            env = {**environment, "FLEETPULSE_API_PORT": str(port)}
            process = stack.enter_context(running("api", env, tmp_path, log_name=name))
            started.append((process, f"http://127.0.0.1:{port}"))
            eventually(lambda port=port: answers(f"http://127.0.0.1:{port}"), timeout=90)  # type: ignore[misc]
        eventually(lambda: sorted(map(publishes, started)) == [False, True], timeout=60)
        (holder, _), (_, other) = sorted(started, key=publishes, reverse=True)

        put(other, "one")  # made by the process that does not publish
        eventually(lambda: held(topics, "g") == text("one"), timeout=60)
        holder.signal(signal.SIGSTOP)
        put(other, "two")
        eventually(lambda: held(topics, "g") == text("two"), timeout=90)
        holder.signal(signal.SIGCONT)
        (zombie, first), (second, _) = sorted(started, key=publishes)
        assert zombie is holder
        put(first, "three")
        eventually(lambda: held(topics, "g") == text("three"), timeout=60)
        second.kill()
        put(first, "four")
        eventually(lambda: held(topics, "g") == text("four"), timeout=90)
        assert publishes((zombie, first))


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def publishes(process: tuple[Any, str]) -> bool:
    """Whether a process says that it is the one that publishes."""
    return "\nfleetpulse_outbox_publisher 1" in httpx.get(f"{process[1]}/metrics", timeout=60).text


def text(word: str) -> str:
    return group_text("g", f'{{alert: Made, expr: "x > 1", annotations: {{word: {word}}}}}')


def put(url: str, word: str) -> None:
    answer = httpx.put(
        f"{url}/api/fleet/v1/rules/g", json={"text": text(word), "author": "ada"}, headers={"If-Match": "*"}, timeout=60
    )
    if answer.status_code == 412:  # it is new
        answer = httpx.put(f"{url}/api/fleet/v1/rules/g", json={"text": text(word), "author": "ada"}, timeout=60)
    assert answer.status_code in (200, 201), answer.text
