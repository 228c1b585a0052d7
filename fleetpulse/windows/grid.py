"""Samples as matrices: series that came together at the same number of times, a row a time and a column a series.

Producers send a host's block tick after tick. Stacked, the blocks need no sorting and no search for where a series
begins, and every step of the windows is a few operations on whole rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

from fleetpulse.windows.registry import Float64Array, Int32Array, Int64Array


class Run(NamedTuple):
    """Rows [begin, end) of a grid lie in this minute (since the epoch), whatever the column."""

    minute: int
    begin: int
    end: int


class Grid(NamedTuple):
    """`dense` int32[series], all different; `ts` int64[times, series] ms, strictly rising down every column;
    `value` float64[times, series]; `runs` cover all rows, in order.
    """

    dense: Int32Array
    ts: Int64Array
    value: Float64Array
    runs: list[Run]

    def pick(self, columns: Int64Array) -> "Grid":
        """Only these columns, in this order."""
        # `take`, because an index by array would leave columns side by side in memory, and rows are what is worked on.
        return Grid(self.dense[columns], self.ts.take(columns, axis=1), self.value.take(columns, axis=1), self.runs)


def runs_of(minutes: Sequence[int]) -> list[Run]:
    """Where each minute begins and ends; `minutes` never falls."""
    runs: list[Run] = []
    for place, minute in enumerate(minutes):
        if runs and runs[-1].minute == minute:
            runs[-1] = Run(minute, runs[-1].begin, place + 1)
        else:
            runs.append(Run(minute, place, place + 1))
    return runs
