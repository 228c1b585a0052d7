"""The rollups of a tier as a SELECT over the raw samples: what a bucket must be, for repairs, hours and `verify`.

Every column is a function of the bucket's own samples, the same as in `fleetpulse/windows/minute.py`. NaN samples are
left out and counted in `nans`; a bucket without numbers has NaN columns. `increase` adds the deltas between consecutive
samples; a smaller value is a counter reset and counts from zero. The zero of `min` and `max` has no sign.

The hour's **histogram** counts samples by the top 15 bits of the Float64 without its sign: exponent and three bits of
the mantissa, so eight linear buckets a power of two. Bucket k > 0 holds [low(k), low(k + 1)) with

    low(k) = 2^(k div 8 - 1023) * (1 + (k mod 8) / 8)

-k holds the same below zero, 0 zeros and what is nearer to zero than 2^-1025, and 16376 and -16376 the infinities.
NaN is in none. 2 low(k) low(k + 1) / (low(k) + low(k + 1)) is at most 1/17 (5.9 %) from any number in the bucket.
(Buckets 1 to 7 are eighths of 2^-1022.) No logarithm: integers only, so that every machine puts a number into the same
bucket. Histograms merge by sumMap.
"""

from dataclasses import dataclass

from fleetpulse.storage import tables

HOUR_SECONDS = 3600
MINUTE_SECONDS = 60
INFINITE_BUCKET = 2047 * 8

# A version of two parts: the more complete row wins, and of two with the same samples the one that saw more offsets.
VERSION_SHIFT = 40
_MOST_SAMPLES = (1 << 24) - 1
MOST_OFFSET = (1 << VERSION_SHIFT) - 1
# A topic that is created anew begins at offset 0 again: what counts as later is its incarnation, and then the offset.
INCARNATION_SHIFT = 40
_OFFSET_BITS = 36  # of the two in a version, which has no room for more: 16 incarnations of 68 billion messages

# No deduplication: a repeated recompute is another insert, even when its rows are those of an earlier one.
INSERT_SETTINGS = {"deduplicate_insert": "disable", "insert_deduplicate": 0}


@dataclass(frozen=True, slots=True)
class Rollup:
    """One rolled-up tier: its name, table, the length of its buckets, and its columns in the table's order."""

    name: str
    table: str
    seconds: int
    columns: tuple[str, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """The columns that are a function of the samples."""
        return tuple(column for column in self.columns if column not in ("id", "timestamp", "version"))


MINUTES = Rollup("1m", tables.SAMPLES_1M, MINUTE_SECONDS, tables.SAMPLES_1M_COLUMNS)
HOURS = Rollup("1h", tables.SAMPLES_1H, HOUR_SECONDS, tables.SAMPLES_1H_COLUMNS)
ROLLUPS: tuple[Rollup, ...] = (MINUTES, HOURS)

# Float64 `x` → its bucket.
_BUCKET = "toInt16(if(x < 0, -1, 1) * bitShiftRight(bitAnd(reinterpretAsUInt64(x), 0x7FFFFFFFFFFFFFFF), 49))"

_VALUES = {
    "count": "toUInt32(length(numbers))",
    "nans": "toUInt32(total - length(numbers))",
    "sum": "if(empty(numbers), nan, arraySum(numbers))",
    "min": "if(empty(numbers), nan, if(least = 0, 0., least))",
    "max": "if(empty(numbers), nan, if(most = 0, 0., most))",
    "first": "if(empty(numbers), nan, numbers[1])",
    "last": "if(empty(numbers), nan, numbers[-1])",
    "increase": "if(empty(numbers), nan, arraySum(arrayMap((p, c) -> if(c >= p, c - p, c), "
    "arrayPopBack(numbers), arrayPopFront(numbers))))",
    "first_ms": "toUInt32(if(empty(times), 0, times[1] - toUnixTimestamp(timestamp) * 1000))",
    "last_ms": "toUInt32(if(empty(times), 0, times[-1] - toUnixTimestamp(timestamp) * 1000))",
    "histogram": "mapFromArrays(arrayMap(at -> placed[at], ends), "
    "arrayMap((a, b) -> toUInt64(a - b), ends, arrayPopBack(arrayPushFront(ends, 0))))",
}
# What a sum may be off by is said in terms of this; beside an infinity the increase may still be finite.
MAGNITUDE = "arraySum(arrayMap(x -> if(isFinite(x), abs(x), 0), numbers))"


def between(start: int, end: int) -> str:
    """Condition on `timestamp` for [start, end) in seconds since the epoch, for every tier."""
    return (
        f"timestamp >= fromUnixTimestamp64Milli(toInt64({start * 1000})) "
        f"AND timestamp < fromUnixTimestamp64Milli(toInt64({end * 1000}))"
    )


def recompute(rollup: Rollup, condition: str, extra: str = "", *, merging: bool = True) -> str:
    """SELECT of id, timestamp and the tier's values from the raw samples that meet the condition on id and time.

    `extra` are more columns, of `numbers` (the bucket's numbers in the order of time) and `total`. Rows that were
    delivered twice are taken once: with FINAL, or (`merging=False`, a third less CPU) by sorting each bucket, of two
    values for one time the larger; they differ where these two are both zeros of different sign.
    """
    values = ",\n       ".join(f"{_VALUES[name]} AS `{name}`" for name in rollup.values)
    return f"""
SELECT id, timestamp,
       {values}{extra and f",{chr(10)}       {extra}"}
FROM
(
    SELECT id, bucket AS timestamp, total, arrayMap(pair -> pair.2, pairs) AS numbers,
           arrayMap(pair -> toUnixTimestamp64Milli(pair.1), pairs) AS times,
           if(empty(numbers), 0., arrayMin(numbers)) AS least, if(empty(numbers), 0., arrayMax(numbers)) AS most,
           arraySort(arrayMap(x -> {_BUCKET}, numbers)) AS placed,
           arrayFilter((at, a, b) -> a != b, arrayEnumerate(placed), placed,
                       arrayPopFront(arrayPushBack(placed, toInt16(32767)))) AS ends
    FROM ({_merged(rollup, condition) if merging else _sorted(rollup, condition)})
)"""


def _merged(rollup: Rollup, condition: str) -> str:
    return f"""
        SELECT id, {bucket_of(rollup)} AS bucket, count() AS total,
               arraySort(pair -> pair.1, groupArrayIf((timestamp, value), NOT isNaN(value))) AS pairs
        FROM {tables.SAMPLES} FINAL
        WHERE {condition}
        GROUP BY id, bucket"""


def _sorted(rollup: Rollup, condition: str) -> str:
    return f"""
        SELECT id, bucket, length(once) AS total,
               if(nans = 0, once, arrayFilter(pair -> NOT isNaN(pair.2), once)) AS pairs
        FROM
        (
            SELECT id, bucket, nans, if(length(arrayCompact(pair -> pair.1, stored)) = length(stored), stored,
                   arrayFilter((pair, next) -> pair.1 != next.1, stored,
                   arrayPopFront(arrayPushBack(stored, (toDateTime64(0, 3, 'UTC'), 0.))))) AS once
            FROM
            (
                SELECT id, {bucket_of(rollup)} AS bucket, countIf(isNaN(value)) AS nans,
                       arraySort(groupArray((timestamp, value))) AS stored
                FROM {tables.SAMPLES}
                WHERE {condition}
                GROUP BY id, bucket
            )
        )"""


def bucket_of(rollup: Rollup) -> str:
    """The start of the bucket that holds `timestamp`."""
    return f"toStartOfInterval(toDateTime(timestamp, 'UTC'), INTERVAL {rollup.seconds} SECOND, 'UTC')"


def version(through: int) -> str:
    """Version of a row that was made from all samples below the place `through` of its partition."""
    return f"bitShiftLeft(toUInt64(least(total, {_MOST_SAMPLES})), {VERSION_SHIFT}) + {in_version(through)}"


def in_version(place: int) -> int:
    """A place (`pending.place_of`: incarnation and offset) as the version of a row has it: never more for an earlier
    one. Behind the last that there is room for all are the same, as `fits` tells."""
    incarnation, offset = divmod(max(0, place), 1 << INCARNATION_SHIFT)
    return min((incarnation << _OFFSET_BITS) + min(offset, (1 << _OFFSET_BITS) - 1), MOST_OFFSET)


def fits(place: int) -> bool:
    """Whether a version tells this place from every other."""
    incarnation, offset = divmod(place, 1 << INCARNATION_SHIFT)
    return offset + 1 < 1 << _OFFSET_BITS and incarnation < 1 << VERSION_SHIFT - _OFFSET_BITS
