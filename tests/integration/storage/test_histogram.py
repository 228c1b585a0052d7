"""The hour's histogram against the formula in docs/sql.md, over the whole range of numbers."""

import math
import random
import struct
import time
from collections import Counter

import pytest

from fleetpulse.storage.client import connect
from fleetpulse.storage.histogram import RELATIVE_ERROR, quantile
from fleetpulse.storage.recompute import HOURS, INFINITE_BUCKET, between, recompute
from tests.support.databases import Database
from tests.support.stored import store

pytestmark = pytest.mark.servers

START = int(time.time()) // 3600 * 3600 - 7200
EDGES = [0.0, -0.0, 5e-324, -5e-324, 2.0**-1025, 2.0**-1022, 1.0, 1.125, math.nextafter(1.125, 0), 1.7e308, -1.7e308]


def numbers() -> list[float]:
    chance = random.Random(4)
    found = [struct.unpack("<d", chance.randbytes(8))[0] for _ in range(3000)]
    found += [chance.gauss(0, 100) for _ in range(500)]
    return [*EDGES, math.inf, -math.inf, *(value for value in found if not math.isnan(value))]


def low(bucket: int) -> float:
    """As documented; buckets with k div 8 = 0 are the subnormal numbers, which have no leading one."""
    if bucket < 8:
        return bucket / 8 * 2.0**-1022
    return math.ldexp(1 + bucket % 8 / 8, bucket // 8 - 1023) if bucket < INFINITE_BUCKET else math.inf


def bucket_of(value: float) -> int:
    size = abs(value)
    if math.isinf(size):
        return INFINITE_BUCKET if value > 0 else -INFINITE_BUCKET
    below, above = 0, INFINITE_BUCKET
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if low(middle) <= size else (below, middle)
    return below if value > 0 else -below


def test_every_number_is_in_the_documented_bucket_and_near_its_middle(database: Database) -> None:
    values = numbers()
    store(database.url, [("any", {"instance": "a"}, [(START * 1000 + n, value) for n, value in enumerate(values)])])
    client = connect(database.url)
    [(histogram, count)] = client.execute(
        f"SELECT histogram, count FROM ({recompute(HOURS, between(START, START + 3600))})"
    )
    assert (dict(histogram), count) == (Counter(map(bucket_of, values)), len(values))
    finite = sorted({bucket_of(value) for value in values if math.isfinite(value)})
    one = quantile("0.5", "map(k, toUInt64(1))", "1", "-inf", "inf")
    middles = dict(client.execute(f"SELECT arrayJoin({finite})::Int16 AS k, {one}"))
    for value in values:
        if abs(value) >= 2.0**-1025 and abs(bucket_of(value)) < INFINITE_BUCKET - 1:
            off = abs(middles[bucket_of(value)] - value)
            normal = abs(value) >= 2.0**-1022
            assert off <= RELATIVE_ERROR * abs(value) * (1 + 1e-12) or not normal, value
    client.disconnect()
