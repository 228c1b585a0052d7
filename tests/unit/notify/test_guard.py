"""Where outgoing requests may go, whatever a name server, an address or a redirect says."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fleetpulse.errors import SettingsError
from fleetpulse.notify.config import HttpOptions
from stream_processors.notify.guard import ForbiddenError, Guard, NotSentError
from stream_processors.notify.request import UnsureError, post
from stream_processors.notify.webhook import outcome_of
from tests.support.webhooks import Receiver, receiver_of

FORBIDDEN = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # clouds' metadata
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fec0::1",
    "fd00::1",
    "fd00:ec2::254",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]


def answering(*addresses: str) -> Any:
    """A name server that answers this."""

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port))
            for family, address in zip(families, addresses, strict=True)
        ]

    return resolve


@pytest.mark.parametrize("address", FORBIDDEN)
def test_what_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(ForbiddenError, match=r"hooks\.example\.org is .*not public"):
        Guard(resolve=answering(address)).addresses("hooks.example.org", 443)


def test_an_address_is_named_once() -> None:
    with pytest.raises(ForbiddenError, match=r"^127\.0\.0\.1 is not public: allow"):
        Guard().addresses("127.0.0.1", 80)


def test_name_servers_that_do_not_answer_are_waited_for_no_longer_than_the_request_may_take() -> None:
    asked = threading.Event()
    guard = Guard(resolve=lambda *_, **__: [asked.wait(60)])
    try:
        with pytest.raises(NotSentError, match=r"hooks\.example\.org does not resolve: no name server answered"):
            guard.connect("hooks.example.org", 443, 0.2)
    finally:
        asked.set()


def test_one_forbidden_address_among_public_ones_is_enough() -> None:
    with pytest.raises(ForbiddenError):
        Guard(resolve=answering("93.184.216.34", "127.0.0.1")).addresses("hooks.example.org", 443)
    found = Guard(resolve=answering("93.184.216.34", "2606:2800::1")).addresses("hooks.example.org", 443)
    assert [address[0] for _, address in found] == ["93.184.216.34", "2606:2800::1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]".strip("[]")])
def test_the_real_resolver_hides_nothing(host: str) -> None:
    with pytest.raises(NotSentError):
        Guard().addresses(host, 80)


def test_the_allow_list_opens_networks_and_no_more() -> None:
    guard = Guard("127.0.0.0/8, fd00::/8", resolve=answering("127.0.0.1"))
    assert guard.addresses("x", 80)
    with pytest.raises(ForbiddenError):
        Guard("127.0.0.0/8", resolve=answering("10.0.0.1")).addresses("x", 80)
    with pytest.raises(SettingsError, match=r"FLEETPULSE_NOTIFY_ALLOW has 'example\.org'"):
        Guard("10.0.0.0/8,example.org")


def test_a_name_that_does_not_resolve_is_named() -> None:
    def nobody(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(NotSentError, match=r"hooks\.example\.org does not resolve"):
        Guard(resolve=nobody).addresses("hooks.example.org", 443)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiver_of() as receiver:
        yield receiver


def ask(receiver: Receiver, guard: Guard, host: str = "127.0.0.1", seconds: float = 30.0) -> Any:
    port = receiver.url.rpartition(":")[2]
    return post(guard, f"http://{host}:{port}/hook?a=b", b"{}", {"X-A": "b"}, HttpOptions(), seconds)


def test_exactly_the_checked_address_is_asked_under_the_hosts_own_name(receiver: Receiver) -> None:
    asked: list[str] = []

    def once(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        return answering("127.0.0.1")(host, port)

    assert ask(receiver, Guard("127.0.0.0/8", resolve=once), "hooks.example.org").status == 200
    (got,) = receiver.accepted
    assert asked == ["hooks.example.org"], "resolved once: a second answer could be another"
    assert got.headers["Host"] == f"hooks.example.org:{receiver.url.rpartition(':')[2]}"
    assert (got.path, got.headers["X-A"], got.raw) == ("/hook?a=b", "b", b"{}")


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    with receiver_of() as inner:
        receiver.status, receiver.location = 307, f"{inner.url}/secret"
        answer = ask(receiver, Guard("127.0.0.0/8"))
        assert inner.attempts == []
    assert (answer.status, outcome_of(answer)[0].value) == (307, "refused")


def test_without_the_allow_list_nothing_is_sent(receiver: Receiver) -> None:
    with pytest.raises(ForbiddenError):
        ask(receiver, Guard())
    assert receiver.attempts == []


def test_who_never_answers_costs_a_bounded_time(receiver: Receiver) -> None:
    receiver.holds = True
    with pytest.raises(UnsureError):
        ask(receiver, Guard("127.0.0.0/8"), seconds=0.5)
    receiver.released.set()


def test_who_answers_byte_by_byte_or_without_end_is_cut() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            while not stop.wait(0.05):
                try:
                    connection.sendall(b"H")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with pytest.raises(UnsureError):
        post(Guard("127.0.0.0/8"), url, b"{}", {}, HttpOptions(), 0.5)
    stop.set()
    thread.join(10)
    listener.close()


def test_nobody_there_is_surely_not_sent() -> None:
    with pytest.raises(NotSentError, match="cannot be reached"):
        post(Guard("127.0.0.0/8"), "http://127.0.0.1:1/", b"{}", {}, HttpOptions(), 5.0)
