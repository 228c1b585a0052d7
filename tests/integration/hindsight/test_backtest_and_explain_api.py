"""Back-test and explain over HTTP and as commands, on a real ClickHouse, against what was worked out by hand."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from fleetpulse.errors import RejectedError
from fleetpulse.hindsight import backtest_command, backtested, explain_command
from tests.integration.hindsight.conftest import MINUTES, NEW, Rooms, at
from tests.support.eventually import eventually

pytestmark = pytest.mark.servers

BACKTEST = "/api/fleet/v1/rules/backtest"


def asked(**changes: Any) -> dict[str, Any]:
    return {"rule": "Hot", "text": NEW, "since": at(0), "until": at(MINUTES), **changes}


def lines(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in answer.iter_lines())


@pytest.fixture(scope="module")
def result(rooms: Rooms) -> dict[str, Any]:
    """The new version beside the one in force, over the six hours."""
    answer = rooms.client.post(BACKTEST, json=asked())
    *_, found = lines(answer)
    assert found["type"] == "result", found
    return found


def test_episodes_minutes_and_notifications_of_each_host_are_those_worked_out_by_hand(result: dict[str, Any]) -> None:
    new = result["new"]
    assert {each["host"]: (each["startsAt"], each["endsAt"], each["severity"]) for each in new["shown"]} == {
        "a": (at(12), at(30), "warning"),
        "b": (at(13), at(14), "warning"),
        "c": (at(22), at(40), "warning"),
        "d": (at(62), at(80), "critical"),
        "e": (at(63), at(75), "warning"),
        "f": (at(102), None, "warning"),
        "g": (at(122), at(140), "warning"),
    }
    # a: fires in the group of its room, told at 12:30, its end at 32:30.   b: begins and ends between two looks at the
    # same group.   c: silenced until 30, told at 32:30 and 42:30.   d: 62:30 and 82:30.   e: inhibited by d, which is
    # critical in the same room.   f: 102:30, repeated after four hours.   g: its host was silent, by stored alerts.
    told = {each["host"]: (each["firingMinutes"], each["notifications"]) for each in new["hosts"]}
    assert told == {"a": (18, 2), "b": (1, 0), "c": (18, 2), "d": (18, 2), "e": (12, 0), "f": (258, 2), "g": (18, 0)}
    assert new["notificationsBy"] == {"oncall/webhook/0": 8}
    assert (new["notifications"], new["firing"], new["firingMinutes"]) == (8, 1, 343)
    assert new["hosts"][0]["host"] == "f"


def test_the_difference_to_the_version_in_force_is_told(result: dict[str, Any]) -> None:
    live, difference = result["live"], result["difference"]
    # Over 90: c from 27, d, and h, whose room the new version leaves out; each is told twice.
    assert (live["episodes"], live["firingMinutes"], live["notifications"]) == (3, 39, 6)
    assert [difference[name] for name in ("same", "added", "removed", "changed")] == [1, 5, 1, 1]
    assert [each["host"] for each in difference["addedList"]] == ["a", "b", "e", "f", "g"]
    assert [each["host"] for each in difference["removedList"]] == ["h"]
    (change,) = difference["changedList"]
    assert (change["before"]["startsAt"], change["after"]["startsAt"]) == (at(27), at(22))


def test_progress_comes_before_the_result(rooms: Rooms) -> None:
    with rooms.client.stream("POST", BACKTEST, json=asked(since="30d", until=at(MINUTES))) as answer:
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        *progress, last = lines(answer)
    assert [each["type"] for each in progress] == ["progress"] * len(progress)
    shares = [each["share"] for each in progress]
    assert len(shares) >= 30
    assert shares == sorted(shares)
    assert (shares[-1], last["type"]) == (1.0, "result")
    assert progress[-1]["samples"] == last["samples"] == 8 * 2 * MINUTES
    assert last["tier"] == "raw"  # one-minute rows are there for the same time: no reason to take them


def test_the_lines_are_as_the_openapi_document_says(rooms: Rooms) -> None:
    document = rooms.client.get("/api/fleet/v1/openapi.json").json()
    content = document["paths"][BACKTEST]["post"]["responses"]["200"]["content"]["application/x-ndjson"]
    every = Draft202012Validator({**content["schema"], "components": document["components"]})
    told = list(lines(rooms.client.post(BACKTEST, json=asked())))
    told += lines(rooms.client.post(BACKTEST, json=asked(text=NEW.replace("temperature", "humidity"))))
    assert {line["type"] for line in told} == {"progress", "result", "error"}
    for line in told:
        every.validate(line)
    assert not every.is_valid({**told[-1], "detail": None})


def test_a_backtest_ends_when_nobody_listens(rooms: Rooms) -> None:
    before = rooms.backtests("left")
    with rooms.client.stream("POST", BACKTEST, json=asked(since="399d")) as answer:
        assert next(lines(answer))["type"] == "progress"
        busy = rooms.client.post(BACKTEST, json=asked())
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
        assert "another back-test runs" in busy.json()["detail"]
    eventually(lambda: rooms.backtests("left") == before + 1)
    done = rooms.backtests("done")
    *_, after = lines(rooms.client.post(BACKTEST, json=asked(hosts=["d"])))
    assert (after["new"]["episodes"], after["hosts"]) == (1, 1)
    eventually(lambda: rooms.backtests("done") == done + 1)


def test_what_cannot_be_run_is_refused_before_anything_is_read(rooms: Rooms) -> None:
    ended = rooms.backtests("failed")
    for changes, status, said in (
        ({"since": at(10), "until": at(10)}, 422, "ends after it starts"),
        ({"since": "500d"}, 422, "at most 400 days"),
        ({"since": "yesterday"}, 422, "since"),
        ({"tier": "1h"}, 422, "'raw' or '1m'"),
        ({"rule": "Cold"}, 422, "no alerting rule 'Cold'"),
        ({"rule": "Cold", "text": None}, 404, "no alerting rule 'Cold'"),
        ({"rule": "room:temperature:max", "text": None}, 404, "is a recording rule"),
        ({"rule": "Fleet", "text": None}, 422, "waits for the ruler"),
        ({"text": NEW.replace("80", "eighty")}, 422, "eighty"),
        ({"hosts": ["a", "dd"]}, 404, "no host 'dd' has ever sent a sample"),
    ):
        refused = rooms.client.post(BACKTEST, json=asked(**changes))
        assert refused.status_code == status, (changes, refused.text)
        assert said in refused.json()["detail"], changes
    assert rooms.backtests("failed") == ended


def test_a_failure_on_the_way_is_the_last_line(rooms: Rooms) -> None:
    text = NEW.replace("temperature_celsius", "humidity_ratio")
    *_, last = lines(rooms.client.post(BACKTEST, json=asked(text=text)))
    assert last["type"] == "error"
    assert "no series is stored that rule 'Hot' reads" in last["detail"]


@pytest.mark.parametrize(
    ("bound", "most", "said"),
    [
        ("MOST_SAMPLES", 1000, "about 5,760 raw samples, over the 1,000 of a back-test: name some hosts"),
        ("MOST_AT_ONCE", 200, "8 series of raw samples are too many at once: name some hosts"),
        ("MOST_SERIES", 7, "the rule reads more than 7 series: name some hosts"),
        ("MOST_EPISODES", 3, "more than 3 episodes by"),
    ],
)
def test_what_is_too_much_is_refused_with_a_remedy(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, said: str
) -> None:
    monkeypatch.setattr(backtested, bound, most)
    *_, last = lines(rooms.client.post(BACKTEST, json=asked()))
    assert last["type"] == "error"
    assert said in last["detail"]


def test_the_command_shows_a_bar_and_prints_json(rooms: Rooms, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(NEW)
    command = [sys.executable, "-P", "-m", "fleetpulse", "rules", "backtest", "Hot", "--file", "new.yaml"]
    command += ["--since", "30d", "--json"]
    terminal, end = os.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as screen, closing(os.fdopen(end, "wb")) as stderr:
        done = subprocess.run(
            command,
            env={**os.environ, "FLEETPULSE_API_URL": str(rooms.client.base_url)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=stderr,
            timeout=300,
            check=False,
        )
        drawn = screen.read(65_536).decode()
    assert done.returncode == 0, drawn
    assert drawn.count(" %  ") >= 30
    assert "##############################" in drawn
    found = json.loads(done.stdout)
    assert (found["new"]["episodes"], found["live"]["episodes"], found["hosts"]) == (7, 3, 8)


def test_the_command_says_what_it_found_and_what_is_wrong(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("FLEETPULSE_API_URL", str(rooms.client.base_url))
    (tmp_path / "new.yaml").write_text(NEW)
    times = ["--since", at(0), "--until", at(MINUTES)]
    assert backtest_command.main(["Hot", "--file", str(tmp_path / "new.yaml"), *times]) == 0
    said = capsys.readouterr()
    assert "new against live: 1 the same, 5 added, 1 removed, 1 changed" in said.out
    assert f"  - h critical: {at(12)} to {at(20)}, 8 minutes" in said.out
    assert f"  ~ c warning: {at(27)} to {at(40)}, 13 minutes\n    now c warning: {at(22)}" in said.out
    assert backtest_command.main(["Hot", *times, "--host", "d", "--host", "h"]) == 0
    said = capsys.readouterr()
    assert "in force  2 episodes (0 fire at the end), 26 minutes firing, 4 notifications" in said.out
    assert "d: 1 episodes, 18 minutes, 2 notifications" in said.out
    assert said.err == ""  # no terminal, no bar
    with pytest.raises(RejectedError, match="ends after it starts"):
        backtest_command.main(["Hot", "--since", at(9), "--until", at(1)])
    with pytest.raises(RejectedError, match="no alerting rule 'Hott'"):
        backtest_command.main(["Hott"])
    with pytest.raises(RejectedError, match="cannot be read"):
        backtest_command.main(["Hot", "--file", "nowhere.yaml"])


@pytest.mark.parametrize(
    ("host", "minute", "reason", "said"),
    [
        ("d", 70, "not_paged", "fires by what is stored"),
        ("d", 61, "for_not_over", "'for: 2m' is not over"),
        ("a", 20, "below_threshold", "the value is 85, needed is > 90"),
        ("c", 29, "silenced", "keeps it quiet"),
    ],
)
def test_explain_says_what_held_it_back(rooms: Rooms, host: str, minute: int, reason: str, said: str) -> None:
    found = rooms.client.get("/api/fleet/v1/rules/Hot/explain", params={"host": host, "at": at(minute)}).json()
    assert found["verdict"]["reason"] == reason, found["verdict"]
    assert said in found["verdict"]["sentence"]
    (series,) = found["series"]
    assert series["points"][-1]["time"] == at(minute)


def test_the_explain_command_prints_the_time_line(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLEETPULSE_API_URL", str(rooms.client.base_url))
    assert explain_command.main(["Hot", "--host", "d", "--at", at(85)]) == 0
    said = capsys.readouterr().out
    assert f"{at(62)} to {at(80)}: firing critical" in said
    assert said.splitlines()[-1].startswith("below_threshold: ")
    assert explain_command.main(["Hot", "--host", "d", "--at", at(70), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"]["reason"] == "not_paged"
    with pytest.raises(RejectedError, match="recording rule"):
        explain_command.main(["room:temperature:max", "--host", "d"])
    with pytest.raises(RejectedError, match=r"no host 'hh' has ever sent a sample; the nearest names are .*h"):
        explain_command.main(["Hot", "--host", "hh"])


def test_a_hundred_explanations_at_once_leave_the_api_alive(rooms: Rooms) -> None:
    path, asking = "/api/fleet/v1/rules/Hot/explain", {"host": "d", "at": at(70)}
    with ThreadPoolExecutor(100) as people:
        coming = [people.submit(rooms.client.get, path, params=asking) for _ in range(100)]
        alive = rooms.client.get("/health/live")
        answers = [each.result() for each in coming]
    assert alive.status_code == 200
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(answers) - len(refused) >= 3
    for answer in refused:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "try again in a few seconds" in answer.json()["detail"]
    assert refused
    assert rooms.client.get(path, params=asking).json()["verdict"]["reason"] == "not_paged"


def test_an_episode_that_began_before_the_range_counts_from_its_start_on(rooms: Rooms) -> None:
    *_, found = lines(rooms.client.post(BACKTEST, json=asked(since=at(25), until=at(60), hosts=["a", "b", "c"])))
    told = {each["host"]: (each["firingMinutes"], each["notifications"]) for each in found["new"]["hosts"]}
    # a is told of at 12:30, before the range, and of its end in it; b was over; c fires since 22.
    assert told == {"a": (5, 1), "c": (15, 2)}
    assert [each["startsAt"] for each in found["new"]["shown"]] == [at(12), at(22)]
    assert any("began before the range: 2" in note for note in found["notes"])
    assert any("16 days" in note for note in found["notes"])


def test_a_rule_without_an_answer_for_a_host_says_so(rooms: Rooms) -> None:
    twins = 'temperature_celsius or label_replace(temperature_celsius, "room", "other", "", "")'
    text = NEW.replace('temperature_celsius{room!="store"}', f"temperature_celsius * on (instance) ({twins})")
    assert twins in text
    *_, found = lines(rooms.client.post(BACKTEST, json=asked(text=text, since=at(0), until=at(10), hosts=["a"])))
    (note,) = (note for note in found["notes"] if "could not be evaluated" in note)
    assert note.startswith("the rule could not be evaluated at 20 ticks")
    assert "a for one" in note
    assert "duplicate series" in note
    assert found["new"]["episodes"] == 0
