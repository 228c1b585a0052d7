"""Two periodic tables that make values wander: a walk for gauges, and its running sum for counters."""

import math
from itertools import accumulate
from random import Random

PERIOD = 4096  # seconds, a power of two: a table is read at ``second & MASK``
MASK = PERIOD - 1
_WAVES = ((1, 1.0), (3, 0.7), (7, 0.6), (17, 0.5), (41, 0.35), (97, 0.2), (331, 0.1))
_NOISE = 0.15


def walk(random: Random) -> list[float]:
    """Values in [-1, 1] with mean 0, one a second; the end joins the start."""
    phases = [(frequency, amplitude, random.uniform(0, 2 * math.pi)) for frequency, amplitude in _WAVES]
    raw = [
        sum(a * math.sin(2 * math.pi * f * i / PERIOD + phase) for f, a, phase in phases) + random.gauss(0, _NOISE)
        for i in range(PERIOD)
    ]
    mean = sum(raw) / PERIOD
    largest = max(abs(value - mean) for value in raw)
    return [(value - mean) / largest for value in raw]


def running_sum(table: list[float]) -> list[float]:
    """The integral of a walk, in seconds: ``t + 0.5 · sum[t]`` never falls, as a walk is never below -1."""
    return list(accumulate(table))
