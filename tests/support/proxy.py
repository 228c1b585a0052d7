"""A TCP proxy on loopback that fails as networks do, for one server behind it.

``with Proxy(("127.0.0.1", port)) as proxy: …`` forwards `proxy.port`. What goes wrong is chosen while it runs:

- `blackhole` stops reading, answering and accepting: no reset, no FIN, as when a cable is pulled; `resume` goes on
  with the same connections.
- `delay` holds each piece back, in both directions.
- `cut` ends the connections that are open, by a reset or an orderly close; `refuse` ends each new one at once.
- `cut_after` ends every connection after a number of bytes towards the server or the client.
- `cut_before_answer` lets the server have the whole request, and ends the connection when it answers.

A client that learns the server's address from the server (Kafka) must be told the proxy's: `EmbeddedKafka.advertised`.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

LOOPBACK = "127.0.0.1"
PIECE_BYTES = 256 * 1024
_RESET = struct.pack("ii", 1, 0)  # linger on, 0 seconds: close() sends RST

Towards = Literal["server", "client"]


@dataclass(eq=False, slots=True)
class _Connection:
    client: socket.socket
    server: socket.socket
    task: asyncio.Task[None] | None = None
    bytes_towards: dict[Towards, int] = field(default_factory=lambda: {"server": 0, "client": 0})
    last_towards: Towards = "server"
    tail: bytes = b""  # of what the client said, as the text looked for may lie on a border of two pieces
    answers_left: int | None = None  # until the one that is withheld; None: the request was not seen yet
    withheld: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True)
class _BeforeAnswer:
    request: bytes
    skip: int
    hold_seconds: float


class Proxy:
    """One listening port, one server behind it. The methods may be called from any thread and take effect at once."""

    def __init__(self, target: tuple[str, int], port: int = 0, listener: socket.socket | None = None) -> None:
        """`target` may be changed later; a server that is not there ends the connection.

        `listener`: a socket that listens already, instead of one on `port` of loopback.
        """
        self.target = target
        self.withheld = 0  # answers that `cut_before_answer` kept back
        self._listener = listener or socket.create_server((LOOPBACK, port), backlog=128)
        self._listener.setblocking(False)
        self.host, self.port = self._listener.getsockname()
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._delay_seconds = 0.0
        self._refusing = False
        self._cut_after: dict[Towards, int | None] = {"server": None, "client": None}
        self._before_answer: _BeforeAnswer | None = None
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """host:port of the proxy."""
        return f"{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._connections)

    def blackhole(self) -> None:
        """Stop reading, answering and accepting, without a word to anybody."""
        self._do(self._open.clear)

    def resume(self) -> None:
        """End every fault: what waits is forwarded, new connections are taken."""

        def healthy() -> None:
            self._delay_seconds, self._refusing, self._before_answer = 0.0, False, None
            self._cut_after = {"server": None, "client": None}
            self._open.set()

        self._do(healthy)

    def delay(self, seconds: float) -> None:
        """Hold each piece back by so long, in both directions."""
        self._do(lambda: setattr(self, "_delay_seconds", seconds))

    def refuse(self) -> None:
        """Cut what is open, and end each new connection at once, until `resume`."""

        def closed() -> None:
            self._refusing = True
            self._cut_all(reset=True)

        self._do(closed)

    def cut(self, reset: bool = True) -> int:
        """End the connections that are open, by a reset or an orderly close; returns how many there were."""
        count = self.connections
        self._do(lambda: self._cut_all(reset))
        return count

    def cut_after(self, count: int, towards: Towards = "server") -> None:
        """Close each connection once `count` bytes went that way, counted from now on; exactly `count` arrive."""

        def limit() -> None:
            for connection in self._connections:
                connection.bytes_towards[towards] = 0
            self._cut_after[towards] = count

        self._do(limit)

    def cut_before_answer(self, request: bytes = b"", skip: int = 0, hold_seconds: float = 0.3) -> None:
        """Reset the connection on which the client says `request`, when the server answers it; once.

        `skip` answers pass first (ClickHouse's native INSERT: 1, the columns). The server's silence of
        `hold_seconds` is waited for, so that it has finished; nothing of the answer reaches the client.
        """

        def armed() -> None:
            for connection in self._connections:
                connection.tail, connection.answers_left = b"", None
            self._before_answer = _BeforeAnswer(request, skip, hold_seconds)

        self._do(armed)

    def close(self) -> None:
        """End everything."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._listener.close()

    # ---- the proxy's thread

    def _do(self, change: Callable[[], object]) -> None:
        async def changed() -> None:
            change()

        asyncio.run_coroutine_threadsafe(changed(), self._loop).result(10.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._spawn(self._accept())
        self._loop.run_forever()
        self._cut_all(reset=True)
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            self._spawn(self._serve(client))

    async def _serve(self, client: socket.socket) -> None:
        server = socket.socket()
        for one in (client, server):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(client, server, asyncio.current_task())
        self._connections.add(connection)
        try:
            await self._open.wait()
            if not self._refusing:
                await self._loop.sock_connect(server, self.target)
                await asyncio.gather(self._pump(connection, "server"), self._pump(connection, "client"))
        except OSError:
            pass  # either side is gone: so is the connection
        finally:
            self._end(connection, reset=True)

    async def _pump(self, connection: _Connection, towards: Towards) -> None:
        source, sink = connection.client, connection.server
        if towards == "client":
            source, sink = sink, source
        while not connection.ended:
            await self._open.wait()
            piece = await self._loop.sock_recv(source, PIECE_BYTES)
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            await self._open.wait()
            if connection.ended:
                return
            if not piece:
                with contextlib.suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)
                return
            if towards == "server":
                self._note_request(connection, piece)
            elif self._withholds(connection):
                continue
            await self._forward(connection, towards, sink, piece)

    async def _forward(self, connection: _Connection, towards: Towards, sink: socket.socket, piece: bytes) -> None:
        limit = self._cut_after[towards]
        if limit is not None:
            piece = piece[: limit - connection.bytes_towards[towards]]
        await self._loop.sock_sendall(sink, piece)
        connection.bytes_towards[towards] += len(piece)
        if limit is not None and connection.bytes_towards[towards] >= limit:
            self._end(connection, reset=False)  # orderly, so that all of it is read

    def _note_request(self, connection: _Connection, piece: bytes) -> None:
        connection.last_towards = "server"
        fault = self._before_answer
        if fault is None or connection.answers_left is not None:
            return
        heard = connection.tail + piece
        connection.tail = heard[len(heard) - len(fault.request) :]
        if fault.request in heard:
            connection.answers_left = fault.skip

    def _withholds(self, connection: _Connection) -> bool:
        """Whether this piece of an answer is kept back; the first one of that answer ends the connection later."""
        if connection.withheld:
            connection.last_towards = "client"
            return True
        first = connection.last_towards == "server"
        connection.last_towards = "client"
        fault = self._before_answer
        if fault is None or connection.answers_left is None or not first:
            return False
        connection.answers_left -= 1
        if connection.answers_left >= 0:
            return False
        connection.withheld = True
        self._before_answer = None
        self.withheld += 1
        self._loop.call_later(fault.hold_seconds, self._end, connection, True)
        return True

    def _cut_all(self, reset: bool) -> None:
        for connection in list(self._connections):
            self._end(connection, reset)

    def _end(self, connection: _Connection, reset: bool) -> None:
        if connection.ended:
            return
        connection.ended = True
        self._connections.discard(connection)
        for one in (connection.client, connection.server):
            self._loop.remove_reader(one.fileno())
            self._loop.remove_writer(one.fileno())
            with contextlib.suppress(OSError):
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            one.close()
        if connection.task is not None:
            connection.task.cancel()  # it waits for what will not come
