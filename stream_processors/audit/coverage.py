"""Which of the samples that a producer numbered have come: islands of numbers, and the gaps between them. Pure."""

from collections.abc import Iterable
from typing import NamedTuple


class Island(NamedTuple):
    """Numbers [first, end) that came. `hour` (since the epoch) and `appended_ms` are those of its first samples."""

    first: int
    end: int
    hour: int
    appended_ms: int


class Gap(NamedTuple):
    """`samples` that did not come; `hour` and `appended_ms` of what came right behind them."""

    samples: int
    hour: int
    appended_ms: int


def gaps(islands: Iterable[Island]) -> list[Gap]:
    """The gaps between islands, which may overlap; before the first and behind the last nothing is known."""
    found: list[Gap] = []
    reached: int | None = None
    for island in sorted(islands):
        if reached is not None and island.first > reached:
            found.append(Gap(island.first - reached, island.hour, island.appended_ms))
        reached = island.end if reached is None else max(reached, island.end)
    return found


def uncovered(island: Island, others: Iterable[Island]) -> int:
    """How many of its numbers are in none of the others."""
    left, reached = 0, island.first
    for other in sorted(others):
        if other.first >= island.end:
            break
        left += max(0, other.first - reached)
        reached = max(reached, other.end)
    return left + max(0, island.end - reached)
