"""One guarded HTTP request: to a checked address, without redirects or proxies, bounded in time and in size."""

import http.client
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from fleetpulse import __version__
from fleetpulse.notify.config import HttpOptions
from stream_processors.notify.deadline import deadline
from stream_processors.notify.guard import Guard, NotSentError

ANSWER_BYTES = 64 * 1024


class UnsureError(Exception):
    """The request may have arrived, but no whole answer came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said; `text` is cut."""

    status: int
    text: str


def post(
    guard: Guard, url: str, body: bytes, headers: Mapping[str, str], options: HttpOptions, timeout_seconds: float
) -> Answer:
    """POST JSON. Raises NotSentError or UnsureError."""
    end = time.monotonic() + timeout_seconds
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    raw = guard.connect(host, port, timeout_seconds)
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    client = kind(host, port)
    try:
        with deadline(raw, end - time.monotonic()):
            raw.settimeout(max(0.1, end - time.monotonic()))
            client.sock = _secured(raw, options, host) if secure else raw
            target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
            return _ask(client, target, body, {**_headers(parts.username, parts.password), **headers}, options)
    finally:
        client.close()
        raw.close()


def _ask(
    client: http.client.HTTPConnection, target: str, body: bytes, headers: Mapping[str, str], options: HttpOptions
) -> Answer:
    try:
        client.request("POST", target, body, {**headers, **options.headers})
        answer = client.getresponse()
        return Answer(answer.status, answer.read(ANSWER_BYTES).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        raise UnsureError(f"no answer: {error or type(error).__name__}") from error


def _headers(username: str | None, password: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": f"Fleetpulse/{__version__}", "Connection": "close"}
    if username is not None:
        headers["Authorization"] = f"Basic {_basic(username, password or '')}"
    return headers


def _basic(username: str, password: str) -> str:
    return b64encode(f"{unquote(username)}:{unquote(password)}".encode()).decode()


def _secured(raw: socket.socket, options: HttpOptions, host: str) -> ssl.SSLSocket:
    try:
        return tls_context(options.ca_file, options.verify).wrap_socket(
            raw, server_hostname=options.server_name or host
        )
    except (OSError, ValueError) as error:
        raise NotSentError(f"{host}: TLS: {error}") from error


def tls_context(ca_file: str, verify: bool) -> ssl.SSLContext:
    """The context of outgoing TLS."""
    context = ssl.create_default_context(cafile=ca_file or None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
