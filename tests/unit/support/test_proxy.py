"""The proxy's faults, each seen from both ends of real sockets."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.eventually import eventually
from tests.support.proxy import LOOPBACK, Proxy


class Server:
    """Answers ``n\\n`` with ``answer n\\n`` and keeps what it heard."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended: list[str] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while piece := connection.recv(65536):
                    self.heard += piece
                    if piece.endswith(b"\n"):
                        connection.sendall(b"answer " + piece)
                self.ended.append("closed")
            except OSError:
                self.ended.append("reset")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.address) as proxy:
        yield proxy


def connect(proxy: Proxy, timeout: float = 10.0) -> socket.socket:
    return socket.create_connection((LOOPBACK, proxy.port), timeout)


def ask(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return client.recv(65536)


def ended(client: socket.socket) -> bool:
    """Closed, or reset because something was left unread."""
    try:
        return client.recv(100) == b""
    except ConnectionResetError:
        return True


def test_it_forwards_and_closes_in_order(proxy: Proxy, server: Server) -> None:
    with connect(proxy) as client:
        assert ask(client, b"1\n") == b"answer 1\n"
        assert proxy.connections == 1
    eventually(lambda: server.ended == ["closed"] and proxy.connections == 0)


def test_much_passes_whole(proxy: Proxy, server: Server) -> None:
    text = bytes(range(48, 58)) * 400_000
    with connect(proxy) as client:
        client.sendall(text)
        eventually(lambda: len(server.heard) == len(text))
    assert server.heard == text


def test_a_black_hole_says_nothing_and_lets_everything_through_later(proxy: Proxy, server: Server) -> None:
    with connect(proxy) as client:
        assert ask(client, b"1\n") == b"answer 1\n"
        proxy.blackhole()
        client.settimeout(0.3)
        client.sendall(b"2\n")
        with pytest.raises(TimeoutError):
            client.recv(100)
        with connect(proxy, timeout=0.3) as late, pytest.raises(TimeoutError):  # taken by the kernel, by nobody else
            ask(late, b"x\n")
        assert server.heard == b"1\n"
        proxy.resume()
        client.settimeout(10.0)
        assert client.recv(100) == b"answer 2\n"


def test_delay_holds_each_way_back(proxy: Proxy) -> None:
    with connect(proxy) as client:
        proxy.delay(0.15)
        start = time.monotonic()
        assert ask(client, b"1\n") == b"answer 1\n"
        assert time.monotonic() - start >= 0.3
        proxy.resume()
        assert ask(client, b"2\n") == b"answer 2\n"


def test_cut_resets_what_is_open_and_takes_new_connections(proxy: Proxy, server: Server) -> None:
    with connect(proxy) as client:
        assert ask(client, b"1\n") == b"answer 1\n"
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    eventually(lambda: server.ended == ["reset"])
    with connect(proxy) as client:
        assert ask(client, b"2\n") == b"answer 2\n"
        assert proxy.cut(reset=False) == 1
        assert client.recv(100) == b""
    eventually(lambda: server.ended == ["reset", "closed"])


def test_refuse_ends_new_connections_until_resume(proxy: Proxy, server: Server) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionResetError), connect(proxy) as client:
        client.recv(100)
    proxy.resume()
    with connect(proxy) as client:
        assert ask(client, b"1\n") == b"answer 1\n"
    assert server.heard == b"1\n"


@pytest.mark.parametrize("count", [0, 1, 5])
def test_cut_after_lets_exactly_so_many_bytes_arrive(proxy: Proxy, server: Server, count: int) -> None:
    with connect(proxy) as client:
        assert ask(client, b"1\n") == b"answer 1\n"
        proxy.cut_after(count)
        client.sendall(b"234567")
        assert ended(client)
    eventually(lambda: server.ended == ["closed"])
    assert server.heard == b"1\n" + b"234567"[:count]


def test_cut_after_works_towards_the_client_as_well(proxy: Proxy) -> None:
    with connect(proxy) as client:
        proxy.cut_after(4, towards="client")
        assert ask(client, b"1\n") == b"answ"
        assert client.recv(100) == b""


def test_the_answer_to_a_request_is_withheld_once(proxy: Proxy, server: Server) -> None:
    proxy.cut_before_answer(b"INSERT", hold_seconds=0.1)
    with connect(proxy) as client:
        assert ask(client, b"SELECT\n") == b"answer SELECT\n"
        client.sendall(b"INS")
        eventually(lambda: server.heard.endswith(b"INS"))
        client.sendall(b"ERT\n")
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    assert server.heard == b"SELECT\nINSERT\n"
    assert proxy.withheld == 1
    with connect(proxy) as client:
        assert ask(client, b"INSERT\n") == b"answer INSERT\n"


def test_skipped_answers_pass_first(proxy: Proxy, server: Server) -> None:
    proxy.cut_before_answer(b"INSERT", skip=1, hold_seconds=0.1)
    with connect(proxy) as client:
        assert ask(client, b"INSERT\n") == b"answer INSERT\n"
        client.sendall(b"rows\n")
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    assert server.heard == b"INSERT\nrows\n"


def test_a_server_that_is_away_ends_the_connection() -> None:
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    with Proxy((LOOPBACK, port)) as proxy, pytest.raises(ConnectionResetError), connect(proxy) as client:
        client.recv(100)
