"""The labels of the series that were ever stored, by metric: what a rule can match."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleetpulse.storage.pool import ClientPool

MOST_VALUES = 20_000  # of a label; with as many it is not known which others there are
_LONGEST_COMPARED = 200  # characters of a name


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


def nearest_metrics(pool: ClientPool, name: str, limit: int = 2) -> list[str]:
    """Names of stored metrics that differ from this one by little. Raises what `pool.py` raises."""
    rows = pool.query(
        "SELECT metric_name, editDistanceUTF8(lowerUTF8(metric_name), lowerUTF8({name:String})) AS distance "
        "FROM (SELECT DISTINCT metric_name FROM registered_series) WHERE distance <= 1 + lengthUTF8({name:String}) / 6 "
        "ORDER BY distance, metric_name LIMIT {limit:UInt64}",
        {"name": name[:_LONGEST_COMPARED], "limit": limit},
    )
    return [metric for metric, _ in rows]
