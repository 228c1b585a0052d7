"""Own metrics of every process, listed in one place; an unlisted name fails.

Published as series with ``job="fleetpulse"``, ``host=<host>``, ``instance=<host>/<process>``, and served as exposition.
"""

import threading
from collections.abc import Iterator
from typing import Literal, NamedTuple

from fleetpulse.metric import canonical_key, parse_key


class Spec(NamedTuple):
    """Type and sentence of a metric."""

    kind: Literal["counter", "gauge"]
    sentence: str


METRICS: dict[str, Spec] = {
    "fleetpulse_build_info": Spec("gauge", "Always 1; the version is a label."),
    "fleetpulse_process_start_time_seconds": Spec("gauge", "Start of this process, Unix time."),
    "fleetpulse_process_cpu_seconds_total": Spec("counter", "CPU time of this process."),
    "fleetpulse_process_resident_memory_bytes": Spec("gauge", "Resident memory of this process."),
    # publish
    "fleetpulse_publish_samples_total": Spec(
        "counter", "Samples accepted for publishing: delivered, failed, dropped or waiting."
    ),
    "fleetpulse_publish_delivered_samples_total": Spec("counter", "Samples that Kafka acknowledged."),
    "fleetpulse_publish_failed_samples_total": Spec(
        "counter", "Samples that Kafka refused, or that were left at the end with nowhere to keep them."
    ),
    "fleetpulse_publish_dropped_samples_total": Spec("counter", "Samples dropped because a byte budget was spent."),
    "fleetpulse_publish_restored_samples_total": Spec("counter", "Samples of an earlier run, read from the spool."),
    "fleetpulse_publish_spooled_samples_total": Spec("counter", "Samples written to the spool; they count as waiting."),
    "fleetpulse_publish_buffered_bytes": Spec("gauge", "Bytes of frames waiting for Kafka in memory."),
    "fleetpulse_publish_spool_bytes": Spec("gauge", "Bytes of frames waiting for Kafka on the disk."),
    # consumers (ingest, rules, history)
    "fleetpulse_consumer_messages_total": Spec("counter", "Messages processed."),
    "fleetpulse_consumer_lag_messages": Spec("gauge", "Messages behind the end of the assigned partitions."),
    "fleetpulse_consumer_oldest_unprocessed_seconds": Spec("gauge", "Age of the oldest message not yet processed."),
    "fleetpulse_consumer_assigned_partitions": Spec("gauge", "Partitions that this process owns."),
    "fleetpulse_dead_letters_total": Spec("counter", "Messages written to fleetpulse.metrics-dead, by reason."),
    # ingest
    "fleetpulse_ingest_samples_total": Spec("counter", "Samples decoded."),
    "fleetpulse_ingest_stored_samples_total": Spec("counter", "Raw rows inserted."),
    "fleetpulse_ingest_refused_samples_total": Spec("counter", "Samples refused, by reason."),
    "fleetpulse_ingest_refused_series_total": Spec(
        "counter", "New series refused because too many are active, by reason and by host (`offender`)."
    ),
    "fleetpulse_ingest_evicted_series_total": Spec("counter", "Series forgotten because no sample came for long."),
    "fleetpulse_ingest_missing_messages_total": Spec(
        "counter", "Messages that were gone before they were read: deleted by Kafka, or skipped by a reset consumer."
    ),
    "fleetpulse_ingest_rollup_rows_total": Spec("counter", "One-minute rows inserted."),
    "fleetpulse_ingest_dirty_buckets": Spec("gauge", "Buckets waiting to be recomputed from raw."),
    "fleetpulse_ingest_hour_rows_total": Spec("counter", "One-hour rows inserted."),
    "fleetpulse_ingest_hour_seconds_total": Spec("counter", "Time spent on building hours."),
    "fleetpulse_ingest_repair_failures_total": Spec(
        "counter", "Statements that recompute buckets and that ClickHouse refused; they are tried again."
    ),
    "fleetpulse_ingest_dirty_hours": Spec("gauge", "Hours of partitions that are not built yet, also running ones."),
    "fleetpulse_ingest_insert_seconds_total": Spec("counter", "Time spent in inserts, by table."),
    "fleetpulse_ingest_insert_errors_total": Spec("counter", "Insert attempts that failed and were retried."),
    "fleetpulse_ingest_series": Spec("gauge", "Series known to this worker."),
    # rules
    "fleetpulse_rules_samples_total": Spec("counter", "Samples that a rule read."),
    "fleetpulse_rules_evaluations_total": Spec("counter", "Evaluations of a rule for a host at a tick."),
    "fleetpulse_rules_evaluated_timestamp_seconds": Spec("gauge", "When rules were last evaluated, Unix time."),
    "fleetpulse_rules_failures_total": Spec(
        "counter", "Evaluations of a rule for a host at a tick that failed; its alerts hold."
    ),
    "fleetpulse_rules_failed_timestamp_seconds": Spec(
        "gauge", "When an evaluation of a rule last failed, Unix time, by rule; of the first hundred that did."
    ),
    "fleetpulse_rules_late_samples_total": Spec("counter", "Samples not newer than their key's last evaluated tick."),
    "fleetpulse_rules_unreadable_messages_total": Spec("counter", "Messages skipped; ingest writes the dead letter."),
    "fleetpulse_rules_recorded_samples_total": Spec("counter", "Samples published by recording rules."),
    "fleetpulse_rules_events_total": Spec("counter", "Alert events written, by transition."),
    "fleetpulse_rules_transactions_total": Spec("counter", "Kafka transactions committed."),
    "fleetpulse_rules_oversized_total": Spec(
        "counter", "Alert events, states and recorded blocks too large for Kafka: cut, or left out."
    ),
    "fleetpulse_rules_cold_partitions": Spec(
        "gauge", "Partitions whose windows of over 15 minutes wait for ClickHouse; their rules hold."
    ),
    "fleetpulse_rules_changes_total": Spec("counter", "Changes of the rules that took effect in this process."),
    "fleetpulse_rules_refused_changes_total": Spec(
        "counter", "Changes of the rules that cannot run here; the old go on."
    ),
    "fleetpulse_rules_refused_groups": Spec("gauge", "Rule groups whose newest version does not load here."),
    "fleetpulse_rules_refused": Spec("gauge", "1 for such a group, 0 once it loads again."),
    "fleetpulse_alerts_active": Spec("gauge", "Firing alerts of the owned partitions, by severity."),
    # history
    "fleetpulse_history_events_total": Spec("counter", "Alert events stored."),
    "fleetpulse_history_insert_errors_total": Spec("counter", "Insert attempts that failed and were retried."),
    "fleetpulse_history_unreadable_total": Spec("counter", "Messages that are no alert event, left out."),
    # notify
    "fleetpulse_notify_active": Spec("gauge", "1 while this process is the one that notifies, 0 while it stands by."),
    "fleetpulse_notify_notifications_total": Spec("counter", "Notifications delivered, by receiver and integration."),
    "fleetpulse_notify_failures_total": Spec(
        "counter", "Attempts that failed, by receiver, integration and outcome (failed, refused, unsure)."
    ),
    "fleetpulse_notify_failing_seconds": Spec(
        "gauge", "Since when an integration takes nothing, by receiver and integration; 0: its latest attempt worked."
    ),
    "fleetpulse_notify_in_flight": Spec("gauge", "Notifications on their way."),
    "fleetpulse_notify_groups": Spec("gauge", "Groups of alerts that somebody is or was told about."),
    "fleetpulse_notify_alerts": Spec("gauge", "Firing alerts, by whether they are muted."),
    "fleetpulse_notify_silences": Spec("gauge", "Silences, acknowledgements and maintenance windows known."),
    "fleetpulse_notify_lag_messages": Spec("gauge", "Alert events not yet read."),
    "fleetpulse_notify_unreadable_total": Spec("counter", "Messages that are no alert event or silence, left out."),
    # audit
    "fleetpulse_audit_unexplained_samples": Spec(
        "gauge", "Samples that the newest audit could not explain, missing ones and surplus ones."
    ),
    "fleetpulse_audit_unexplained_messages": Spec("gauge", "Messages that the newest audit found in no ledger row."),
    "fleetpulse_audit_time_seconds": Spec("gauge", "When the newest audit ended, Unix time."),
    # agent and simulator
    "fleetpulse_agent_ticks_total": Spec("counter", "Ticks of the agent."),
    "fleetpulse_agent_late_ticks_total": Spec("counter", "Ticks that the agent missed because it was late."),
    "fleetpulse_simulator_hosts": Spec("gauge", "Simulated hosts."),
    # api
    "fleetpulse_api_requests_total": Spec("counter", "HTTP requests, by route and status."),
    "fleetpulse_api_request_seconds_total": Spec("counter", "Time spent on HTTP requests, by route."),
    "fleetpulse_api_backtests_total": Spec("counter", "Back-tests that ended, by outcome: done, failed or left."),
    "fleetpulse_outbox_messages": Spec("gauge", "Changes of rules and silences that Kafka does not have yet."),
    "fleetpulse_outbox_publisher": Spec("gauge", "1 in the one process that publishes the database's changes."),
    "fleetpulse_outbox_published_total": Spec("counter", "Changes published, by topic."),
    "fleetpulse_outbox_failures_total": Spec("counter", "Attempts to publish changes that failed and were repeated."),
}


class SelfMetrics:
    """The values of one process; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, float] = {}

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Increase a counter."""
        key = _key(name, labels)
        with self._lock:
            self._values[key] = self._values.get(key, 0.0) + amount

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge, or a counter that is counted elsewhere."""
        key = _key(name, labels)
        with self._lock:
            self._values[key] = value

    def forget(self, name: str, **labels: str) -> None:
        """Remove one series, e.g. of a partition that was given up."""
        with self._lock:
            self._values.pop(_key(name, labels), None)

    def get(self, name: str, **labels: str) -> float:
        """The current value, 0 when never set."""
        with self._lock:
            return self._values.get(_key(name, labels), 0.0)

    def samples(self) -> list[tuple[str, float]]:
        """(canonical key, value) of every series, ordered by key."""
        with self._lock:
            return sorted(self._values.items())

    def exposition(self) -> str:
        """The Prometheus text format, version 0.0.4."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        previous = ""
        for key, value in self.samples():
            name, _ = parse_key(key)
            if name != previous:
                yield f"# HELP {name} {METRICS[name].sentence}"
                yield f"# TYPE {name} {METRICS[name].kind}"
                previous = name
            yield f"{key} {value!r}"


def _key(name: str, labels: dict[str, str]) -> str:
    if name not in METRICS:
        raise KeyError(f"own metric {name!r} is not listed in fleetpulse/selfmetrics.py")
    return canonical_key(name, labels)
