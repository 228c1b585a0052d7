"""What runs in apprise's process: its sockets go where the guard has looked, and its words hold no secret back."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stream_processors.notify.apprise_call import without_secrets

CODE = """
import socket, sys
from stream_processors.notify.apprise_child import _guard_sockets
from stream_processors.notify.guard import Guard

def answer(host, port, **_):
    asked.append(host)
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

asked, port, allow = [], int(sys.argv[1]), sys.argv[2]
refused = _guard_sockets(Guard(allow, resolve=answer))
place = ("rebind.invalid", port)
tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
for call in (
    lambda: tcp.connect(place),
    lambda: udp.sendto(b"1", place),
    lambda: udp.sendto(b"2", 0, place),
    lambda: udp.sendmsg([b"3"], [], 0, place),
    lambda: udp.connect(place),
    lambda: udp.send(b"4"),
    lambda: socket.socket().connect_ex(place),
):
    try:
        call()
    except OSError as error:
        print(type(error).__name__)
print(len(asked), len(refused))
"""


def ran(port: int, allow: str) -> list[str]:
    command = [sys.executable, "-c", CODE, str(port), allow]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, cwd=root)
    return done.stdout.splitlines()


def test_every_way_out_goes_to_the_address_that_was_checked() -> None:
    """No name server knows the name: who connects to anything but the checked address gets nowhere."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        udp.settimeout(30)
        assert ran(port, "127.0.0.0/8") == ["6 0"], "each is resolved once, and none fails"
        tcp.settimeout(30)
        tcp.accept()[0].close()
        assert [udp.recv(10) for _ in range(4)] == [b"1", b"2", b"3", b"4"]


def test_no_way_out_is_forgotten() -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", tcp.getsockname()[1]))
        *errors, counts = ran(tcp.getsockname()[1], "")
        assert counts == "6 6"
        assert [error for error in errors if error == "PermissionError"] == ["PermissionError"] * 6
        udp.setblocking(False)
        with pytest.raises(BlockingIOError):
            udp.recv(10)


def test_what_apprise_says_names_nothing_of_its_url() -> None:
    url = "slack://bot@T0KENAAAA/B1KENBBBB/c%2Fd-secret/#chan?pass=hunter2"
    said = f"Failed: {url} to /T0KENAAAA/B1KENBBBB for c/d-secret with hunter2: error 403."
    kept = without_secrets(said, url)
    assert not [piece for piece in ("T0KEN", "B1KEN", "d-secret", "hunter2") if piece in kept]
    assert kept.startswith("Failed: <secret> to ")
    assert kept.endswith(": error 403.")
