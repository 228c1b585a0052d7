"""Compare a tier's rows with what the raw samples say they must be, and mend them: statements over a slice of series.

`min`, `max`, `first` and `last` are compared bitwise, NaN equal to NaN; `sum` and `increase` may be off by
TOLERANCE times the sum of the samples' magnitudes; all else is exact. The rows are read with FINAL, as by readers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from clickhouse_driver import Client

from fleetpulse.storage.recompute import INSERT_SETTINGS, MAGNITUDE, Rollup, between, recompute, version
from fleetpulse.storage.repair import of_partitions

TOLERANCE = 1e-9
AT_ONCE = 2000  # differing buckets that one answer names, and one statement mends
MISSING, PHANTOM = "missing", "should not be there"
_BITWISE = ("min", "max", "first", "last")
_ROUNDED = ("sum", "increase")


class Slice(NamedTuple):
    """Series with ids in [low, high], buckets in [start, end) seconds; `host`: of this host only."""

    low: int
    high: int
    start: int
    end: int
    host: str = ""

    def condition(self) -> str:
        """On `id` and `timestamp`, for any tier; `{host:String}` is the caller's parameter."""
        of_host = " AND id IN (SELECT id FROM registered_series WHERE host = {host:String})" if self.host else ""
        return f"id >= {self.low} AND id <= {self.high} AND {between(self.start, self.end)}{of_host}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A bucket that is not what it must be. `columns`: name → (stored value, value of the raw samples)."""

    id: int
    bucket: int
    columns: dict[str, tuple[Any, Any]]


class Compared(NamedTuple):
    """What one statement found; `differing` may be more than `differences` names."""

    buckets: int
    samples: int
    differing: int
    differences: list[Difference]


def compare(
    client: Client, rollup: Rollup, part: Slice, pending: Mapping[int, frozenset[int]], partitions: int
) -> Compared:
    """Compare the slice's buckets; those that are `pending` (bucket → partitions) are left out on both sides."""
    columns = rollup.values
    values = ", ".join(f"`{column}`" for column in columns)
    left_out = _left_out(pending, partitions)
    [(buckets, samples, differing, rows)] = client.execute(
        f"""
        SELECT count(), sum(total), countIf(notEmpty(wrong)),
               groupArrayIf({AT_ONCE})((id, toUnixTimestamp(timestamp), wrong, found, wanted), notEmpty(wrong))
        FROM
        (
            SELECT id, timestamp, raw.total AS total, raw.v AS wanted, stored.v AS found, multiIf(
                       NOT stored.there, ['{MISSING}'], NOT raw.there, ['{PHANTOM}'],
                       arrayFilter(name -> name != '', [{_differing(columns)}])) AS wrong
            FROM
            (
                SELECT id, timestamp, true AS there, total, magnitude, ({values}) AS v
                FROM ({recompute(rollup, part.condition(), f"{MAGNITUDE} AS magnitude, total")})
            ) AS raw
            FULL OUTER JOIN
            (
                SELECT id, timestamp, true AS there, ({values}) AS v FROM {rollup.table} FINAL WHERE {part.condition()}
            ) AS stored USING (id, timestamp)
            {left_out and f"WHERE {left_out}"}
        )
        """,
        {"host": part.host},
    )
    return Compared(buckets, samples, differing, [_difference(columns, row) for row in rows])


def mend(client: Client, rollup: Rollup, wrong: Sequence[Difference], through: int) -> None:
    """Recompute these buckets of one partition, whatever version stands there; at most AT_ONCE. Safe to repeat."""
    buckets = ", ".join(f"({one.id}, {one.bucket})" for one in wrong)
    ids = ", ".join(str(one) for one in sorted({one.id for one in wrong}))
    starts = ", ".join(str(one) for one in sorted({one.bucket for one in wrong}))
    client.execute(
        f"DELETE FROM {rollup.table} WHERE id IN ({ids}) AND toUnixTimestamp(timestamp) IN ({starts}) "
        f"AND (id, toUnixTimestamp(timestamp)) IN ({buckets})"
    )
    times = between(min(one.bucket for one in wrong), max(one.bucket for one in wrong) + rollup.seconds)
    client.execute(
        f"INSERT INTO {rollup.table} ({', '.join(rollup.columns)}) SELECT * FROM "
        f"({recompute(rollup, f'id IN ({ids}) AND {times}', f'{version(through)} AS version')}) "
        f"WHERE (id, toUnixTimestamp(timestamp)) IN ({buckets})",
        settings=INSERT_SETTINGS,
    )


def _differing(columns: Sequence[str]) -> str:
    """SQL: for each column its name where it differs, else an empty text."""
    place = {column: f"tupleElement(%s.v, {number})" for number, column in enumerate(columns, 1)}
    return ", ".join(f"if({_differs(place, column)}, '{column}', '')" for column in columns)


def _differs(place: Mapping[str, str], column: str) -> str:
    raw, stored = place[column] % "raw", place[column] % "stored"
    if column in _BITWISE:
        same = f"reinterpretAsUInt64({raw}) = reinterpretAsUInt64({stored})"
    elif column in _ROUNDED:
        # Sums past the largest number depend on the order of adding; with an infinity among the samples they do not.
        overflow = f"isInfinite(raw.magnitude) AND NOT isInfinite({place['min'] % 'raw'}) AND NOT isInfinite("
        overflow += f"{place['max'] % 'raw'})"
        near = f"isFinite(raw.magnitude) AND abs({raw} - {stored}) <= {TOLERANCE} * raw.magnitude"
        same = f"{raw} = {stored} OR {near} OR {overflow}"
    else:
        return f"{raw} != {stored}"
    return f"NOT ({same} OR (isNaN({raw}) AND isNaN({stored})))"


def _left_out(pending: Mapping[int, frozenset[int]], partitions: int) -> str:
    """Condition that leaves the pending buckets out, grouped by the partitions in which they are."""
    grouped: dict[frozenset[int], list[int]] = {}
    for bucket, numbers in pending.items():
        grouped.setdefault(numbers, []).append(bucket)
    return " AND ".join(
        f"NOT (toUnixTimestamp(timestamp) IN ({', '.join(map(str, sorted(buckets)))})"
        + ("" if len(numbers) >= partitions else f" AND id IN ({of_partitions(sorted(numbers), partitions)})")
        + ")"
        for numbers, buckets in grouped.items()
    )


def _difference(columns: Sequence[str], row: tuple[Any, ...]) -> Difference:
    series, bucket, wrong, stored, raw = row
    named: dict[str, tuple[Any, Any]]
    if wrong == [MISSING]:
        named = {MISSING: (None, dict(zip(columns, raw, strict=True)))}
    elif wrong == [PHANTOM]:
        named = {PHANTOM: (dict(zip(columns, stored, strict=True)), None)}
    else:
        named = {name: (stored[columns.index(name)], raw[columns.index(name)]) for name in wrong}
    return Difference(series, bucket, named)
