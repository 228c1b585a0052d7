"""What commands say when they are called wrongly, and when the API does not answer them."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fleetpulse import api_client
from fleetpulse.cli import main
from infra.embedded.ports import free_port

WIDE = ("rules", "silence", "hosts", "rules apply", "rules export", "rules test", "rules explain", "rules backtest")
WRONG = {
    "rules apply": "fleetpulse rules apply rules/",
    "rules diff": "fleetpulse rules diff rules/",
    "rules test": "fleetpulse rules test tests.yaml",
    "rules explain": "--host web-017",
    "rules backtest": "--since 7d",
    "silence add": "--for 2h --comment 'new disk' instance=web-017",
    "silence ack": "fleetpulse silence ack 0123456789abcdef",
    "silence expire": "fleetpulse silence expire ID",
    "hosts forget": "fleetpulse hosts forget web-017",
}


@pytest.mark.parametrize("command", WIDE)
def test_help_fits_a_terminal_of_80_columns(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(("command", "example"), WRONG.items())
def test_wrong_arguments_show_an_example(command: str, example: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"fleetpulse {command}: for example: fleetpulse {command} ")
    assert example in last


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """What takes connections and does not answer as an API would."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


ADD = ("silence", "add", "--for", "1h", "--comment", "x", "a=b")


def test_a_change_without_an_answer_may_have_been_made(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "TIMEOUT_SECONDS", 0.3)
    ended = threading.Event()
    with listening(lambda _: bool(ended.wait(10))) as url:  # type: ignore[arg-type]
        monkeypatch.setenv("FLEETPULSE_API_URL", url)
        text = said(capsys, *ADD)
        ended.set()
    assert "was asked and did not answer within 0.3 seconds" in text
    assert "it is not known whether the change was made: run `fleetpulse silence list` to see" in text
    assert "fleetpulse up" not in text


def test_an_api_that_hangs_up(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(lambda _: None) as url:
        monkeypatch.setenv("FLEETPULSE_API_URL", url)
        text = said(capsys, *ADD)
    assert "hung up before it had answered" in text
    assert "it is not known whether" in text
    with listening(lambda one: one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[")) as url:
        monkeypatch.setenv("FLEETPULSE_API_URL", url)
        text = said(capsys, "rules", "list")
    assert "see `fleetpulse status`, then ask again" in text
    assert "it is not known" not in text


def test_an_api_that_is_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETPULSE_API_URL", f"http://127.0.0.1:{free_port()}")
    text = said(capsys, *ADD)
    assert "start it with `fleetpulse up`, or set FLEETPULSE_API_URL" in text
    assert "it is not known" not in text


def test_the_command_line_ends_without_a_traceback() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "fleetpulse.cli", "hosts", "forget"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
