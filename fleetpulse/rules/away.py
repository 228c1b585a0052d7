"""Hosts that have not sent for long, and when they may be forgotten: so that what is kept of hosts is bounded."""

from collections.abc import Callable, Container, Sequence

from fleetpulse.rules.machine import NEVER
from fleetpulse.wire import Header

_DEPARTED = str(Header.DEPARTED)


class Away:
    """Hosts by name, each with the append time at which it last sent. Pure."""

    def __init__(self, forget_after_ms: int | None) -> None:
        """`forget_after_ms`: how long a host may be silent before it counts as gone for good; None: for ever."""
        self._forget_after_ms = forget_after_ms
        self._sent_ms: dict[str, int] = {}
        self._resumed_ms = NEVER

    def note_gap(self, append_ms: int, previous_ms: int) -> None:
        """Nothing of the whole partition for half of the limit: the source was away, and hosts count from now."""
        limit_ms = self._forget_after_ms
        if limit_ms is not None and previous_ms > NEVER and append_ms - previous_ms > limit_ms // 2:
            self._resumed_ms = append_ms

    def add(self, host: str, sent_ms: int) -> None:
        """The host last sent then."""
        self._sent_ms[host] = min(sent_ms, self._sent_ms.get(host, sent_ms))

    def discard(self, host: str) -> None:
        """The host is forgotten."""
        self._sent_ms.pop(host, None)

    def due(self, position_ms: int, back: Container[str], needed: Callable[[str], bool]) -> list[tuple[str, int]]:
        """Hosts to forget, and as of when: nobody needs them, or they are silent for too long.

        Those that are `back` are not away.
        """
        due = []
        for host, sent_ms in list(self._sent_ms.items()):
            silent_from_ms = max(sent_ms, self._resumed_ms)
            limit_ms = -NEVER if self._forget_after_ms is None else silent_from_ms + self._forget_after_ms
            if host in back:
                del self._sent_ms[host]
            elif position_ms >= limit_ms:
                due.append((host, limit_ms))
            elif not needed(host):
                due.append((host, position_ms))
        return due


def departed_of(headers: Sequence[tuple[str, bytes]]) -> str | None:
    """The host that a message says is gone for good."""
    for name, value in headers:
        if name == _DEPARTED:
            return value.decode(errors="replace")
    return None
