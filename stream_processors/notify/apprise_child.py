"""The process in which apprise runs: one notification from standard input, its outcome as exit code.

Every connection that it makes is checked as ours are: also after a redirect, and whatever the service's plugin does.
"""

import json
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

from stream_processors.notify.apprise_call import FORBIDDEN, NOT_UNDERSTOOD
from stream_processors.notify.guard import Guard, NotSentError

DELIVERED, FAILED = 0, 1


def main() -> int:
    """Do what standard input says; the last line of standard output says what went wrong."""
    job: dict[str, str] = json.load(sys.stdin)
    refused = _guard_sockets(Guard(job["allow"]))
    import apprise  # takes a while, and only now what it imports finds guarded sockets
    import requests

    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(message)s")
    requests.sessions.DEFAULT_REDIRECT_LIMIT = 0  # type: ignore[attr-defined]
    services = apprise.Apprise()
    if not services.add(job["url"]):
        print("apprise does not understand the URL")
        return NOT_UNDERSTOOD
    if services.notify(body=job["body"], title=job["title"], notify_type=job["type"]):
        return DELIVERED
    if refused:
        print(refused[-1])
        return FORBIDDEN
    return FAILED


def _guard_sockets(guard: Guard) -> list[str]:
    """Let every socket of this process ask the guard; returns the list of what was refused."""
    refused: list[str] = []

    def checked(family: int, given: Any) -> Any:
        """The address that was checked, which a name server can no longer change."""
        try:
            for found, address in guard.addresses(given[0], given[1]):
                if found == family:
                    return (*address[:2], *(given[2:] or address[2:]))
        except NotSentError as error:
            refused.append(str(error))
            raise PermissionError(str(error)) from error
        raise OSError(f"{given[0]} has no address of this kind")

    def guarded(function: Callable[..., Any], place: int, least: int) -> Callable[..., Any]:
        def call(self: socket.socket, *arguments: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and len(arguments) >= least:
                changed = list(arguments)
                if changed[place] is not None:
                    changed[place] = checked(self.family, changed[place])
                return function(self, *changed)
            return function(self, *arguments)

        return call

    for name, place, least in (("connect", 0, 1), ("connect_ex", 0, 1), ("sendto", -1, 2), ("sendmsg", 3, 4)):
        setattr(socket.socket, name, guarded(getattr(socket.socket, name), place, least))
    return refused


if __name__ == "__main__":
    sys.exit(main())
