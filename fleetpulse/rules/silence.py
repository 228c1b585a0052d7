"""Which hosts are silent: append time consumed from the partition against each host's own last append time.

Pure. The clock is the *position*: the append time up to which the partition has been consumed, so that while the
pipeline lags nobody is silent. Wall time moves the position only at the end of the partition, in small steps
(`Head`), and a gap of the whole partition restarts every host's timer.
"""

from collections.abc import Sequence

import numpy as np

from fleetpulse.frames import Int64Array
from fleetpulse.rules.machine import NEVER, BoolArray, IntArray

_TOGETHER = 4  # hosts that fall silent within this part of the limit do so together
_FEWEST_TOGETHER = 3
_MAX_STEP_MS = 10_000  # longest stretch between two successful fetches that counts: more is an outage or a clock step


class Silence:
    """The hosts of one partition for the rules that share one `silent_ms`. Hosts are dense numbers."""

    def __init__(self, silent_ms: int) -> None:
        self.silent_ms = silent_ms
        self.gap_ms = silent_ms // 2
        self._resumed_ms = NEVER
        self._deadline_ms = -NEVER
        self._last: Int64Array = np.full(64, NEVER, dtype=np.int64)
        self._silent: BoolArray = np.zeros(64, dtype=np.bool_)

    def is_silent(self, host: int) -> bool:
        """Whether the host was silent at the position."""
        return host < len(self._silent) and bool(self._silent[host])

    def last_seen_ms(self, host: int) -> int:
        """The host's last append time, NEVER for an unknown one."""
        return int(self._last[host]) if host < len(self._last) else NEVER

    def knows(self, hosts: IntArray) -> BoolArray:
        """bool[h]: whether each host was seen before."""
        known = hosts < len(self._last)
        known[known] = self._last[hosts[known]] > NEVER
        return known

    def seen(self, hosts: IntArray, appended_ms: Int64Array) -> list[tuple[int, int]]:
        """Hosts that sent: those that had been silent, with the time of the first message.

        `hosts` intp[n], perhaps repeated; `appended_ms` int64[2, n]: times of the first and the last message of each.
        """
        if not len(hosts):
            return []
        if int(hosts.max()) >= len(self._last):
            grown = 2 * (int(hosts.max()) + 1)
            self._last = np.concatenate([self._last, np.full(grown - len(self._last), NEVER, dtype=np.int64)])
            self._silent = np.concatenate([self._silent, np.zeros(grown - len(self._silent), dtype=np.bool_)])
        first_ms = int(np.maximum(self._last[hosts], appended_ms[0]).min())
        self._deadline_ms = min(self._deadline_ms, first_ms + self.silent_ms)
        np.maximum.at(self._last, hosts, appended_ms[1])
        back = self._silent[hosts]
        if not back.any():
            return []
        self._silent[hosts] = False
        first: dict[int, int] = {}
        for host, at_ms in zip(hosts[back].tolist(), appended_ms[0, back].tolist(), strict=True):
            first[host] = min(at_ms, first.get(host, at_ms))
        return sorted(first.items())

    def restore(self, host: int, last_ms: int, silent: bool) -> None:
        """Bring back a host that is known from before."""
        self.seen(np.array([host], dtype=np.intp), np.full((2, 1), last_ms, dtype=np.int64))
        self._silent[host] = silent

    def fall(self, hosts: Sequence[int]) -> None:
        """These hosts, which are known, are silent."""
        self._silent[list(hosts)] = True

    def take_over(self, other: "Silence") -> None:
        """Know what another one knows, whose limit may differ: who is silent there is silent here."""
        self._last, self._silent = other._last.copy(), other._silent.copy()
        self._resumed_ms = other._resumed_ms
        waiting = (self._last > NEVER) & ~self._silent
        since = np.maximum(self._last, self._resumed_ms)[waiting] + self.silent_ms
        self._deadline_ms = int(since.min()) if len(since) else -NEVER

    @property
    def deadline_ms(self) -> int:
        """No host falls silent before the position is past this."""
        return self._deadline_ms

    def note_gap(self, position_ms: int, previous_ms: int) -> None:
        """Nothing of the whole partition for half of the limit: the source was away, not the hosts."""
        if previous_ms != NEVER and position_ms - previous_ms > self.gap_ms:
            self._resumed_ms = position_ms

    def advance(self, position_ms: int, previous_ms: int = NEVER) -> list[tuple[int, int]]:
        """The position moved from `previous_ms`: hosts that fell silent and when, oldest first (append time)."""
        self.note_gap(position_ms, previous_ms)
        if position_ms <= self._deadline_ms:
            return []
        since = np.maximum(self._last, self._resumed_ms) + self.silent_ms
        watched = (self._last > NEVER) & ~self._silent
        late = np.flatnonzero(watched & (since < position_ms))
        self._silent[late] = True
        left = since[watched & (since >= position_ms)]
        self._deadline_ms = int(left.min()) if len(left) else -NEVER
        order = late[np.argsort(since[late], kind="stable")]
        return [(int(host), int(since[host])) for host in order]

    def most_from(self, fallen: Sequence[tuple[int, int]]) -> int | None:
        """The place in `fallen`, as `advance` has just given it, from which most hosts are silent together, or None.

        Most: over half of the hosts that were not silent then, and three or more. Together: their last messages are
        so near each other that all fall silent within a quarter of the limit; those that are about to count too.
        """
        waiting = (self._last > NEVER) & ~self._silent
        others = np.maximum(self._last, self._resumed_ms)[waiting] + self.silent_ms
        since = np.sort(np.concatenate([np.array([each for _, each in fallen], dtype=np.int64), others]))
        places = np.arange(len(fallen))
        ends = np.searchsorted(since, since[: len(fallen)] + self.silent_ms // _TOGETHER, side="right")
        together, left = ends - places, len(since) - places
        most = np.flatnonzero((2 * together > left) & (together >= _FEWEST_TOGETHER))
        return int(most[0]) if len(most) else None

    def count(self) -> int:
        """The hosts that are not silent."""
        return int(np.count_nonzero((self._last > NEVER) & ~self._silent))

    def start_again(self, hosts: Sequence[int], at_ms: int) -> None:
        """These hosts are not silent yet: every timer starts again."""
        self._silent[list(hosts)] = False
        self._resumed_ms = at_ms
        self._deadline_ms = min(self._deadline_ms, at_ms + self.silent_ms)

    def resumed_ms(self, position_ms: int) -> int | None:
        """When every timer started again, if that still matters at the position."""
        return self._resumed_ms if self._resumed_ms > position_ms - self.silent_ms else None

    def resume(self, at_ms: int) -> None:
        """Every timer started again then."""
        self._resumed_ms = max(self._resumed_ms, at_ms)

    def forget(self, host: int) -> None:
        """The number will be another host's."""
        if host < len(self._last):
            self._last[host] = NEVER
            self._silent[host] = False


class Head:
    """How far wall time may move the position of a partition that has been read to its end."""

    def __init__(self) -> None:
        self._fetched_ms = NEVER
        self._waited_ms = 0

    def message(self) -> None:
        """A message was consumed: the position is its append time again."""
        self._fetched_ms = NEVER
        self._waited_ms = 0

    def waited(self, fetched_ms: int | None) -> int:
        """Milliseconds past the last message, given the wall time of the last successful fetch at the end.

        None: not at the end, or never fetched. Only the time between two successful fetches counts.
        """
        if fetched_ms is None:
            self._fetched_ms = NEVER
            return self._waited_ms
        if self._fetched_ms != NEVER and 0 < fetched_ms - self._fetched_ms <= _MAX_STEP_MS:
            self._waited_ms += fetched_ms - self._fetched_ms
        self._fetched_ms = fetched_ms
        return self._waited_ms
