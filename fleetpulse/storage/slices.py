"""Slices of series, so that a statement over many samples needs little memory."""

from clickhouse_driver import Client

from fleetpulse.storage import tables
from fleetpulse.storage.recompute import HOUR_SECONDS, between

SAMPLES_AT_ONCE = 1_000_000  # of one statement, which takes about 200 bytes each
LAST_ID = (1 << 64) - 1


class Slices:
    """Ranges of ids with about as many series each; remembers the bounds."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._bounds: dict[int, list[tuple[int, int]]] = {}

    def of_rows(self, rows: int, at_once: int = 0) -> list[tuple[int, int]]:
        """Ranges (low, high), both included, which together hold every id; `at_once` samples in each, or the usual."""
        number = max(1, -(-rows // (at_once or SAMPLES_AT_ONCE)))
        if number not in self._bounds:
            inner: set[int] = set()
            if number > 1:
                levels = ", ".join(str(place / number) for place in range(1, number))
                [(found,)] = self._client.execute(f"SELECT quantilesExact({levels})(id) FROM {tables.SERIES}")
                inner = {int(one) for one in found if 0 < one < LAST_ID}
            highs = [*sorted(inner), LAST_ID]
            lows = [0, *(high + 1 for high in highs[:-1])]
            self._bounds[number] = list(zip(lows, highs, strict=True))
        return self._bounds[number]


def ids_between(low: int, high: int) -> str:
    """Condition on `id` for a range of `Slices`."""
    bounds = ([f"id >= {low}"] if low else []) + ([f"id <= {high}"] if high < LAST_ID else [])
    return " AND ".join(bounds) or "true"


def rows_by_hour(client: Client, table: str, start: int, end: int) -> dict[int, int]:
    """Hour (start in seconds since the epoch) → how many rows, not merged, a table has of it in [start, end)."""
    rows = client.execute(
        f"SELECT toUnixTimestamp(toStartOfInterval(toDateTime(timestamp, 'UTC'), INTERVAL {HOUR_SECONDS} SECOND, "
        f"'UTC')) AS hour, count() FROM {table} WHERE {between(start, end)} GROUP BY hour"
    )
    return {int(hour): int(number) for hour, number in rows}
