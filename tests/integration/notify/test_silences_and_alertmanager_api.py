"""Silences through the API, the command line and the real amtool, told to all by the topic; without ClickHouse."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from fleetpulse import silence_command
from fleetpulse.errors import FleetpulseError
from fleetpulse.settings import KafkaSettings
from fleetpulse.silences import decode_silence
from fleetpulse.topics import Topic
from stream_processors.notify.journal import read_compacted
from tests.support.alerting_api import alerting_api, with_alerts
from tests.support.eventually import eventually
from tests.support.servers import KafkaServer

pytestmark = [pytest.mark.servers, pytest.mark.debian("prometheus-alertmanager")]


@pytest.fixture(scope="module")
def settings(kafka: KafkaServer) -> KafkaSettings:
    return with_alerts(kafka)


@pytest.fixture(scope="module")
def url(settings: KafkaSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with alerting_api(settings, tmp_path_factory.mktemp("silences")) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client
        for item in client.get("/api/fleet/v1/silences").json()["silences"]:
            client.delete(f"/api/fleet/v1/silences/{item['id']}", params={"by": "the test"})


@pytest.fixture
def command(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("FLEETPULSE_API_URL", url)

    def call(*arguments: str) -> str:
        assert silence_command.main(list(arguments)) == 0
        return capsys.readouterr().out

    return call


def amtool(url: str, *arguments: str, code: int = 0) -> str:
    command = [shutil.which("amtool") or "amtool", "--no-version-check", f"--alertmanager.url={url}"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stdout + done.stderr


def names(alerts: list[Mapping[str, Any]]) -> list[str]:
    return sorted(f"{alert['labels']['alertname']} {alert['labels']['instance']}" for alert in alerts)


def told(settings: KafkaSettings) -> dict[str, tuple[str, str]]:
    """What other processes see: id → (kind, end)."""
    records = asyncio.run(read_compacted(settings, Topic.SILENCES))
    found = [decode_silence(value) for value in records.values()]
    return {silence.id: (silence.kind, silence.ends_at) for silence in found}


def test_amtool_asks_for_alerts(url: str) -> None:
    shown = json.loads(amtool(url, "-o", "json", "alert", "query"))
    assert names(shown) == ["Hot web-1", "Slow web-2"], "the warning of web-1 is inhibited by its critical alert"
    everything = json.loads(amtool(url, "-o", "json", "alert", "query", "-i", "-s", "-a"))
    assert {(alert["labels"]["alertname"], alert["status"]["state"]) for alert in everything} == {
        ("Hot", "active"),
        ("Slow", "active"),
        ("Slow", "suppressed"),
    }
    assert names(json.loads(amtool(url, "-o", "json", "alert", "query", "instance=~web-.*", "alertname=Slow"))) == [
        "Slow web-2"
    ]
    assert names(json.loads(amtool(url, "-o", "json", "alert", "query", "--receiver=oncall"))) == ["Hot web-1"]
    assert "Hot" in amtool(url, "alert", "query")


def test_amtool_silences(url: str, settings: KafkaSettings, client: httpx.Client) -> None:
    added = amtool(url, "silence", "add", "--author=ada", "--comment=disk", "--duration=2h", "Slow", "instance=web-2")
    identity = added.strip()
    assert names(json.loads(amtool(url, "-o", "json", "alert", "query"))) == ["Hot web-1"]
    (listed,) = json.loads(amtool(url, "-o", "json", "silence", "query", "alertname=Slow"))
    assert (listed["id"], listed["createdBy"], listed["comment"]) == (identity, "ada", "disk")
    eventually(lambda: told(settings).get(identity, ("", ""))[0] == "silence", 30)
    updated = amtool(url, "-o", "json", "silence", "update", "--comment=two disks", identity)
    assert "two disks" in updated
    assert identity in amtool(url, "silence", "query", "-q")
    amtool(url, "silence", "expire", identity)
    assert names(json.loads(amtool(url, "-o", "json", "alert", "query"))) == ["Hot web-1", "Slow web-2"]
    changes = client.get(f"/api/fleet/v1/silences/{identity}/history").json()["changes"]
    assert [(change["action"], change["by"]) for change in changes] == [
        ("expired", "somebody, by Alertmanager's API"),
        ("changed", "ada"),
        ("created", "ada"),
    ]
    assert "404" in amtool(url, "silence", "expire", "nonsense", code=1)


def test_amtool_shows_the_configuration_without_secrets(url: str) -> None:
    shown = amtool(url, "config", "show")
    assert "receiver: oncall" in shown
    assert "T0KEN" not in shown
    assert "oncall" in amtool(url, "config", "routes", "show")
    assert amtool(url, "config", "routes", "test", "severity=critical").strip() == "oncall"


def test_alerts_of_others_are_refused_with_the_remedy(url: str, client: httpx.Client) -> None:
    answer = client.post("/api/v2/alerts", json=[{"labels": {"alertname": "Foreign"}}])
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert "make a rule" in answer.json()
    assert "405" in amtool(url, "alert", "add", "Foreign", "instance=web-1", code=1)
    assert "Foreign" not in client.get("/api/v2/alerts").text


def test_groups_and_receivers(client: httpx.Client) -> None:
    groups = client.get("/api/v2/alerts/groups").json()
    assert [(group["receiver"]["name"], group["labels"], names(group["alerts"])) for group in groups] == [
        ("oncall", {"alertname": "Hot"}, ["Hot web-1"]),
        ("page", {"alertname": "Slow"}, ["Slow web-1", "Slow web-2"]),
    ]
    assert client.get("/api/v2/receivers").json() == [{"name": "page"}, {"name": "oncall"}]
    (hot,) = client.get("/api/v2/alerts", params={"filter": 'severity="critical"'}).json()
    (quiet,) = client.get("/api/v2/alerts", params={"active": False}).json()
    assert quiet["status"] == {"state": "suppressed", "silencedBy": [], "inhibitedBy": [hot["fingerprint"]]}
    assert client.get("/api/v2/alerts", params={"filter": "a=~("}).status_code == 400
    assert client.get("/api/v2/status").json()["cluster"]["status"] == "ready"


def test_the_command_line_acknowledges_plans_lists_and_ends(
    command: Any, client: httpx.Client, settings: KafkaSettings
) -> None:
    acked = command("ack", "Hot-web-1", "--for", "4h", "--comment", "looking", "--author", "bob").split()[0]
    assert [alert["status"]["silencedBy"] for alert in client.get("/api/v2/alerts?filter=alertname=Hot").json()] == [
        [acked]
    ]
    planned = command(
        "maintenance", "--from", "2h", "--until", "4h", "--comment", "rack 4", "--author", "eve", 'host=~"web-.*"'
    ).split()[0]
    listed = command("list")
    assert f"{acked}  active   acknowledgement" in listed
    assert f"{planned}  pending  maintenance" in listed
    assert '{host=~"web-.*"}  eve: rack 4' in listed
    eventually(lambda: {told(settings)[key][0] for key in (acked, planned)} == {"acknowledgement", "maintenance"}, 30)
    command("expire", acked, "--author", "bob")
    assert [alert["status"]["state"] for alert in client.get("/api/v2/alerts?filter=alertname=Hot").json()] == [
        "active"
    ]
    assert acked not in command("list")
    assert acked in command("list", "--expired")
    history = command("history", acked).splitlines()
    assert [line.split()[1] for line in history] == ["expired", "created"]
    with pytest.raises(FleetpulseError, match="no alert with fingerprint 'nobody' fires now"):
        command("ack", "nobody", "--for", "4h", "--comment", "x")


def test_other_matchers_end_a_silence_and_make_a_new_one(client: httpx.Client) -> None:
    body = {"createdBy": "ada", "comment": "x", "duration": "1h", "matchers": [{"name": "a", "value": "b"}]}
    first = client.post("/api/fleet/v1/silences", json=body).json()
    second = client.put(f"/api/fleet/v1/silences/{first['id']}", json=body | {"duration": "3h"}).json()
    assert (second["id"], second["startsAt"]) == (first["id"], first["startsAt"])
    other = body | {"matchers": [{"name": "a", "value": "c"}]}
    third = client.put(f"/api/fleet/v1/silences/{first['id']}", json=other).json()
    assert third["id"] != first["id"]
    assert client.get(f"/api/fleet/v1/silences/{first['id']}").json()["state"] == "expired"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "createdBy"),
    ({"matchers": []}, "at least one matcher must not match the empty text"),
    ({"matchers": [{"name": "a", "value": ".*", "isRegex": True}]}, "at least one matcher"),
    ({"matchers": [{"name": "a", "value": "(", "isRegex": True}]}, "regular expression"),
    ({"duration": "soon"}, "is not a duration"),
    ({"duration": None}, "say until when"),
    ({"endsAt": "2020-01-01T00:00:00Z", "duration": None}, "must be after the start"),
    ({"duration": "2y"}, "at most a year"),
    ({"kind": "acknowledgement"}, "an acknowledgement names the alert"),
    ({"alert": {"fingerprint": "x", "episode": "y"}}, "other kinds have matchers"),
    ({"until": "x"}, "until"),
]


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_what_cannot_be_is_said(client: httpx.Client, change: dict[str, Any], said: str) -> None:
    body = {"createdBy": "ada", "comment": "x", "duration": "1h", "matchers": [{"name": "a", "value": "b"}]} | change
    answer = client.post("/api/fleet/v1/silences", json=body if change else {})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
