"""`fleetpulse hosts forget` asks the API whether there is such a host before it tells Kafka."""

import httpx
import pytest

from fleetpulse.cli import main
from tests.support.databases import Database
from tests.support.stored import store

pytestmark = pytest.mark.servers


def test_a_host_that_nobody_knows_is_not_forgotten(
    client: httpx.Client, database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store(database.url, [("up", {"instance": "web-017"}, [(1_795_430_000_000, 1.0)])])
    monkeypatch.setenv("FLEETPULSE_API_URL", str(client.base_url))
    monkeypatch.setenv("FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert main(["hosts", "forget", "web-017", "wev-017"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "fleetpulse hosts: no host 'wev-017' has ever sent a sample; the nearest names are web-017",
        "fleetpulse hosts: nothing was done; --unchecked forgets them all the same",
    ]


def test_exported_rules_of_nobody_are_a_rule_file(
    client: httpx.Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETPULSE_API_URL", str(client.base_url))
    assert main(["rules", "export", "--owner", "api"]) == 0
    assert capsys.readouterr().out == "groups: []\n"
