"""A bound in time for a whole conversation: a socket's own timeout begins anew with every byte."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def deadline(connection: socket.socket, seconds: float) -> Iterator[None]:
    """Cut the connection after `seconds`; whoever reads or writes then gets an OSError, or the end of the data."""

    handle = connection.dup()  # TLS takes the other one over

    def cut() -> None:
        with suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, seconds), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        handle.close()
