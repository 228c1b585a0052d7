"""The labels of the series that were ever stored, by metric: what a rule can match."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleetpulse.storage.pool import ClientPool

MOST_VALUES = 20_000  # of a label; with as many it is not known which others there are


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """The series of one metric; `labels` has the values of each label, and in `counts` how many series have it."""

    series: int
    labels: Mapping[str, frozenset[str]]
    counts: Mapping[str, int]

    def lacking(self, label: str) -> bool:
        """Whether there are series without this label."""
        return self.counts.get(label, 0) < self.series


def known_series(pool: ClientPool, metrics: Sequence[str]) -> dict[str, KnownSeries]:
    """By metric name; metrics that were never stored are left out. Raises what `pool.py` raises."""
    rows = pool.query(
        f"SELECT metric_name, label, groupUniqArray({MOST_VALUES})(value), count() FROM registered_series "
        "ARRAY JOIN mapKeys(tags) AS label, mapValues(tags) AS value WHERE metric_name IN {metrics:Array(String)} "
        "GROUP BY metric_name, label",
        {"metrics": list(metrics)},
    )
    found: dict[str, dict[str, tuple[frozenset[str], int]]] = {}
    for metric, label, values, count in rows:
        found.setdefault(metric, {})[label] = (frozenset(values), count)
    return {
        metric: KnownSeries(
            series=max(count for _, count in labels.values()),  # that of `__name__`, which all have
            labels={label: values for label, (values, _) in labels.items()},
            counts={label: count for label, (_, count) in labels.items()},
        )
        for metric, labels in found.items()
    }
