"""TLS to receivers: own CA, name and verification as `tls_config` says, by webhook and by SMTP with STARTTLS."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from fleetpulse.clock import ManualClock
from fleetpulse.notify.notifier import Notification, Notifier, Outcome
from infra.embedded.ports import free_port
from stream_processors.notify.channels import Channels
from stream_processors.notify.guard import Guard
from tests.support.notifying import T0, config_of, firing


@dataclass
class Signed:
    """A certificate of a CA of its own, for the name hooks.example.org only."""

    folder: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        return context


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    folder = tmp_path_factory.mktemp("tls")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    usage = "keyUsage=critical,keyCertSign,cRLSign"
    ca = ["-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA", "-addext", usage]
    name = [
        "-subj",
        "/CN=hooks",
        "-addext",
        "subjectAltName=DNS:hooks.example.org",
        "-addext",
        "basicConstraints=CA:FALSE",
    ]
    server = ["-x509", "-CA", "ca.pem", "-CAkey", "ca.key", *key, "-keyout", "server.key", "-out", "server.pem", *name]
    for arguments in (ca, server):
        subprocess.run(["openssl", "req", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
    return Signed(folder)


@pytest.fixture(scope="module")
def https(signed: Signed) -> Iterator[tuple[int, list[str]]]:
    """Its port, and the paths that were posted to it."""
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            got.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that does not trust us

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = signed.server().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_address[1], got
    server.shutdown()
    server.server_close()
    thread.join(10)


class Mailbox:
    """aiosmtpd's handler: the messages."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages.append((session.ssl is not None, envelope))
        return "250 OK"


def sent(folder: Path, receiver: str) -> tuple[Outcome, str]:
    """What becomes of a notification to a receiver that is written as in the file."""
    config = config_of(f"route: {{receiver: a, group_wait: 0s}}\nreceivers: [{{name: a, {receiver}}}]\n", folder)
    notifier = Notifier(config)
    notifier.take_event(firing("Hot", "web-1"))
    (made,) = notifier.due(T0)
    assert isinstance(made, Notification)
    return Channels(Guard("127.0.0.0/8"), "127.0.0.0/8", "http://page", "", ManualClock(T0)).send(made)


GOOD = ("{ca_file: ca.pem, server_name: hooks.example.org}", "{insecure_skip_verify: true}")
BAD = (
    "{}",  # a CA that nobody knows
    "{ca_file: ca.pem}",  # the name of the address, which the certificate has not
    "{ca_file: ca.pem, server_name: other.example.org}",
    "{server_name: hooks.example.org}",
)


@pytest.mark.parametrize("tls", GOOD)
def test_a_webhook_over_tls(signed: Signed, https: tuple[int, list[str]], tls: str) -> None:
    port, got = https
    before = len(got)
    url = f"https://127.0.0.1:{port}/hook"
    receiver = f"webhook_configs: [{{url: '{url}', http_config: {{tls_config: {tls}}}}}]"
    assert sent(signed.folder, receiver) == (Outcome.DELIVERED, "")
    assert got[before:] == ["/hook"]


@pytest.mark.parametrize("tls", BAD)
def test_a_webhook_to_whom_is_not_trusted(signed: Signed, https: tuple[int, list[str]], tls: str) -> None:
    port, got = https
    before = len(got)
    receiver = f"webhook_configs: [{{url: 'https://127.0.0.1:{port}/hook', http_config: {{tls_config: {tls}}}}}]"
    outcome, why = sent(signed.folder, receiver)
    assert outcome is Outcome.FAILED, "surely nothing was sent"
    assert "certificate verify failed" in why
    assert got[before:] == []


def test_mail_with_starttls(signed: Signed) -> None:
    mailbox, port = Mailbox(), free_port()
    controller = Controller(
        mailbox, hostname="127.0.0.1", port=port, tls_context=signed.server(), require_starttls=True
    )
    controller.start()
    mail = f"to: x@example.org, from: y@example.org, smarthost: '127.0.0.1:{port}'"
    try:
        for tls in GOOD:
            assert sent(signed.folder, f"email_configs: [{{{mail}, tls_config: {tls}}}]") == (Outcome.DELIVERED, "")
        for tls in BAD:
            outcome, why = sent(signed.folder, f"email_configs: [{{{mail}, tls_config: {tls}}}]")
            assert outcome is Outcome.FAILED
            assert "certificate verify failed" in why
    finally:
        controller.stop()
    assert [secure for secure, _ in mailbox.messages] == [True, True]
