"""What collectors return: canonical series keys with values, and the errors they may raise."""

from functools import lru_cache

from fleetpulse.metric import canonical_key, check_labels, check_name

Samples = list[tuple[str, float]]


class NoDataError(Exception):
    """This machine has not what the collector reads; not worth a line in the log."""


@lru_cache(maxsize=1 << 14)
def series(name: str, **labels: str) -> str:
    """The canonical key; raises MetricError for a name or label that breaks the rules."""
    check_name(name)
    check_labels(name, labels)
    return canonical_key(name, labels)
