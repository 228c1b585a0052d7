"""`/api/v1/rules` as Prometheus answers it, and as Grafana asks it; errors in Prometheus' shape."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fleetpulse.cli import main
from fleetpulse.clock import to_rfc3339
from fleetpulse.events import ZERO_TIME
from tests.support.api_errors import assert_foreign_error
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.published_rules import group_text
from tests.support.stored import store

pytestmark = pytest.mark.servers

GROUP = group_text(
    "grafana",
    '{alert: Page, expr: "x > 1", for: 5m, labels: {severity: page, team: db}, annotations: {summary: hot}}',
    '{alert: Mail, expr: "x > 2", labels: {severity: mail, where: "{{ $labels.instance }}"}}',
    '{record: "host:x:avg", expr: "avg_over_time(x[5m])", labels: {team: db}}',
    '{alert: Fleet, expr: "sum(x) > 3", labels: {severity: page}}',
)
RULE = {"name", "query", "labels", "health", "evaluationTime", "lastEvaluation", "type"}
ALERTING = {"state", "duration", "keepFiringFor", "annotations", "alerts"}


@pytest.fixture(scope="module", autouse=True)
def _rules(client: httpx.Client) -> Iterator[None]:
    path, headers = "/api/fleet/v1/rules/grafana", {"Fleetpulse-Author": "ada"}
    assert client.put(path, json={"text": GROUP}, headers=headers).is_success
    yield
    assert client.delete(path, headers=headers | {"If-Match": "*"}).is_success


def asked(client: httpx.Client, **parameters: Any) -> list[str]:
    answer = client.get("/api/v1/rules", params={"rule_group[]": "grafana"} | parameters)
    assert answer.status_code == 200, answer.text
    return [rule["name"] for group in answer.json()["data"]["groups"] for rule in group["rules"]]


def test_the_shape_is_prometheus(client: httpx.Client) -> None:
    answer = client.get("/api/v1/rules").json()  # as Grafana asks
    assert answer["status"] == "success"
    for group in answer["data"]["groups"]:
        assert {"name", "file", "interval", "limit", "rules", "evaluationTime", "lastEvaluation"} == group.keys()
        for rule in group["rules"]:
            assert rule["type"] in ("alerting", "recording")
            wanted = RULE | (ALERTING if rule["type"] == "alerting" else set())
            assert wanted <= rule.keys() <= wanted | {"lastError"}
    rules = {rule["name"]: rule for group in answer["data"]["groups"] for rule in group["rules"]}
    page = rules["Page"]
    assert (page["query"], page["duration"], page["state"], page["alerts"]) == ("x > 1", 300, "inactive", [])
    assert (page["labels"], page["annotations"]) == ({"severity": "page", "team": "db"}, {"summary": "hot"})
    assert (page["health"], rules["Fleet"]["health"]) == ("unknown", "err")
    assert rules["Fleet"]["lastError"].startswith("waits for the ruler: ")


def test_each_filter(client: httpx.Client) -> None:
    assert asked(client) == ["Page", "Mail", "host:x:avg", "Fleet"]
    assert asked(client, type="alert") == ["Page", "Mail", "Fleet"]
    assert asked(client, type="record") == ["host:x:avg"]
    assert asked(client, **{"rule_name[]": ["Mail", "Fleet"]}) == ["Mail", "Fleet"]
    assert asked(client, **{"file[]": "nothing"}) == []
    assert asked(client, **{"match[]": '{severity="page"}'}) == ["Page", "Fleet"]
    assert asked(client, **{"match[]": '{team=~"d.",severity!="page"}'}) == ["host:x:avg"]
    assert asked(client, **{"match[]": ['{severity="mail"}', '{team="db"}']}) == ["Page", "Mail", "host:x:avg"]
    assert asked(client, **{"match[]": '{where=~".+"}'}) == [], "a label with a template is no value, as in Prometheus"
    assert asked(client, exclude_alerts="true") == ["Page", "Mail", "host:x:avg", "Fleet"]
    assert asked(client, what_nobody="knows") == ["Page", "Mail", "host:x:avg", "Fleet"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"type": "both"}, "use alert or record"),
        ({"exclude_alerts": "perhaps"}, "exclude_alerts"),
        ({"group_limit": "-1"}, "group_limit"),
        ({"match[]": "{"}, "match[]"),
        ({"match[]": "1 + 1"}, "is not a selector"),
        ({"match[]": "rate(x[5m])"}, "is not a selector"),
        ({"match[]": '{a=~"(?=a)"}'}, "match[]"),
        ({"match[]": '{a=~".*"}'}, "match[]"),
    ],
)
def test_wrong_parameters_are_prometheus_errors(client: httpx.Client, parameters: dict[str, str], said: str) -> None:
    answer = client.get("/api/v1/rules", params=parameters)
    assert answer.status_code == 400, answer.text
    assert_foreign_error(answer)
    assert (answer.json()["errorType"], said in answer.json()["error"]) == ("bad_data", True), answer.text


def test_what_is_not_there_is_not_found(client: httpx.Client) -> None:
    answer = client.get("/api/v1/targets")
    assert answer.status_code == 404
    assert_foreign_error(answer)
    assert answer.json()["errorType"] == "not_found"


def test_health_is_what_rules_workers_say_of_themselves(
    client: httpx.Client, database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown() -> dict[str, tuple[str, str, str]]:
        found = [group for group in client.get("/api/v1/rules").json()["data"]["groups"] if group["name"] == "grafana"]
        every = [rule for group in found for rule in group["rules"]]
        return {rule["name"]: (rule["health"], rule["lastEvaluation"], rule.get("lastError", "")) for rule in every}

    def say(name: str, value: float, **labels: str) -> None:
        own = {"job": "fleetpulse", "host": "m1", "instance": "m1/rules", **labels}
        store(database.url, [(f"fleetpulse_rules_{name}", own, [(now_ms, value)])])

    now_ms = int(time.time() * 1000)
    assert shown()["Page"] == ("unknown", ZERO_TIME, ""), "no worker has said anything"
    say("evaluated_timestamp_seconds", now_ms / 1000)
    say("failed_timestamp_seconds", now_ms / 1000 - 5, rule="Mail")
    say("failed_timestamp_seconds", now_ms / 1000 - 400, rule="Page")
    eventually(lambda: shown()["Page"][0] != "unknown", 20.0)  # what was asked is kept for seconds
    found, at = shown(), to_rfc3339(now_ms)
    assert found["Page"] == ("ok", at, ""), "it failed, but not of late"
    assert found["host:x:avg"] == ("ok", at, "")
    assert found["Mail"][:2] == ("err", at)
    assert found["Mail"][2].startswith(f"it failed, last at {to_rfc3339(now_ms - 5000)}")
    assert found["Fleet"][:2] == ("err", ZERO_TIME)
    (ours,) = (group for group in client.get("/api/fleet/v1/rules").json()["groups"] if group["name"] == "grafana")
    assert {rule["name"]: (rule["health"], rule["lastError"]) for rule in ours["rules"]} == {
        name: (health, error) for name, (health, _, error) in found.items()
    }
    monkeypatch.setenv("FLEETPULSE_API_URL", str(client.base_url))
    assert main(["rules", "list"]) == 0
    failing = [line.split()[1] for line in capsys.readouterr().out.splitlines() if "stream, fails" in line]
    assert failing == ["Mail"]
    say("refused", 1.0, group="grafana")
    eventually(lambda: shown()["Page"][0] == "err", 20.0)
    assert "cannot load the group's newest version" in shown()["Page"][2]
    assert shown()["Fleet"][2].startswith("waits for the ruler")
