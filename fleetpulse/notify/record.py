"""Stage *record*: what one integration of a receiver has been told about a group, and whether it must hear more.

A notification has a number, and so a key, per group and integration. Before it is sent, what it says is recorded as
"perhaps told"; after a sure answer as told, or as not told. After a crash in between it stays "perhaps told": the same
content goes out under the same key once more, other content under the next number. So a receiver gets at most one
notification twice, and every attempt at it carries one key.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from fleetpulse.notify.alert import Alert


class Entry(msgspec.Struct):
    """The record of one integration and group."""

    number: int = 0  # of the latest notification
    open: bool = False  # whether the latest one has not been confirmed
    content: list[list[str]] = []  # of the latest one: fingerprints and severities that fire, those that are resolved
    told: dict[str, str] = {}  # fingerprint → severity with which the receiver surely knows it as firing
    perhaps: list[str] = []  # fingerprints of which the receiver was told something, or not
    at_ms: int = 0  # of the latest confirmed one


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a receiver must hear now; alerts in the order of their fingerprints."""

    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...]
    changed: tuple[Alert, ...]  # those that are the reason; none: it is only repeated

    @property
    def content(self) -> list[list[str]]:
        """The form that is compared."""
        pairs = [f"{alert.fingerprint} {alert.severity}" for alert in self.firing]
        return [pairs, [alert.fingerprint for alert in self.resolved]]


def knows(entry: Entry) -> frozenset[str]:
    """Fingerprints that the receiver may take for firing."""
    return frozenset(entry.told).union(entry.perhaps)


def wanted(
    entry: Entry,
    firing: Mapping[str, Alert],
    muted: Mapping[str, Alert],
    ended: Mapping[str, Alert],
    repeat_ms: int,
    now_ms: int,
) -> Wanted | None:
    """What is to be sent, None when nothing is.

    `firing`: those that fire and are not quiet; `muted`: those that fire and are; `ended`: the others by fingerprint.
    The end of an alert that was told is always told, quiet or not; of one that was not told, never.
    """
    still = firing.keys() | muted.keys()
    resolved = [ended[fingerprint] for fingerprint in sorted(knows(entry) - still) if fingerprint in ended]
    fires = [firing[fingerprint] for fingerprint in sorted(firing)]
    unsure = frozenset(entry.perhaps)
    new = [
        alert for alert in fires if alert.fingerprint in unsure or entry.told.get(alert.fingerprint) != alert.severity
    ]
    if new or resolved or (fires and entry.at_ms + repeat_ms <= now_ms):
        return Wanted(tuple(fires), tuple(resolved), (*new, *resolved))
    return None


def begin(entry: Entry, what: Wanted) -> None:
    """Before the first attempt: number it, and take all that it says for perhaps told."""
    content = what.content
    if not entry.open or entry.content != content:
        entry.number += 1
    entry.open, entry.content = True, content
    entry.perhaps = sorted({*entry.perhaps, *_fingerprints(what)})


def confirm(entry: Entry, what: Wanted, now_ms: int) -> None:
    """The receiver has it."""
    for alert in what.resolved:
        entry.told.pop(alert.fingerprint, None)
    entry.told |= {alert.fingerprint: alert.severity for alert in what.firing}
    entry.perhaps = sorted(set(entry.perhaps) - _fingerprints(what))
    entry.open, entry.at_ms = False, now_ms


def take_back(entry: Entry, perhaps_before: list[str]) -> None:
    """The receiver surely has it not; the number stays for the same content."""
    entry.perhaps = perhaps_before


def drop(entry: Entry, gone: frozenset[str]) -> bool:
    """Forget alerts without telling (`send_resolved: false`, or nothing is known of them); whether there were any."""
    before = len(entry.told), len(entry.perhaps)
    for fingerprint in gone:
        entry.told.pop(fingerprint, None)
    entry.perhaps = [fingerprint for fingerprint in entry.perhaps if fingerprint not in gone]
    return before != (len(entry.told), len(entry.perhaps))


def _fingerprints(what: Wanted) -> set[str]:
    return {alert.fingerprint for alert in (*what.firing, *what.resolved)}
