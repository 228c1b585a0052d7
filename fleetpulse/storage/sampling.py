from enum import StrEnum


class Aggregate(StrEnum):
    """How the samples of a step become one value."""

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    FIRST = "first"
    LAST = "last"
    SUM = "sum"
    COUNT = "count"
    INCREASE = "increase"
    RATE = "rate"
