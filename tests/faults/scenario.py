"""A fault as data, and the list of all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from tests.faults.stage import Stage


class Place(Enum):
    """Which world a fault needs."""

    ONE = "one broker"
    CLUSTER = "three brokers"
    SMALL_DISK = "a ClickHouse on a small file system"
    LINK = "one broker behind a link of its own"


@dataclass(frozen=True)
class Scenario:
    """`play` injects the fault and returns the proof that it happened, or raises NotInjected.

    `short`: runs in every `make test`; it breaks no server, needs no root and waits for nothing. Faults of one group
    share a world and are judged together at its end.
    """

    name: str
    done: str
    play: Callable[[Stage], str]
    group: str
    short: bool = False
    place: Place = Place.ONE
    root: bool = False
