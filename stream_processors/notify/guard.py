"""Where outgoing requests may go: a name is resolved once, each address is checked, and to exactly these we connect.

Without the allow-list only public addresses are reached: no private, loopback, link-local (clouds keep their metadata
there), shared, multicast or reserved one, nor one of these inside an IPv6 address.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from fleetpulse.errors import SettingsError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve: TypeAlias = Callable[..., Sequence[Any]]  # socket.getaddrinfo

RESOLVE_SECONDS = 10.0

_SETTING = "FLEETPULSE_NOTIFY_ALLOW"
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class NotSentError(Exception):
    """The request was surely not made; the text says why."""


class ForbiddenError(NotSentError):
    """An address that requests may not go to."""


class Guard:
    """Checks and connects."""

    def __init__(self, allow: str = "", resolve: Resolve = socket.getaddrinfo) -> None:
        """`allow`: networks, separated by commas; raises SettingsError for what is none."""
        self._allowed = networks(allow)
        self._resolve = resolve

    def addresses(self, host: str, port: int, timeout_seconds: float = RESOLVE_SECONDS) -> list[tuple[int, Any]]:
        """(family, socket address) of a name. Raises NotSentError: unknown, or one of its addresses is forbidden."""
        try:
            found = self._resolved(host, port, timeout_seconds)
        except (OSError, UnicodeError) as error:
            raise NotSentError(f"{host} does not resolve: {error}") from error
        addresses = [(family, address) for family, _, _, _, address in found if family in _FAMILIES]
        if not addresses:
            raise NotSentError(f"{host} does not resolve: it has no address")
        for _, address in addresses:
            self.check(host, str(address[0]))
        return list(dict.fromkeys(addresses))

    def _resolved(self, host: str, port: int, timeout_seconds: float) -> Sequence[Any]:
        # The C library asks name servers for as long as it likes: a thread of its own waits for that.
        found: list[Sequence[Any]] = []
        failed: list[OSError | UnicodeError] = []

        def resolve() -> None:
            try:
                found.append(self._resolve(host, port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError) as error:
                failed.append(error)

        asking = threading.Thread(target=resolve, name="resolve", daemon=True)
        asking.start()
        asking.join(timeout_seconds)
        if failed:
            raise failed[0]
        if not found:
            raise TimeoutError(f"no name server answered within {timeout_seconds:g} s")
        return found[0]

    def check(self, host: str, text: str) -> None:
        """Raises ForbiddenError when an address is neither public nor allowed."""
        address = ipaddress.ip_address(text.partition("%")[0])
        if not is_public(address) and not any(address in network for network in self._allowed):
            named = f"{host} is" if host == str(address) else f"{host} is {address}, which is"
            raise ForbiddenError(f"{named} not public: allow its network in {_SETTING}")

    def connect(self, host: str, port: int, timeout_seconds: float) -> socket.socket:
        """A connection to one of the checked addresses. Raises NotSentError."""
        deadline = time.monotonic() + timeout_seconds
        cause: OSError = TimeoutError("timed out")
        for family, address in self.addresses(host, port, min(timeout_seconds, RESOLVE_SECONDS)):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.settimeout(remaining)
            try:
                connection.connect(address)
                return connection
            except OSError as error:
                connection.close()
                cause = error
        raise NotSentError(f"{host}:{port} cannot be reached: {cause}") from cause


_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def networks(text: str) -> list[Network]:
    """The networks of an allow-list."""
    found: list[Network] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise SettingsError(
                f"{_SETTING} has {part!r}: write networks as 10.0.0.0/8 or ::1/128 ({error})"
            ) from error
    return found


def is_public(address: Address) -> bool:
    """Whether an address, and the one that it may carry inside, is of the public internet."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            inner = address.teredo[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and not is_public(inner):
            return False
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
