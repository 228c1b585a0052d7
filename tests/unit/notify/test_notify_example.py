"""The configurations that come with Fleetpulse are good, for us and for amtool; and what check says of a bad one."""

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fleetpulse.notify.load import load, shipped
from stream_processors.notify.check import check
from stream_processors.notify.guard import Guard
from stream_processors.notify.main import warn_unreachable

FOLDER = shipped().parent


@pytest.mark.parametrize("name", ["notify.yaml", "example.yaml"])
@pytest.mark.debian("prometheus-alertmanager")
def test_amtool_takes_them(name: str) -> None:
    command = [shutil.which("amtool") or "amtool", "check-config", str(FOLDER / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "SUCCESS" in done.stdout, done.stdout + done.stderr


def test_check_shows_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(FOLDER / "example.yaml", Guard("127.0.0.0/8,::1/128")) == 0
    shown = capsys.readouterr().out
    assert "4 routes, 3 receivers" in shown
    assert '{severity="critical"} → oncall (webhook)' in shown
    assert "HostSilent mutes the other alerts of its host" in shown


def test_nobody_is_told_by_default() -> None:
    assert load(shipped()).integrations == []


def test_a_receiver_that_does_not_resolve_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def nobody(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    file = tmp_path / "bad.yaml"
    file.write_text(
        "route: {receiver: oncall}\nreceivers:\n  - name: oncall\n"
        "    webhook_configs:\n      - url: http://no-such-host.invalid/\n"
    )
    assert check(file, Guard(resolve=nobody)) == 1
    said = capsys.readouterr().err
    problem = f"{file}:5: receiver 'oncall' (webhook): no-such-host.invalid does not resolve"
    assert problem in said
    warn_unreachable(load(file), file, Guard(resolve=nobody))  # as a notifier does when it starts
    assert problem in str([vars(record) for record in caplog.records])
    file.write_text("route: {receiver: oncal}\nreceivers: [{name: oncall}]\n")
    assert check(file, Guard()) == 1
    assert f"{file}:1: route: field 'receiver': there is no receiver 'oncal'" in capsys.readouterr().err
