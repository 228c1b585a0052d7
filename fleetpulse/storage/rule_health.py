"""What rules workers said of themselves last, from their own metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleetpulse.storage.pool import ClientPool

EVALUATED = "fleetpulse_rules_evaluated_timestamp_seconds"
FAILED = "fleetpulse_rules_failed_timestamp_seconds"
REFUSED = "fleetpulse_rules_refused"
_SINCE_MS = 3_600_000
_FAILING_MS = 300_000


@dataclass(frozen=True, slots=True)
class RuleHealth:
    """`evaluated_ms` is when a worker last evaluated rules, None: not within an hour.

    `failed_ms` are rules some of whose evaluations failed within five minutes, by key, and when the last one did;
    `refused` groups whose newest version a worker could not load.
    """

    evaluated_ms: int | None
    failed_ms: Mapping[str, int]
    refused: frozenset[str]


def rule_health(pool: ClientPool, now_ms: int) -> RuleHealth:
    """As of a time. Raises what `pool.py` raises."""
    rows = pool.query(
        "SELECT metric_name, rule, rule_group, newest, toUnixTimestamp64Milli(at) FROM ("
        "SELECT id, argMax(value, timestamp) AS newest, max(timestamp) AS at FROM samples "
        "WHERE id IN (SELECT id FROM registered_series WHERE metric_name IN {metrics:Array(String)}) "
        "AND timestamp >= fromUnixTimestamp64Milli({since:Int64}) GROUP BY id) AS said INNER JOIN ("
        "SELECT id, metric_name, tags['rule'] AS rule, tags['group'] AS rule_group FROM registered_series "
        "WHERE metric_name IN {metrics:Array(String)} LIMIT 1 BY id) AS named USING (id) SETTINGS final = 0",
        {"metrics": [EVALUATED, FAILED, REFUSED], "since": now_ms - _SINCE_MS},
    )
    evaluated_ms: int | None = None
    failed_ms: dict[str, int] = {}
    refused: set[str] = set()
    for metric, rule, group, value, at_ms in rows:
        if metric == EVALUATED:
            evaluated_ms = max(evaluated_ms or 0, int(value * 1000))
        elif metric == FAILED and now_ms - value * 1000 < _FAILING_MS:
            failed_ms[rule] = max(failed_ms.get(rule, 0), int(value * 1000))
        elif metric == REFUSED and value > 0 and now_ms - at_ms < _FAILING_MS:
            refused.add(group)
    return RuleHealth(evaluated_ms, failed_ms, frozenset(refused))
