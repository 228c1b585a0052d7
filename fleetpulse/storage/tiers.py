"""Which tier answers: the coarsest that is right for the step, or the finest that still has the range.

Steps of whole hours are answered from one-hour rollups, of whole minutes from one-minute rollups, all others from raw
samples. What a tier does not have yet comes from the finer one; the ingest workers say how far each is complete. Where
the finer tier has expired the coarser one answers, and the step is widened to its buckets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fleetpulse.settings import IngestSettings
from fleetpulse.storage.pool import ClientPool

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
Tier = Literal["raw", "1m", "1h"]
_WIDTH_MS: Mapping[Tier, int] = {"raw": 1, "1m": MINUTE_MS, "1h": HOUR_MS}


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps: `start_ms` and `end_ms` (not included) are multiples of `step_ms`."""

    start_ms: int
    end_ms: int
    step_ms: int

    @classmethod
    def around(cls, start_ms: int, end_ms: int, step_ms: int) -> "Grid":
        """The least grid that covers the range."""
        return cls(start_ms // step_ms * step_ms, -(-end_ms // step_ms) * step_ms, step_ms)

    def __len__(self) -> int:
        return (self.end_ms - self.start_ms) // self.step_ms

    @property
    def tier(self) -> Tier:
        """The coarsest that is right for the step."""
        return "1h" if self.step_ms % HOUR_MS == 0 else "1m" if self.step_ms % MINUTE_MS == 0 else "raw"


class Plan(NamedTuple):
    """What is answered, and from which tier."""

    grid: Grid
    tier: Tier


def plan(grid: Grid, now_ms: int, retention: IngestSettings, *, histogram: bool = False) -> Plan:
    """`histogram`: for a quantile, which one-minute rollups cannot answer."""
    tier = grid.tier
    if histogram and tier == "1m":
        tier = "raw"
    if tier == "raw" and grid.start_ms < now_ms - retention.raw_retention_days * DAY_MS:
        tier = "1h" if histogram else "1m"
    if tier == "1m" and grid.start_ms < now_ms - retention.minute_retention_days * DAY_MS:
        tier = "1h"
    width = _WIDTH_MS[tier]
    if grid.step_ms % width:
        step_ms = -(-grid.step_ms // width) * width
        grid = Grid.around(grid.start_ms, grid.end_ms, step_ms)
    return Plan(grid, tier)


class Complete(NamedTuple):
    """Buckets before these times (Unix milliseconds) are rolled up; None: nobody says so.

    Hours before `hours_from_ms` are not: the tier is younger than the one-minute rollups.
    """

    minutes_ms: int | None
    hours_ms: int | None
    hours_from_ms: int | None = None


def complete(pool: ClientPool) -> Complete:
    """As the owners of all partitions say; of an abandoned topic nothing is taken."""
    rows = pool.query(
        "SELECT tier, toInt64(toUnixTimestamp(min(before))) * 1000 FROM rolled_up FINAL "
        "WHERE topic = (SELECT argMax(topic, before) FROM rolled_up FINAL) GROUP BY tier"
    )
    before = dict(rows)
    [(first,)] = pool.query(
        "SELECT toInt64(toUnixTimestamp(minOrNull(timestamp))) * 1000 FROM samples_1h SETTINGS final = 0"
    )
    return Complete(before.get("1m"), before.get("1h") if first is not None else None, first)
