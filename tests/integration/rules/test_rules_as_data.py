"""Rules as data from end to end: files and API to the database, the topic, and a worker that goes on working.

There is no ClickHouse in these tests: neither the rules nor their alerts need it.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleetpulse.cli import main
from fleetpulse.settings import KafkaSettings
from infra.embedded.ports import free_port
from tests.support.alerting import Feed, alert_events, feed_of
from tests.support.eventually import eventually
from tests.support.published_rules import group_text
from tests.support.running import Running, running
from tests.support.topics import kafka_env

pytestmark = pytest.mark.servers

TAKEOVER = 40.0
ADA = {"Fleetpulse-Author": "ada"}
RULES = "/api/fleet/v1/rules"


def settings(kafka: KafkaSettings, folder: Path, port: int) -> dict[str, str]:
    boot = folder / "boot.yaml"
    boot.write_text(group_text("boot", '{alert: Booted, expr: "test_value > 50"}'))
    return {
        **kafka_env(kafka),
        "FLEETPULSE_RULES_FILES": str(boot),
        "FLEETPULSE_CLICKHOUSE_URL": "clickhouse://127.0.0.1:1/x",
        "FLEETPULSE_API_PORT": str(port),
        "FLEETPULSE_SELF_INTERVAL_SECONDS": "0",
    }


@contextmanager
def api(env: Mapping[str, str], folder: Path, log_name: str) -> Iterator[tuple[Running, httpx.Client]]:
    with running("api", env, folder, log_name=log_name) as process:
        url = f"http://127.0.0.1:{env['FLEETPULSE_API_PORT']}"
        with httpx.Client(base_url=url, timeout=60) as client:

            def live() -> bool:
                try:
                    return client.get("/health/live").status_code == 200
                except httpx.TransportError:
                    return False

            eventually(live)
            yield process, client


class Commands:
    """`fleetpulse rules` commands, in this process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """The exit code, and all that was said."""
        self._capsys.readouterr()
        code = main(["rules", *arguments])
        said = self._capsys.readouterr()
        return code, said.out + said.err

    def use(self, client: httpx.Client) -> None:
        """Talk to this API, from the test's folder."""
        self._monkeypatch.setenv("FLEETPULSE_API_URL", str(client.base_url))
        self._monkeypatch.chdir(self.folder)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(tmp_path, monkeypatch, capsys)


@pytest.fixture
def feed(topics: KafkaSettings) -> Iterator[Feed]:
    with feed_of(topics) as feed:
        yield feed


def fired(kafka: KafkaSettings, host: str) -> list[str]:
    events = alert_events(kafka, host)
    return sorted(event.data.labels["alertname"] for event in events if event.data.status == "firing")


def test_a_change_reaches_a_live_worker_even_when_its_api_is_killed_before_it_could_publish(
    topics: KafkaSettings, feed: Feed, tmp_path: Path, command: Commands
) -> None:
    env = settings(topics, tmp_path, free_port())
    away = {**env, "FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    start = int(time.time() * 1000)
    with running("rules", env, tmp_path) as worker:
        with api(away, tmp_path, "api-1") as (process, client):
            text = group_text("first", '{alert: First, expr: "test_value > 80", for: 1h}')
            assert client.post(RULES, json={"text": text}, headers=ADA).status_code == 201
            process.kill()  # after the commit: Kafka could not be told
        with api(env, tmp_path, "api-2") as (_, client):
            eventually(lambda: "rules changed" in worker.log(), TAKEOVER)
            feed.send("alpha", start, 90.0)
            eventually(lambda: fired(topics, "alpha") == ["Booted"], TAKEOVER)
            eventually(lambda: states(client) == {"Booted": "firing", "First": "pending"})

            changed = client.put(
                f"{RULES}/first", json={"text": text.replace(", for: 1h", "")}, headers=ADA | {"If-Match": '"1"'}
            )
            assert changed.status_code == 200, changed.text
            begin = time.monotonic()
            eventually(lambda: worker.log().count("rules changed") == 2, interval=0.02)
            print(f"a change took {time.monotonic() - begin:.2f} s to reach the worker")
            feed.send("alpha", start + 10_000, 90.0)
            eventually(lambda: fired(topics, "alpha") == ["Booted", "First"])
            eventually(lambda: states(client) == {"Booted": "firing", "First": "firing"})
            check_prometheus(client)
            check_commands(command, client)
            assert worker.stop() == 0
    assert "Traceback" not in worker.log()


def states(client: httpx.Client) -> dict[str, str]:
    groups = client.get(RULES).json()["groups"]
    return {rule["name"]: rule["state"] for group in groups for rule in group["rules"]}


def check_prometheus(client: httpx.Client) -> None:
    alerts = client.get("/api/v1/alerts").json()
    assert alerts["status"] == "success"
    assert sorted(alert["labels"]["alertname"] for alert in alerts["data"]["alerts"]) == ["Booted", "First"]
    assert {alert["state"] for alert in alerts["data"]["alerts"]} == {"firing"}
    answer = client.get("/api/v1/rules", params={"type": "alert", "rule_name[]": "First"}).json()
    (group,) = answer["data"]["groups"]
    (rule,) = group["rules"]
    assert (group["name"], rule["name"], rule["state"], rule["health"]) == ("first", "First", "firing", "ok")
    assert (rule["type"], rule["query"], rule["duration"]) == ("alerting", "test_value > 80", 0)
    assert rule["alerts"][0]["labels"]["instance"] == "alpha"


def check_commands(command: Commands, client: httpx.Client) -> None:
    command.use(client)
    git = command.folder / "git"
    git.mkdir()
    (git / "mine.yaml").write_text(group_text("mine", '{alert: Mine, expr: "test_value > 99"}'))
    code, said = command("apply", "git", "--author", "grace", "--dry-run")
    assert (code, said.splitlines()[0]) == (0, "git/mine.yaml: group 'mine' would be created")
    assert command("diff", "git")[0] == 1
    code, said = command("apply", "git", "--author", "grace")
    assert (code, said.splitlines()[0]) == (0, "git/mine.yaml: group 'mine' created")
    shown: dict[str, Any] = client.get(f"{RULES}/mine").json()
    assert (shown["owner"], shown["file"], shown["author"], shown["version"]) == ("file", "git/mine.yaml", "grace", 1)
    assert command("apply", "git")[1].startswith("0 created, 0 changed, 0 deleted, 1 unchanged")
    assert command("diff", "git") == (0, "")

    (git / "mine.yaml").write_text(group_text("mine", '{alert: Mine, exprr: "test_value > 99"}'))
    code, said = command("apply", "git")
    assert code == 2
    assert "git/mine.yaml:4: alert rule: unknown field 'exprr'; did you mean 'expr'?" in said
    (git / "mine.yaml").write_text("groups: []\n")
    assert "git/mine.yaml: group 'mine' deleted" in command("apply", "git", "--prune")[1]

    code, said = command("list")
    assert code == 0
    assert [line.split()[1] for line in said.splitlines()] == ["RULE", "Booted", "First"]
    code, said = command("export", "--owner", "api")
    assert (code, said) == (0, client.get(f"{RULES}/first").json()["text"])
