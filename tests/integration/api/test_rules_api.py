"""Rules over HTTP: made, changed, refused and told apart by who owns them."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from fleetpulse.rules.check import check
from fleetpulse.rules.load import read_text, shipped_packs
from tests.support.databases import Database
from tests.support.published_rules import group_text
from tests.support.stored import store

pytestmark = pytest.mark.servers

RULES = "/api/fleet/v1/rules"
ADA = {"Fleetpulse-Author": "ada"}
HOT = '{alert: Hot, expr: "test_value > 80"}'


def put(client: httpx.Client, name: str, text: str, **headers: str) -> httpx.Response:
    return client.put(f"{RULES}/{quote(name, safe='')}", json={"text": text}, headers=ADA | headers)


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    return found


def test_the_shipped_packs_are_there_and_belong_to_their_files(client: httpx.Client) -> None:
    groups = {group["name"]: group for group in client.get(RULES).json()["groups"] if group["owner"] == "file"}
    shipped = [group for path in shipped_packs() for group in read_text("f", path.read_text())[0]]
    assert groups.keys() == {group.name for group in shipped}
    for group in shipped:
        shown = groups[group.name]
        assert [rule["name"] for rule in shown["rules"]] == [
            rule.name for rule in sorted([*group.rules, *(one.rule for one in group.waiting)], key=lambda one: one.line)
        ]
        assert (shown["version"], shown["file"].split("/")[0]) == (1, "shipped")
    name = shipped[0].name
    refused = put(client, name, groups[name]["text"].replace("rules:", "interval: 5s\n    rules:"), **{"If-Match": "*"})
    assert "belongs to the file shipped/" in problem(refused, 409)["detail"]
    deleted = client.delete(f"{RULES}/{quote(name, safe='')}", headers=ADA | {"If-Match": "*"})
    assert "belongs to the file" in problem(deleted, 409)["detail"]


def test_a_group_lives_through_its_versions(client: httpx.Client) -> None:
    text, hotter = group_text("a/b: c", HOT), group_text("a/b: c", HOT.replace("80", "90"))
    assert "who makes the change" in problem(client.post(RULES, json={"text": text}), 422)["detail"]
    quoted = text.replace("a/b: c", '"a/b: c"')
    made = client.post(RULES, json={"text": quoted, "author": "grace"})
    assert made.status_code == 201, made.text
    assert (made.headers["etag"], made.json()["author"]) == ('"1"', "grace")
    (rule,) = made.json()["rules"]
    assert (rule["name"], rule["engine"], rule["state"], rule["health"]) == ("Hot", "stream", "inactive", "unknown")
    assert "exists already" in problem(client.post(RULES, json={"text": quoted}, headers=ADA), 409)["detail"]

    hotter = hotter.replace("a/b: c", '"a/b: c"')
    assert 'If-Match: "1"' in problem(put(client, "a/b: c", hotter), 428)["detail"]
    changed = put(client, "a/b: c", hotter, **{"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["etag"], changed.json()["text"]) == (200, '"2"', hotter)
    stale = problem(put(client, "a/b: c", quoted, **{"If-Match": '"1"'}), 412)
    assert "version 2 by ada" in stale["detail"]
    same = put(client, "a/b: c", hotter, **{"If-Match": '"2"'})
    assert same.headers["etag"] == '"2"'

    path = f"{RULES}/{quote('a/b: c', safe='')}"
    assert client.delete(path, headers=ADA | {"If-Match": '"2"'}).status_code == 204
    assert "a/b: c" not in problem(client.get(path), 404)["nearest"]
    versions = client.get(f"{path}/versions").json()["versions"]
    assert [(one["version"], one["action"], one["author"], one["text"]) for one in versions] == [
        (3, "delete", "ada", hotter),
        (2, "update", "ada", hotter),
        (1, "create", "grace", quoted),
    ]
    again = put(client, "a/b: c", quoted)
    assert again.headers["etag"] == '"4"'
    assert client.delete(path, headers=ADA | {"If-Match": "*"}).status_code == 204


def test_wrong_rules_are_refused_with_line_and_field(client: httpx.Client) -> None:
    text = group_text("wrong", '{alert: A, exprr: "x"}', "{record: b, expr: 'x{a=~\"(\"}'}", HOT)
    found = problem(client.post(RULES, json={"text": text}, headers=ADA), 422)["errors"]
    assert [(one["line"], one["field"]) for one in found] == [(4, "exprr"), (4, "expr"), (5, "expr")]
    assert "did you mean 'expr'?" in found[0]["message"]
    two = "groups: [{name: a, rules: []}, {name: b, rules: []}]"
    assert (
        "one rule group is expected, here are 2"
        in problem(client.post(RULES, json={"text": two}, headers=ADA), 422)["detail"]
    )
    renamed = put(client, "other", group_text("one", HOT))
    assert "a group keeps its name" in problem(renamed, 422)["detail"]


def test_a_window_longer_than_the_retention_is_refused(client: httpx.Client) -> None:
    text = group_text("long", '{alert: Long, expr: "rate(x[90d]) > 1"}')
    (found,) = problem(client.post(RULES, json={"text": text}, headers=ADA), 422)["errors"]
    assert (found["line"], found["field"]) == (4, "expr")
    assert "FLEETPULSE_INGEST_RAW_RETENTION_DAYS" in found["message"]


def test_two_groups_cannot_have_the_same_alert(client: httpx.Client) -> None:
    assert put(client, "first", group_text("first", HOT)).status_code == 200
    twin = problem(put(client, "second", group_text("second", HOT)), 422)
    assert "is also at" in twin["detail"]
    assert client.delete(f"{RULES}/first", headers=ADA | {"If-Match": "*"}).status_code == 204


def test_apply_is_one_change_and_says_what_it_does(client: httpx.Client) -> None:
    def apply(files: dict[str, str], **more: Any) -> httpx.Response:
        listed = [{"path": path, "text": text} for path, text in files.items()]
        return client.post(f"{RULES}/apply", json={"files": listed, "author": "ada", **more})

    def done(answer: httpx.Response) -> dict[str, str]:
        assert answer.status_code == 200, answer.text
        return {step["name"]: step["action"] for step in answer.json()["steps"]}

    one, two = group_text("one", HOT), group_text("two", HOT.replace("Hot", "Warm"))
    files = {"mine/a.yaml": one, "mine/b.yaml": two}
    assert done(apply(files, dry_run=True)) == {"one": "create", "two": "create"}
    assert client.get(f"{RULES}/one").status_code == 404
    assert done(apply(files)) == {"one": "create", "two": "create"}
    assert done(apply(files)) == {"one": "unchanged", "two": "unchanged"}
    assert client.get(f"{RULES}/one").json()["file"] == "mine/a.yaml"

    moved = {"mine/a.yaml": one.replace("80", "70")}
    assert done(apply(moved, prune=["mine"], dry_run=True)) == {"one": "update", "two": "delete"}
    assert done(apply(moved)) == {"one": "update"}
    assert done(apply(moved, prune=["elsewhere"])) == {"one": "unchanged"}
    assert done(apply(moved, prune=["mine"])) == {"one": "unchanged", "two": "delete"}

    assert put(client, "api", group_text("api", HOT.replace("Hot", "Cold"))).status_code == 200
    stolen = apply({"mine/c.yaml": group_text("api", HOT)})
    assert "belongs to the API" in problem(stolen, 409)["detail"]
    wrong = problem(apply({"mine/a.yaml": one, "mine/d.yaml": "groups: ["}), 422)
    assert (wrong["errors"][0]["file"], wrong["errors"][0]["line"]) == ("mine/d.yaml", 1)
    twice = problem(apply({"mine/a.yaml": one, "mine/e.yaml": one.replace("Hot", "Hotter")}), 422)
    assert "a group's name is its identity" in twice["detail"]
    assert client.delete(f"{RULES}/api", headers=ADA | {"If-Match": "*"}).status_code == 204
    assert done(apply({"mine/f.yaml": "groups: []"}, prune=["mine"])) == {"one": "delete"}


def test_check_says_where_rules_run_and_what_they_do_not_match(client: httpx.Client) -> None:
    text = group_text("new", HOT, '{alert: Sum, expr: "sum(test_value) > 5"}')
    found = client.post(f"{RULES}/check", json={"files": [{"path": "f.yaml", "text": text}]}).json()
    assert (found["ok"], found["errors"]) == (True, [])
    assert [(rule["name"], rule["engine"]) for rule in found["rules"]] == [("Hot", "stream"), ("Sum", "ruler")]
    assert found["rules"][1]["waiting"]
    assert [(warning["file"], warning["line"]) for warning in found["warnings"]] == [("f.yaml", 4), ("f.yaml", 5)]
    for warning in found["warnings"]:
        assert "no series of test_value was ever stored" in warning["message"]
        assert "look at its spelling" in warning["message"]
    bad = client.post(f"{RULES}/check", json={"files": [{"path": "f.yaml", "text": "groups: 5"}]}).json()
    assert (bad["ok"], len(bad["errors"])) == (False, 1)


def test_a_rule_is_compared_with_the_series_that_are_stored(client: httpx.Client, database: Database) -> None:
    start = 1_795_430_400_000
    labels = {"device": "sda", "instance": "web-1", "job": "node"}
    store(database.url, [("disk_io", labels, [(start, 1.0)])])
    texts = {
        "disk_io > 1": "",
        'disk_io{device="sda"} > 1': "",
        'disk_io{device="sdz"} > 1': "device='sdz'",
        'disk_io{device=~"vd.*"} > 1': "device=~'vd.*'",
        'disk_io{absent=""} > 1': "",
        'disk_io{absent!=""} > 1': "absent!=''",
    }
    for expr, why in texts.items():
        text = group_text("new", f"{{alert: New, expr: '{expr}'}}")
        found = client.post(f"{RULES}/check", json={"files": [{"path": "f.yaml", "text": text}]}).json()
        assert found["errors"] == []
        assert [warning["message"].count(why) for warning in found["warnings"]] == [1] * bool(why), (expr, found)


def test_the_command_says_what_the_api_knows(
    client: httpx.Client,
    database: Database,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLEETPULSE_API_URL", str(client.base_url))
    labels = {"device": "sda", "instance": "web-1", "job": "node"}
    store(database.url, [("net_io_total", labels, [(1_795_430_400_000, 1.0)])])
    theirs = group_text("theirs", "{record: 'theirs:io', expr: 'rate(net_io_total[1m])'}")
    assert put(client, "theirs", theirs).is_success
    file = tmp_path / "rules.yaml"
    rules = (
        "{alert: Fine, expr: 'theirs:io > 1'}",
        "{alert: Typo, expr: 'rate(net_io_totl[1m]) > 1'}",
        "{alert: Disk, expr: 'net_io_total{device=\"sdb\"} > 1'}",
    )
    file.write_text(group_text("mine", *rules))
    assert check([str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("3 rules are good, 0 errors\n")
    assert err.splitlines() == [
        f"warning: {file}:5: Typo: no series of net_io_totl was ever stored: the rule matches nothing yet; "
        "did you mean net_io_total?",
        f"warning: {file}:6: Disk: no series of net_io_total has device='sdb': the rule matches nothing yet; "
        "device is 'sda'",
    ]

    loop = "{record: net_io_total, expr: 'theirs:io * 60'}"
    file.write_text(group_text("mine", loop, "{alert: Long, expr: 'rate(net_io_total[20d]) > 1'}"))
    assert check([str(file)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert any("[20d] is longer than raw samples are kept, 15 days" in line for line in said), said
    assert any("feeds itself" in line and f"({file}:4)" in line for line in said), said
    assert len(said) == 2, said
    assert client.delete(f"{RULES}/theirs", headers=ADA | {"If-Match": "*"}).status_code == 204
