"""Asking a process whether it is ready, over real HTTP."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from infra.embedded.ports import free_port
from infra.embedded.ready import http_not_ready

ANSWERS = {
    "/ok/health/ready": (200, "{}"),
    "/ours/health/ready": (503, '{"ready": false, "cause": "no partition yet"}'),
    "/problem/health/ready": (503, '{"title": "Not ready", "detail": "clickhouse: refused"}'),
    "/text/health/ready": (503, "<html>"),
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, text = ANSWERS[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "cause"),
    [("ok", None), ("ours", "no partition yet"), ("problem", "clickhouse: refused"), ("text", "it is not ready")],
)
def test_the_cause_is_what_the_process_says(url: str, path: str, cause: str | None) -> None:
    assert http_not_ready(f"{url}/{path}") == cause


def test_nobody_there() -> None:
    assert http_not_ready(f"http://127.0.0.1:{free_port()}") == "it does not answer"
