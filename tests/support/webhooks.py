"""A plain HTTP receiver that counts: what it got, and what it shall answer."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    raw: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]

    @property
    def said(self) -> tuple[str, list[str], list[str]]:
        """(receiver, hosts that fire, hosts that have recovered)."""
        alerts = self.body["alerts"]
        hosts = {
            status: sorted(alert["labels"]["instance"] for alert in alerts if alert["status"] == status)
            for status in ("firing", "resolved")
        }
        return self.body["receiver"], hosts["firing"], hosts["resolved"]


@dataclass
class Receiver:
    """A server at 127.0.0.1. `status` is what it answers; while `holds` is set it answers nothing at all.

    While `resets` is set it cuts the connection instead of the answer, for 2xx after taking what came.
    """

    status: int = 200
    location: str = ""
    holds: bool = False
    resets: bool = False
    accepted: list[Got] = field(default_factory=list)  # those that it took: answered with 2xx, or cut
    lost: list[Got] = field(default_factory=list)  # those of them whose answer it cut
    attempts: list[Got] = field(default_factory=list)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def take(self, got: Got) -> int | None:
        """The answer to a request; None: none."""
        self.attempts.append(got)
        if self.holds:
            self.released.wait(60)
            return None
        status, resets = self.status, self.resets
        if 200 <= status < 300:
            self.accepted.append(got)
            if resets:
                self.lost.append(got)
        return None if resets else status


@contextmanager
def receiver_of(port: int = 0) -> Iterator[Receiver]:
    """A running receiver."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.take(Got(self.path, dict(self.headers), raw))
            if status is None:
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST
                self.connection.close()
                return
            self.send_response(status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            receiver.attempts.append(Got(self.path, dict(self.headers), b""))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()
