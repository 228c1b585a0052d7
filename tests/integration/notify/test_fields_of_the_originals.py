"""Field by field beside Debian's Prometheus and Alertmanager: what their answers have, ours have, of the same types."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.embedded.ports import free_port
from tests.support.alerting_api import CONFIG, alerting_api, with_alerts
from tests.support.debian_alertmanager import alertmanager, asked
from tests.support.eventually import eventually
from tests.support.published_rules import group_text
from tests.support.servers import KafkaServer

pytestmark = [
    pytest.mark.servers,
    pytest.mark.debian("prometheus"),
    pytest.mark.debian("prometheus-alertmanager"),
]

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
# Their names of things that are free: labels, annotations, parts of a process.
FREE = {"labels", "annotations", "groupLabels", "commonLabels"}
RULES = group_text(
    "page",
    '{alert: Hot, expr: "vector(1)", labels: {severity: critical, instance: web-1}, annotations: {summary: "hot"}}',
    '{record: "host:x:avg", expr: "vector(2)", labels: {team: db}}',
)
SILENCE = {
    "matchers": [{"name": "alertname", "value": "Slow", "isRegex": False, "isEqual": True}],
    "createdBy": "ada",
    "comment": "disk",
}


def kind_of(value: object) -> str:
    """The JSON type, and of text whether it is a time."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "time" if TIME.fullmatch(value) else "text"
    return {dict: "object", list: "list", type(None): "null"}[type(value)]


def fields(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, type) of everything in a document; what is in lists has one path."""
    yield path, kind_of(value)
    if isinstance(value, Mapping) and path.rpartition(".")[2] not in FREE:
        for name, inner in value.items():
            yield from fields(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from fields(inner, f"{path}[]")


def lacking(theirs: object, ours: object) -> set[tuple[str, str]]:
    """What theirs has and ours has not."""
    return set(fields(theirs)) - set(fields(ours))


def sent(url: str, body: object) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", "Fleetpulse-Author": "ada"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@pytest.fixture(scope="module")
def ours(kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with alerting_api(with_alerts(kafka), tmp_path_factory.mktemp("ours")) as url:
        sent(f"{url}/api/fleet/v1/rules", {"text": RULES})
        yield url


@contextmanager
def prometheus(folder: Path, rules: str) -> Iterator[str]:
    """Debian's, which evaluates every second, and has nothing to scrape."""
    (folder / "rules.yaml").write_text(rules)
    config = {"global": {"evaluation_interval": "1s"}, "rule_files": [str(folder / "rules.yaml")]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    command = [
        shutil.which("prometheus") or "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    url = f"http://127.0.0.1:{port}"
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            eventually(lambda: asked(f"{url}/-/ready", text=True), 60)
            yield url
        finally:
            process.terminate()


def test_rules_and_alerts_have_what_prometheus_has(ours: str, tmp_path: Path) -> None:
    with prometheus(tmp_path, RULES) as theirs:
        eventually(lambda: asked(f"{theirs}/api/v1/alerts")["data"]["alerts"], 60)
        for path in ("/api/v1/rules", "/api/v1/rules?type=alert", "/api/v1/rules?type=record", "/api/v1/alerts"):
            theirs_, ours_ = asked(theirs + path), asked(ours + path)
            assert len(set(fields(theirs_))) > 8
            assert lacking(theirs_, ours_) == set(), path


def test_alerts_and_silences_have_what_alertmanager_has(ours: str, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with alertmanager(tmp_path, CONFIG) as theirs:
        alerts = [
            {"labels": {"alertname": name, "instance": host, "severity": severity}, "annotations": {"summary": name}}
            for name, host, severity in (("Hot", "web-1", "critical"), ("Slow", "web-1", "warning"))
        ]
        sent(f"{theirs}/api/v2/alerts", alerts)
        silence = SILENCE | {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
        number = {url: sent(f"{url}/api/v2/silences", silence)["silenceID"] for url in (theirs, ours)}

        def muted(url: str) -> bool:
            return any(alert["status"]["silencedBy"] for alert in asked(f"{url}/api/v2/alerts"))

        for url in (theirs, ours):
            eventually(lambda url=url: muted(url), 30)  # type: ignore[misc]
        for path in ("/status", "/alerts", "/alerts/groups", "/silences", "/receivers"):
            theirs_, ours_ = asked(f"{theirs}/api/v2{path}"), asked(f"{ours}/api/v2{path}")
            assert lacking(theirs_, ours_) == set(), path
        theirs_, ours_ = (asked(f"{url}/api/v2/silence/{number[url]}") for url in (theirs, ours))
        assert len(set(fields(theirs_))) > 12
        assert lacking(theirs_, ours_) == set()


def test_what_is_lacking_would_be_seen() -> None:
    theirs = {"a": [{"at": "2026-01-01T00:00:00Z", "n": 1}], "labels": {"x": "y"}}
    assert lacking(theirs, {"a": [{"at": "2027-01-01T00:00:00.5+01:00", "n": 2.5, "more": 1}], "labels": {}}) == set()
    assert lacking(theirs, {"a": [{"at": "yesterday", "n": "1"}], "labels": {}}) == {
        (".a[].at", "time"), (".a[].n", "number")
    }  # fmt: skip
