"""The rows of an hour from its one-minute rows and one pass over the raw samples: a third of the CPU of raw alone.

The minutes give count, sum, min, max, first, last and increase; between two minutes `increase` has the delta from the
last number of one to the first of the next, a reset counting from zero as everywhere. The raw samples give the
histogram and the numbers' first and last time, and how many there are.

A series comes out of it only when its minutes stand there once each, every one with a number in it, and hold exactly
as many samples as are seen in the raw table, with duplicates that are not merged yet. All others are left to
`recompute`. So nothing has to be merged while reading, and a minute that is missing or stale is not believed.
"""

from fleetpulse.storage import tables
from fleetpulse.storage.recompute import HOUR_SECONDS, MINUTE_SECONDS, between, version

_NAN = 65535
_SIGN = 1 << 14
# The top 15 bits of the Float64: sign, exponent, three bits of the mantissa. One of its own for every NaN.
_KEY = f"if(isNaN(value), toUInt16({_NAN}), toUInt16(bitShiftRight(reinterpretAsUInt64(value), 49)))"
_BUCKET = f"toInt16(if(key >= {_SIGN}, {_SIGN} - toInt32(key), key))"
_STEPS = "arrayMap((p, c) -> if(c >= p, c - p, c), arrayPopBack(lasts), arrayPopFront(firsts))"

_VALUES = {
    "count": "toUInt32(numbers)",
    "nans": "toUInt32(total - numbers)",
    "sum": "added",
    "min": "if(least = 0, 0., least)",
    "max": "if(most = 0, 0., most)",
    "first": "firsts[1]",
    "last": "lasts[-1]",
    "increase": f"inside + arraySum({_STEPS})",
    "first_ms": "toUInt32(toUnixTimestamp64Milli(earliest) - toUnixTimestamp(timestamp) * 1000)",
    "last_ms": "toUInt32(toUnixTimestamp64Milli(latest) - toUnixTimestamp(timestamp) * 1000)",
    # Two keys fall into bucket 0: that of zero and that of what is near to it from below.
    "histogram": "mapFromArrays(arrayDistinct(placed.1), if(length(arrayDistinct(placed.1)) = length(placed), "
    "placed.2, arrayMap(k -> arraySum(arrayMap((at, n) -> if(at = k, n, 0), placed.1, placed.2)), "
    "arrayDistinct(placed.1))))",
}


def from_minutes(columns: tuple[str, ...], hour: int, ids: str) -> str:
    """SELECT of id, timestamp, the values in `columns` and `version` (of offset 0) for the ids of the condition."""
    values = ",\n       ".join(f"{_VALUES[name]} AS `{name}`" for name in columns)
    condition = f"{ids} AND {between(hour, hour + HOUR_SECONDS)}"
    return f"""
SELECT id, toDateTime({hour}, 'UTC') AS timestamp,
       {values},
       {version(0)} AS version
FROM ({_raw(condition)}) AS raw
INNER JOIN ({_minutes(condition, hour)}) AS minutes USING (id)
WHERE once AND numbers = counted AND total = counted + without"""


def _raw(condition: str) -> str:
    return f"""
    SELECT id, sum(samples) AS total, sumIf(samples, key != {_NAN}) AS numbers,
           minIf(low, key != {_NAN}) AS earliest, maxIf(high, key != {_NAN}) AS latest,
           arraySort(groupArrayIf(({_BUCKET}, samples), key != {_NAN})) AS placed
    FROM
    (
        SELECT id, {_KEY} AS key, count() AS samples, min(timestamp) AS low, max(timestamp) AS high
        FROM {tables.SAMPLES} WHERE {condition} GROUP BY id, key
    )
    GROUP BY id"""


def _minutes(condition: str, hour: int) -> str:
    place = f"toUInt8(intDiv(toUnixTimestamp(timestamp) - {hour}, {MINUTE_SECONDS}))"
    return f"""
    SELECT id, counted, without, added, least, most, inside,
           length(arrayDistinct(at)) = length(at) AND fewest > 0 AS once,
           arraySort((_, place) -> place, unsorted_firsts, at) AS firsts,
           arraySort((_, place) -> place, unsorted_lasts, at) AS lasts
    FROM
    (
        SELECT id, sum(count) AS counted, sum(nans) AS without, min(count) AS fewest, sum(`sum`) AS added,
               min(`min`) AS least, max(`max`) AS most, sum(increase) AS inside, groupArray({place}) AS at,
               groupArray(first) AS unsorted_firsts, groupArray(last) AS unsorted_lasts
        FROM {tables.SAMPLES_1M} WHERE {condition} GROUP BY id
    )"""
