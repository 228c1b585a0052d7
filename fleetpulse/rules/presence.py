"""The hosts of one partition as dense numbers, and when each was heard of, whatever its series are.

It tells a silent host from a living one whose series are gone. What fleetpulse says about itself and what rules
record is no sign of life of a host.
"""

from dataclasses import dataclass

import numpy as np

from fleetpulse.metric import parse_key
from fleetpulse.rules.evaluator import DEFAULT_MAX_FUTURE_MS
from fleetpulse.rules.machine import NEVER
from fleetpulse.wire import Block

OWN_JOB = "fleetpulse"
_PAUSE_MS = 120_000  # a host that was away for longer is alive only since it came back


@dataclass(slots=True)
class HostSeen:
    """A host: `instance` as its series name it, times of append, and the newest time of its own samples."""

    name: str
    instance: str = ""
    heard_ms: int = NEVER
    since_ms: int = NEVER
    newest_ms: int = NEVER


class Presence:
    """Hosts by dense number."""

    def __init__(self) -> None:
        self.hosts: list[HostSeen] = []
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        """The host's dense number, a new one for a new host."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.hosts)
            self.hosts.append(HostSeen(name))
        return number

    def heard(self, block: Block, append_ms: int) -> None:
        """A block of the host itself was appended then."""
        host = self.hosts[self.number(block.host)]
        if append_ms - host.heard_ms > _PAUSE_MS:
            host.since_ms = append_ms
        host.heard_ms = max(host.heard_ms, append_ms)
        newest_ms = NEVER
        if isinstance(block.ts, int):
            newest_ms = block.ts
        elif block.ts and not len(block.ts) % 8:
            newest_ms = int(np.frombuffer(block.ts, dtype="<i8").max())
        if newest_ms <= append_ms + DEFAULT_MAX_FUTURE_MS:  # the evaluator leaves out what is further ahead
            host.newest_ms = max(host.newest_ms, newest_ms)
        if not host.instance:
            host.instance = instance_of(block)

    def lives(self, number: int, position_ms: int, silent_ms: int) -> bool:
        """Whether the host has been heard of all through the last `silent_ms` before the position."""
        host = self.hosts[number]
        return host.heard_ms > position_ms - silent_ms >= host.since_ms > NEVER


def is_sign_of_life(block: Block) -> bool:
    """Whether the block comes from the host, not from a process of ours that happens to run there."""
    return block.common.get("job") != OWN_JOB


def instance_of(block: Block) -> str:
    """The label ``instance`` of the block's series; the host where they have none."""
    instance = block.common.get("instance")
    if instance:
        return instance
    first = block.series.split(b"\n", 1)[0].decode()
    _, labels = parse_key(first) if first else ("", {})
    return labels.get("instance") or block.host
