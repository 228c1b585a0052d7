"""The hosts of one partition as dense numbers, and when each was heard of, whatever its series are.

It tells a silent host from a living one whose series are gone. What fleetpulse says about itself and what rules
record is no sign of life of a host.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fleetpulse.errors import MetricError
from fleetpulse.metric import check_labels, parse_key
from fleetpulse.rules.machine import NEVER
from fleetpulse.wire import Block

OWN_JOB = "fleetpulse"
_PAUSE_MS = 120_000  # a host that was away for longer is alive only since it came back


@dataclass(slots=True)
class HostSeen:
    """A host: its labels (those of its series ``up``), times of append, and the newest time of its own samples."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    instance: str = ""
    heard_ms: int = NEVER
    since_ms: int = NEVER
    newest_ms: int = NEVER
    without_up: int | None = None  # hash of the series among which `up` was looked for in vain

    @property
    def identity(self) -> dict[str, str]:
        """The labels of an alert about the host itself."""
        return {"instance": self.instance or self.name, **self.labels}


class Presence:
    """Hosts by dense number. `returned` are those that were away, or new, of late."""

    def __init__(self) -> None:
        self.hosts: list[HostSeen] = []
        self.returned: set[int] = set()
        self._numbers: dict[str, int] = {}
        self._free: list[int] = []

    def number(self, name: str) -> int:
        """The host's dense number, a new one for a new host."""
        number = self._numbers.get(name)
        if number is None:
            if self._free:
                number = self._free.pop()
                self.hosts[number] = HostSeen(name)
            else:
                number = len(self.hosts)
                self.hosts.append(HostSeen(name))
            self._numbers[name] = number
        return number

    def known(self, name: str) -> int | None:
        """The number of a host that has one."""
        return self._numbers.get(name)

    def forget(self, name: str) -> None:
        """The host's number will be another's."""
        number = self._numbers.pop(name)
        self.hosts[number] = HostSeen("")
        self.returned.discard(number)
        self._free.append(number)

    def heard(self, block: Block, append_ms: int, digest: int | None = None) -> None:
        """A block of the host itself, as `BlockReader` gives it, was appended then. `digest`: hash of its series."""
        known = self._numbers.get(block.host)
        number = self.number(block.host) if known is None else known
        host = self.hosts[number]
        if append_ms - host.heard_ms > _PAUSE_MS:
            host.since_ms = append_ms
            self.returned.add(number)
        if append_ms > host.heard_ms:
            host.heard_ms = append_ms
        if isinstance(block.ts, int):
            if block.ts > host.newest_ms:
                host.newest_ms = block.ts
        elif block.ts:
            host.newest_ms = max(host.newest_ms, int(np.frombuffer(block.ts, dtype="<i8").max()))
        if not host.labels and (digest is None or digest != host.without_up):
            host.instance = host.instance or instance_of(block)
            up = _up_of(block)
            host.labels = _labels(block, up) if up else {}
            host.without_up = None if up else digest

    def lives(self, number: int, position_ms: int, silent_ms: int) -> bool:
        """Whether the host has been heard of all through the last `silent_ms` before the position."""
        host = self.hosts[number]
        return host.heard_ms > position_ms - silent_ms > host.since_ms > NEVER

    def lives_after(self, number: int, position_ms: int, silent_ms: int) -> int:
        """The position past which it does, when it is heard of on and on; far away when it is not heard of now."""
        host = self.hosts[number]
        return host.since_ms + silent_ms if host.heard_ms > position_ms - silent_ms else -NEVER

    def forget_returned(self, before_ms: int) -> None:
        """Who came back before then has come back for long."""
        self.returned = {number for number in self.returned if self.hosts[number].since_ms >= before_ms}


def is_sign_of_life(block: Block) -> bool:
    """Whether the block comes from the host, not from a process of ours that happens to run there."""
    return block.common.get("job") != OWN_JOB


def instance_of(block: Block) -> str:
    """The label ``instance`` of the block's series; the host where they have none."""
    labels = _labels(block, block.series.split(b"\n", 1)[0].decode())
    return block.common.get("instance") or labels.get("instance") or block.host if labels else block.host


def labels_of_up(block: Block) -> dict[str, str]:
    """The labels of the block's series ``up``: in Prometheus' model exactly the target's own; empty without it."""
    up = _up_of(block)
    return _labels(block, up) if up else {}


def _up_of(block: Block) -> str | None:
    """The key of the block's series ``up``."""
    if not block.series.startswith(b"up") and b"\nup" not in block.series:
        return None
    for line in block.series.decode().split("\n"):
        if line == "up" or line.startswith("up{"):
            return line
    return None


def _labels(block: Block, key: str) -> dict[str, str]:
    """The labels of a series of the block; empty for one that ingest refuses."""
    try:
        name, own = parse_key(key)
        labels = {label: value for label, value in {**block.common, **own}.items() if value}
        check_labels(name, labels)
    except MetricError:
        return {}
    return labels
