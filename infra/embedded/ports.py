"""Ports of this machine: which are free, and who holds the others."""

import os
import socket
import sys

import psutil

LOOPBACK = "127.0.0.1"
MOST_CHARACTERS = 50


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, kept for this process's children on Linux.

    The socket stays bound, without listening, until this process ends. Linux then gives the port to nobody who asks
    for any port, nor to an outgoing connection, but lets a server that sets SO_REUSEADDR, as all do, listen on it.
    """
    holder = socket.socket()
    try:
        holder.bind((LOOPBACK, 0))
        port: int = holder.getsockname()[1]
        if sys.platform == "linux":
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.detach()
    finally:
        holder.close()
    return port


def is_free(port: int, address: str = LOOPBACK) -> bool:
    """Whether a server could listen on the port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError:
            return False
    # macOS lets us bind beside a server that listens on all addresses: ask whether somebody answers.
    with socket.socket() as caller:
        caller.settimeout(1.0)
        return caller.connect_ex((LOOPBACK if address in ("0.0.0.0", "::", "") else address, port)) != 0


def holder_of(port: int) -> str:
    """The process that listens on the port, e.g. ``pid 42, python3 -m http.server``; empty where it is not shown."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, PermissionError):
        return ""
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or not connection.pid:
            continue
        if connection.laddr.port == port:
            return f"pid {connection.pid}{_command_of(connection.pid)}"
    return ""


def _command_of(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        words = process.cmdline()
        program = os.path.basename(words[0]) if words else process.name()
        text = " ".join([program, *words[1:]])
    except psutil.Error:
        return ""
    return f", {text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + '…'}"
