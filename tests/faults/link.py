"""A network link of its own to a listener in a network namespace, whose packets can be dropped. Needs root and `ip`.

The clients' packets really cross the link, so that TCP sees what it sees when a cable is pulled or a firewall drops:
it sends again and again, and nobody answers, resets or ends. `nft` drops them in the namespace; where it is not
installed they are sent to a hardware address that the namespace's interface does not take.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.faults.verdict import NeedsError

_NOBODY = "02:00:00:00:00:99"
_LISTEN = """
import socket, sys
listener = socket.create_server((sys.argv[2], 0), backlog=128)
socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b"x"], [listener.fileno()])
"""


@dataclass(frozen=True)
class Link:
    """From `outside` to `address` in the namespace of this name."""

    name: str
    outside: str  # the interface
    address: str

    def listener(self) -> socket.socket:
        """A listening socket in the namespace; what accepts from it may live outside."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            script = [sys.executable, "-P", "-c", _LISTEN, str(theirs.fileno()), self.address]
            subprocess.run(["ip", "netns", "exec", self.name, *script], check=True, pass_fds=[theirs.fileno()])
            _, [found], _, _ = socket.recv_fds(ours, 1, 1)
        return socket.socket(fileno=found)

    def drop(self) -> str:
        """Drop every packet to the namespace, and say how."""
        if shutil.which("nft"):
            chain = "add chain inet faults input { type filter hook input priority 0 ; policy drop ; }"
            rules = f"add table inet faults ; {chain}"
            _run("ip", "netns", "exec", self.name, "nft", rules)
            return "nft"
        _run("ip", "neigh", "replace", self.address, "lladdr", _NOBODY, "dev", self.outside, "nud", "permanent")
        return "a hardware address of nobody (no nft here)"

    def restore(self) -> None:
        """Let them through again."""
        if shutil.which("nft"):
            _run("ip", "netns", "exec", self.name, "nft", "flush", "ruleset")
        else:
            _run("ip", "neigh", "del", self.address, "dev", self.outside)

    def packets(self) -> int:
        """How many the interface outside has sent."""
        with open(f"/sys/class/net/{self.outside}/statistics/tx_packets") as file:
            return int(file.read())


@contextmanager
def link() -> Iterator[Link]:
    """Make it, and remove it; raises NeedsError where that is not permitted."""
    number = os.getpid() % 16_000
    name, outside, inside = f"faults-{number}", f"fp{number}o", f"fp{number}i"
    network = f"198.18.{number // 64}.{number % 64 * 4}"  # RFC 2544: of nobody
    first, second = (f"{network.rsplit('.', 1)[0]}.{int(network.rsplit('.', 1)[1]) + host}" for host in (1, 2))
    within = ("ip", "netns", "exec", name, "ip")
    try:
        _run("ip", "netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NeedsError(f"no network namespace can be made here: {_cause(error)}") from error
    try:
        try:
            _run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", name)
            _run("ip", "addr", "add", f"{first}/30", "dev", outside)
            _run(*within, "addr", "add", f"{second}/30", "dev", inside)
            _run("ip", "link", "set", outside, "up")
            _run(*within, "link", "set", inside, "up")
        except subprocess.CalledProcessError as error:
            raise NeedsError(f"no link into a network namespace can be made here: {_cause(error)}") from error
        yield Link(name, outside, second)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _cause(error: Exception) -> str:
    return str(getattr(error, "stderr", "") or error).strip()
