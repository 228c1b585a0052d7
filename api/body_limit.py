"""No request makes the API read more than it is meant to: a longer body is 413, whether or not it says its length.

Not FastAPI's own `max_body_size`: it answers plain text, without the limit or the setting.
"""

from collections import deque

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from api.errors import TooLargeError

_READ_ON = 8  # times the limit: a client that still sends would lose the answer with the connection


class BodyLimit:
    """ASGI middleware; the application gets a body that is read to its end."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if "content-length" not in headers and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        read: deque[Message] = deque()
        size, more = 0, True
        while more:
            message = await receive()
            more = bool(message.get("more_body"))
            size += len(message.get("body", b""))
            if size <= self._most_bytes:
                read.append(message)
            elif size > _READ_ON * self._most_bytes:
                break
        if size > self._most_bytes:
            error = TooLargeError(
                f"the body has more than {self._most_bytes} bytes (FLEETPULSE_API_MAX_BODY_BYTES): send less in one "
                "request, as one rule group by `PUT /api/fleet/v1/rules/NAME`, or raise the setting"
            )
            await (await errors.fleetpulse_error(Request(scope), error))(scope, receive, send)
            return

        async def replayed() -> Message:
            return read.popleft() if read else await receive()

        await self._app(scope, replayed, send)
