"""Incidents: what goes wrong in a simulated fleet, on which hosts, and when.

``cpu_spike[:HOSTS[:SECONDS]]``   these hosts have no idle CPU time for so long (until the end)
``host_silent[:HOSTS[:AFTER]]``   these hosts stop sending so many seconds after the start
"""

from dataclasses import dataclass
from random import Random

from fleetpulse.errors import SettingsError

NAMES = ("cpu_spike", "host_silent")
# A spike begins this long before the first live tick, in the backfilled history, so that a rate over a minute
# shows it at once.
SPIKE_LEAD_SECONDS = 70
SILENT_AFTER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident: `hosts` by number, from `begin_s` up to `end_s` (Unix seconds)."""

    name: str
    hosts: frozenset[int]
    begin_s: int
    end_s: float


def parse_incident(text: str, hosts: int, seed: int, start_s: int) -> Incident:
    """Read an incident of a fleet of `hosts` hosts that starts at `start_s`; raises SettingsError."""
    name, *numbers = text.split(":")
    if name not in NAMES or len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise SettingsError(
            f"--incident {text!r} is not known: "
            "write cpu_spike[:HOSTS[:SECONDS]] or host_silent[:HOSTS[:AFTER_SECONDS]]"
        )
    count = int(numbers[0]) if numbers else max(1, hosts // 10)
    if not 1 <= count <= hosts:
        raise SettingsError(f"--incident {text!r}: it has {count} hosts, the fleet has {hosts}")
    chosen = frozenset(Random(f"{seed}:{name}").sample(range(hosts), count))
    if name == "host_silent":
        after = int(numbers[1]) if len(numbers) > 1 else SILENT_AFTER_SECONDS
        return Incident(name, chosen, start_s + after, float("inf"))
    begin = start_s - SPIKE_LEAD_SECONDS
    return Incident(name, chosen, begin, start_s + int(numbers[1]) if len(numbers) > 1 else float("inf"))


def busy_override(incidents: list[Incident], host: int) -> tuple[int, float] | None:
    """From when to when this host's CPU is taken, or None."""
    for incident in incidents:
        if incident.name == "cpu_spike" and host in incident.hosts:
            return incident.begin_s, incident.end_s
    return None


def silent_from(incidents: list[Incident], host: int) -> float:
    """When this host stops sending, Unix seconds; infinity when it does not."""
    silent = [one.begin_s for one in incidents if one.name == "host_silent" and host in one.hosts]
    return min(silent, default=float("inf"))
